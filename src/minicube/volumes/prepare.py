"""A Case made ready for a network – 1 mm, the brain's box, z-scores – and labels back."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from minicube._errors import InputError
from minicube.scans import NETWORK_SCHEME, Case, Croppable, LabelMap, Sequence
from minicube.volumes.box import Box, Shape, bounding_box
from minicube.volumes.denoise import denoise_rician
from minicube.volumes.resample import network_shape, resample, resample_labels

__all__ = [
    "Frame",
    "Intensities",
    "Prepared",
    "Scale",
    "normalise",
    "prepare",
    "present_in",
    "restore",
    "unscaled",
]


_AT_ONCE = 2  # sequences: more gain nothing, and each takes memory


class Intensities(StrEnum):
    """How intensities are scaled for a network."""

    Z_SCORE = "z-score in the brain"
    RAW = "none"


@dataclass(frozen=True)
class Scale:
    """What a sequence's z-scores were made with, in the scan's own unit.

    Args:
        mean: Of the brain.
        deviation: Standard deviation in the brain, > 0.
    """

    mean: float
    deviation: float

    def undone(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """The intensities that z-scores were made of, of the same shape."""
        return scores * np.float32(self.deviation) + np.float32(self.mean)


ABSENT: Final = Scale(0.0, 1.0)
"""What stands for the scale of a sequence that is not there."""


def present_in(scales: Iterable[Scale]) -> tuple[Sequence, ...]:
    """The sequences that are there, of scales in the order of :class:`Sequence`."""
    return tuple(s for s, scale in zip(Sequence, scales, strict=True) if scale != ABSENT)


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
            inside the brain, 0 outside; of a sequence that is not there, 0 everywhere.
        brain: ``(x, y, z)`` bool.
        labels: Reference in :data:`NETWORK_SCHEME` on the same grid, when there is one.
        frame: The way back.
        scales: Of each sequence, in the order of :class:`Sequence`; :data:`ABSENT` of one that is
            not there.
    """

    identity: str
    images: NDArray[np.float32]
    brain: NDArray[np.bool_]
    labels: LabelMap | None
    frame: Frame
    scales: tuple[Scale, ...]

    @property
    def present(self) -> tuple[Sequence, ...]:
        """Sequences that are there."""
        return present_in(self.scales)

    def images_as(self, intensities: Intensities) -> NDArray[np.float32]:
        """Images scaled as a network wants them, ``(sequence, x, y, z)``."""
        if intensities is Intensities.RAW:
            return unscaled(self.images, self.scales)
        return self.images


def prepare(case: Case, *, denoise: bool = False) -> Prepared:
    """Resample to 1 mm, crop to the brain's box, z-score each sequence.

    A sequence that the case lacks is 0 everywhere, as networks are shown it in training.

    Args:
        case: As it was read.
        denoise: Take Rician noise away first (:func:`denoise_rician`).

    Raises:
        InputError: The brain is empty, the reference cannot be expressed in the network's
            classes without a loss, or the package for denoising is missing.
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
    brain = np.ascontiguousarray(brain[box.slices])
    images = np.empty((len(Sequence), *box.shape), np.float32)

    def prepare_one(channel: int, sequence: Sequence) -> Scale:
        if sequence not in case.images:
            images[channel] = 0
            return ABSENT
        if shape == case.shape and not denoise:
            image = case.crop(sequence, box.slices)
        else:
            scan = case.images[sequence]
            scan = denoise_rician(scan, case.brain) if denoise else scan
            image = resample(scan, shape)[box.slices]
        images[channel], scale = normalise(np.ascontiguousarray(image), brain)
        return scale

    # Images that are left on disk are left there to save memory.
    frugal = denoise or isinstance(case.images, Croppable)
    with ThreadPoolExecutor(1 if frugal else _AT_ONCE) as pool:
        scales = pool.map(prepare_one, range(len(Sequence)), Sequence)
    labels = None
    if case.reference is not None:
        reference = resample_labels(_known_to_networks(case.identity, case.reference), shape)
        labels = LabelMap(np.ascontiguousarray(reference.array[box.slices]), NETWORK_SCHEME)
    frame = Frame(case.shape, shape, box)
    return Prepared(case.identity, images, brain, labels, frame, tuple(scales))


def _known_to_networks(identity: str, reference: LabelMap) -> LabelMap:
    try:
        return reference.to(NETWORK_SCHEME)
    except InputError as error:
        raise InputError(
            f"The reference of {identity} has what networks do not tell apart.",
            found=error.found,
            hint="`minicube data convert … --scheme decathlon --lossy` drops it; learn from that",
        ) from error


def normalise(
    image: NDArray[np.float32], brain: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], Scale]:
    """Z-score inside the brain: (v − mean) / standard deviation; 0 outside.

    Args:
        image: ``(x, y, z)``, any unit.
        brain: ``(x, y, z)``; the statistics are taken here.
    """
    inside = image[brain].astype(np.float64)
    mean = inside.mean()
    inside -= mean
    np.square(inside, out=inside)
    scale = Scale(float(mean), max(float(np.sqrt(inside.mean())), 1e-6))
    scaled = image - np.float32(scale.mean)
    scaled /= np.float32(scale.deviation)
    scaled[~brain] = 0
    return scaled, scale


def unscaled(images: NDArray[np.float32], scales: tuple[Scale, ...]) -> NDArray[np.float32]:
    """The intensities that z-scores were made of; 0 stays 0.

    Args:
        images: ``(sequence, x, y, z)``, z-scores.
        scales: Of each sequence.
    """
    raw = [scale.undone(image) for image, scale in zip(images, scales, strict=True)]
    return np.where(images == 0, np.float32(0), np.stack(raw)).astype(np.float32)


def restore(labels: LabelMap, frame: Frame) -> LabelMap:
    """Bring labels of a prepared array back onto the case's RAS+ grid.

    Args:
        labels: Map on the box of ``frame``.
        frame: From :func:`prepare`.
    """
    whole = np.zeros(frame.network_shape, np.uint8, order="F")  # as files have them
    whole[frame.box.slices] = labels.array
    return resample_labels(LabelMap(whole, labels.scheme), frame.case_shape)
