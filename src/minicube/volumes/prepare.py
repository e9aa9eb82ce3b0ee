"""A Case made ready for a network – 1 mm, the brain's box, z-scores – and labels back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minicube._errors import InputError
from minicube.scans import NETWORK_SCHEME, Case, LabelMap, Sequence
from minicube.volumes.box import Box, Shape, bounding_box
from minicube.volumes.resample import network_shape, resample, resample_labels

__all__ = ["Frame", "Prepared", "normalise", "prepare", "restore"]


@dataclass(frozen=True)
class Frame:
    """Where a prepared array lies in its case: what is needed for the way back.

    Args:
        case_shape: The case's RAS+ grid, voxels.
        network_shape: The same field of view at 1 mm, voxels.
        box: The brain's box on the 1 mm grid.
    """

    case_shape: Shape
    network_shape: Shape
    box: Box


@dataclass(frozen=True, eq=False)
class Prepared:
    """What a network sees of a case.

    Args:
        identity: Name of the case.
        images: ``(sequence, x, y, z)`` float32 in the order of :class:`Sequence`: z-scores
            inside the brain, 0 outside.
        brain: ``(x, y, z)`` bool.
        labels: Reference in :data:`NETWORK_SCHEME` on the same grid, when there is one.
        frame: The way back.
    """

    identity: str
    images: NDArray[np.float32]
    brain: NDArray[np.bool_]
    labels: LabelMap | None
    frame: Frame


def prepare(case: Case) -> Prepared:
    """Resample to 1 mm, crop to the brain's box, z-score each sequence.

    Raises:
        InputError: The brain is empty, or the reference cannot be expressed in the
            network's classes without a loss.
    """
    shape = network_shape(case.shape, case.spacing)
    brain = case.brain
    if shape != case.shape:
        brain = resample(brain.astype(np.float32), shape) > 0.5
    if not brain.any():
        raise InputError(
            f"{case.identity}: no brain was found in the images.",
            expected="non-zero voxels inside the head",
        )
    box = bounding_box(brain)
    brain = brain[box.slices]
    images = np.empty((len(Sequence), *box.shape), np.float32)
    for channel, sequence in enumerate(Sequence):
        image = resample(case.images[sequence], shape)[box.slices]
        images[channel] = normalise(image, brain)
    labels = None
    if case.reference is not None:
        reference = resample_labels(case.reference.to(NETWORK_SCHEME), shape)
        labels = LabelMap(np.ascontiguousarray(reference.array[box.slices]), NETWORK_SCHEME)
    return Prepared(case.identity, images, brain, labels, Frame(case.shape, shape, box))


def normalise(image: NDArray[np.float32], brain: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Z-score inside the brain: (v − mean) / standard deviation; 0 outside.

    Args:
        image: ``(x, y, z)``, any unit.
        brain: ``(x, y, z)``; the statistics are taken here.
    """
    inside = image[brain].astype(np.float64)
    spread = inside.std()
    scaled = (image - np.float32(inside.mean())) / np.float32(max(spread, 1e-6))
    return np.where(brain, scaled, np.float32(0))


def restore(labels: LabelMap, frame: Frame) -> LabelMap:
    """Bring labels of a prepared array back onto the case's RAS+ grid.

    Args:
        labels: Map on the box of ``frame``.
        frame: From :func:`prepare`.
    """
    whole = np.zeros(frame.network_shape, np.uint8)
    whole[frame.box.slices] = labels.array
    return resample_labels(LabelMap(whole, labels.scheme), frame.case_shape)
