"""The report's partition – minicubes, with or without context – as one preset of a general one.

The report (§2.1 and §2.2.3) pads 155 slices to 160, crops to (192, 192, 160), cuts eight
minicubes of (96, 96, 80) and later gives each 20 voxels of context along every axis. Its
Figure 3 puts ten on either side, zeros where the volume ends; its code puts all twenty on
the inner face. Sizes here are (x, y, z); the report prints (z, y, x).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from minicube._errors import InputError
from minicube.scans import LabelMap
from minicube.volumes.box import Box, Scalar, Shape, bounding_box

__all__ = [
    "REPORT_MINICUBE",
    "REPORT_REGION",
    "ContextPlacement",
    "CroppedRegion",
    "Minicube",
    "composite",
    "concatenate",
    "partition",
    "region_around",
]

REPORT_REGION: Shape = (192, 192, 160)
REPORT_MINICUBE: Shape = (96, 96, 80)


class ContextPlacement(StrEnum):
    """Where a minicube's context lies."""

    BOTH_SIDES = "both-sides"
    INNER_FACE = "inner-face"


@dataclass(frozen=True)
class Minicube:
    """One part of a partition.

    Args:
        core: The voxels this part answers for; cores tile the volume.
        window: The voxels it sees: the core and its context.
    """

    core: Box
    window: Box


def partition(
    shape: Shape,
    minicube: Shape,
    *,
    context: int = 0,
    placement: ContextPlacement = ContextPlacement.BOTH_SIDES,
) -> list[Minicube]:
    """Cut a volume into parts; the last of an axis is smaller where sizes do not divide.

    Args:
        shape: Voxels of the volume along x, y, z.
        minicube: Voxels of a part along x, y, z.
        context: Voxels a window has more than its core along each axis, both sides together;
            even when placed on both sides.
        placement: On both sides (zeros where the volume ends) or all on the face that looks
            into the volume. The latter needs axes cut in at most two.

    Returns:
        Parts in the order of their starts, x slowest.

    Raises:
        InputError: Sizes below one, odd context on both sides, or an inner face that is not
            one face.
    """
    if min(*shape, *minicube) < 1 or context < 0:
        raise InputError(
            "A partition needs sizes of at least one voxel.",
            found=f"volume {shape}, minicube {minicube}, context {context}",
        )
    spans = [_spans(n, size) for n, size in zip(shape, minicube, strict=True)]
    windows = [_windows(axis, context, placement) for axis in spans]
    parts = []
    for index in itertools.product(*(range(len(axis)) for axis in spans)):
        core = [spans[axis][i] for axis, i in enumerate(index)]
        window = [windows[axis][i] for axis, i in enumerate(index)]
        parts.append(Minicube(_box(core), _box(window)))
    return parts


def concatenate(parts: Iterable[NDArray[Scalar]], minicubes: Sequence[Minicube]) -> NDArray[Scalar]:
    """Put cores back together.

    Args:
        parts: For each minicube its answer ``(…, *core.shape)``, in the same order.
        minicubes: As :func:`partition` gave them.

    Returns:
        ``(…, x, y, z)`` of the whole volume.
    """
    shape = tuple(max(m.core.stop[axis] for m in minicubes) for axis in range(3))
    out: NDArray[Scalar] | None = None
    for part, minicube in zip(parts, minicubes, strict=True):
        if out is None:
            out = np.zeros((*part.shape[:-3], *shape), part.dtype)
        x, y, z = minicube.core.slices
        out[..., x, y, z] = part
    if out is None:
        raise InputError("A partition without parts cannot be put together.")
    return out


def composite(brains: Iterable[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Lay the brains of a training set over each other (the report's Figure 1).

    Args:
        brains: Masks ``(x, y, z)`` of one common shape.

    Raises:
        InputError: No masks, or masks of different shapes.
    """
    total: NDArray[np.bool_] | None = None
    for brain in brains:
        if total is None:
            total = brain.copy()
        elif total.shape != brain.shape:
            raise InputError(
                "A composite needs all cases on grids of one shape.",
                expected=f"{total.shape}",
                found=f"{brain.shape}",
            )
        else:
            total |= brain
    if total is None:
        raise InputError("A composite needs at least one case.")
    return total


def region_around(mask: NDArray[np.bool_], shape: Shape = REPORT_REGION) -> CroppedRegion:
    """Centre a region of fixed shape on the non-empty part of a composite.

    Args:
        mask: ``(x, y, z)``; usually from :func:`composite`.
        shape: Voxels of the region; where it is larger than the volume, the crop pads.
    """
    box = bounding_box(mask)
    start = []
    for axis, size in enumerate(shape):
        available = mask.shape[axis]
        middle = (box.start[axis] + box.stop[axis] - size) // 2
        # Stay inside where the volume is large enough, else share the padding out.
        low, high = sorted((0, available - size))
        start.append(min(max(middle, low), high) if available >= size else (available - size) // 2)
    origin = (start[0], start[1], start[2])
    stop = (origin[0] + shape[0], origin[1] + shape[1], origin[2] + shape[2])
    x, y, z = mask.shape
    return CroppedRegion(volume=(x, y, z), box=Box(origin, stop))


@dataclass(frozen=True)
class CroppedRegion:
    """A fixed region of a fixed grid: crop, and the way back.

    Args:
        volume: Voxels of the grid the region is cut from.
        box: The region; outside the grid it is padded with zeros.
    """

    volume: Shape
    box: Box

    def crop(self, array: NDArray[Scalar]) -> NDArray[Scalar]:
        """Cut the region from the last three axes of ``array`` ``(…, *volume)``."""
        return self.box.cut(array)

    def decrop(self, labels: LabelMap) -> LabelMap:
        """Put a map of the region back; identity for maps that are empty outside it."""
        back = Box((0, 0, 0), self.volume).relative_to(self.box.start)
        whole = back.cut(labels.array)
        return LabelMap(np.ascontiguousarray(whole, np.uint8), labels.scheme)

    def left_out(self, mask: NDArray[np.bool_]) -> int:
        """Number of true voxels of ``mask`` ``volume`` that the region does not hold."""
        return int(np.count_nonzero(mask)) - int(np.count_nonzero(self.crop(mask)))

    def warning(self, brain: NDArray[np.bool_]) -> str | None:
        """A sentence for the user when the region cuts into a brain ``volume``, else None."""
        lost = self.left_out(brain)
        if not lost:
            return None
        share = lost / int(np.count_nonzero(brain))
        return f"{lost} voxels of the brain ({share:.2%}) lie outside the cropped region"


def _spans(length: int, size: int) -> list[tuple[int, int]]:
    return [(a, min(a + size, length)) for a in range(0, length, size)]


def _windows(
    spans: list[tuple[int, int]], context: int, placement: ContextPlacement
) -> list[tuple[int, int]]:
    if placement is ContextPlacement.BOTH_SIDES:
        if context % 2:
            raise InputError("Context on both sides must be an even number of voxels.")
        return [(a - context // 2, b + context // 2) for a, b in spans]
    if len(spans) > 2:
        raise InputError(
            "Context on the inner face needs axes that are cut in two.",
            found=f"{len(spans)} parts along one axis",
            hint="place the context on both sides",
        )
    if len(spans) == 1:
        return spans
    (a, b), (c, d) = spans
    return [(a, b + context), (c - context, d)]


def _box(spans: Sequence[tuple[int, int]]) -> Box:
    (a, b), (c, d), (e, f) = spans
    return Box((a, c, e), (b, d, f))
