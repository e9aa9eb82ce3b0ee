"""Shapes and patches as the simulator reads them, of three patients."""

from __future__ import annotations

from pathlib import Path

import numpy as np

PATIENTS = [f"BraTS20_Training_{number:03d}" for number in (1, 2, 17)]


def write_shapes(path: Path) -> Path:
    """Three maps of a whole BraTS grid at 128³: a block of oedema, core in it, enhancing in that.

    The blocks lie at LPS (20…49, 60…89, 50…79): on the patient's right, so at high x in LPS only
    where it is above 64.
    """
    labels = np.zeros((3, 128, 128, 128), np.uint8)
    labels[:, 20:50, 60:90, 50:80] = 2
    labels[:, 26:44, 66:84, 56:74] = 1
    labels[:2, 30:40, 66:84, 60:70] = 4
    np.savez_compressed(path, labels=labels, patient=np.array(PATIENTS))
    return path


def write_patches(path: Path, shapes: Path) -> Path:
    """One patch a patient, 32³ from (16, 56, 46): oedema 2, core 3, enhancing 5 above normal."""
    with np.load(shapes) as held:
        seg = held["labels"][:, 16:48, 56:88, 46:78]
    noise = np.random.default_rng(0).integers(-3, 4, (3, 4, *seg.shape[1:]))
    level = np.select([seg == 2, seg == 1, seg == 4], [30, 45, 75], 0)[:, None]
    image = (75 + level + noise).astype(np.uint8)
    image[:, :, 30:] = 0  # as where the brain ends
    first = np.array([(16, 56, 46)] * 3, np.int16)
    np.savez_compressed(path, image=image, seg=seg, patient=np.array(PATIENTS), origin128=first)
    return path
