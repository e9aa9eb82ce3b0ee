"""Small studies for tests, and ways to make them harder to read."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from minicube.dicom import write_study
from minicube.scans import Case, Geometry, LabelMap, LabelScheme, Sequence

SHAPE = (14, 18, 12)


def tiny_case(affine: NDArray[np.float64] | None = None, identity: str = "tiny") -> Case:
    """Noise in a box, no brain; labels of all three tissues, nowhere symmetrical."""
    geometry = Geometry(SHAPE, np.eye(4) if affine is None else affine)
    rng = np.random.default_rng(5)
    images = {s: rng.integers(1, 900, geometry.ras_shape).astype(np.float32) for s in Sequence}
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:9, 3:11, 2:8] = 2
    labels[3:6, 4:9, 3:6] = 3
    labels[4, 5:7, 4] = 1
    reference = LabelMap(geometry.to_ras(labels), LabelScheme.BRATS2023)
    brain = np.ones(geometry.ras_shape, np.bool_)
    return Case(identity, images, geometry, brain, reference)


def tiny_study(folder: Path, case: Case | None = None) -> Path:
    """A study of four series on one grid; the usual one is written once and copied."""
    if case is not None:
        write_study(case, folder)
    else:
        shutil.copytree(_usual().name, folder, dirs_exist_ok=True)
    return folder


@cache
def _usual() -> tempfile.TemporaryDirectory[str]:
    folder = tempfile.TemporaryDirectory(prefix="minicube-test-")
    write_study(tiny_case(), Path(folder.name))
    return folder


def change(folder: Path, edit: Callable[[Dataset, int], None]) -> None:
    """Edit every file in a folder, given its number in order of name."""
    for number, path in enumerate(sorted(folder.rglob("*.dcm"))):
        ds = dcmread(path)
        edit(ds, number)
        ds.save_as(path)
