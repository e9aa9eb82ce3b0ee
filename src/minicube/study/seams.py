"""Do parts agree at their faces? Label changes across the cuts against those beside them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from minicube.engines import Cut, cut_volume
from minicube.scans import LabelMap
from minicube.volumes import Shape

__all__ = ["SeamCounts", "count_seams"]

_NEAR, _FAR = 4, 12  # planes beside a face that it is compared with, voxels away


@dataclass(frozen=True)
class SeamCounts:
    """Pairs of neighbouring voxels, either of them tumour, and how many of them differ.

    Args:
        at_faces: Pairs across the faces between minicubes.
        differing_at_faces: Of those, with different labels.
        inside: Pairs across planes 4 to 12 voxels beside the faces.
        differing_inside: Of those, with different labels.
    """

    at_faces: int = 0
    differing_at_faces: int = 0
    inside: int = 0
    differing_inside: int = 0

    def __add__(self, other: SeamCounts) -> SeamCounts:
        return SeamCounts(
            self.at_faces + other.at_faces,
            self.differing_at_faces + other.differing_at_faces,
            self.inside + other.inside,
            self.differing_inside + other.differing_inside,
        )

    @property
    def rate_at_faces(self) -> float | None:
        """Share of pairs across the faces that differ; None without tumour there."""
        return self.differing_at_faces / self.at_faces if self.at_faces else None

    @property
    def rate_inside(self) -> float | None:
        """Share of pairs beside the faces that differ; None without tumour there."""
        return self.differing_inside / self.inside if self.inside else None

    @property
    def ratio(self) -> float | None:
        """The seam score: the first rate over the second; 1 where faces leave no trace."""
        if not self.rate_inside or self.rate_at_faces is None:
            return None
        return self.rate_at_faces / self.rate_inside


def count_seams(labels: LabelMap, cut: Cut) -> SeamCounts:
    """Count label changes at the faces of the minicubes that a volume was predicted in.

    Args:
        labels: ``(x, y, z)``, the brain's box as it was cut.
        cut: How.
    """
    total = SeamCounts()
    for axis, faces in enumerate(_faces(labels.array.shape, cut)):
        length = labels.array.shape[axis]
        for face in faces:
            beside = [face + side * n for side in (-1, 1) for n in range(_NEAR, _FAR + 1)]
            at, differing = _pairs(labels, axis, [face])
            inside, inside_differing = _pairs(labels, axis, [p for p in beside if 0 < p < length])
            total += SeamCounts(at, differing, inside, inside_differing)
    return total


def _faces(shape: tuple[int, ...], cut: Cut) -> list[list[int]]:
    """Positions along each axis of the faces inside the volume."""
    x, y, z = shape
    volume: Shape = (x, y, z)
    parts, frame = cut_volume(volume, cut)
    found = []
    for axis in range(3):
        starts = {part.core.start[axis] + frame.start[axis] for part in parts}
        found.append(sorted(p for p in starts if 0 < p < volume[axis]))
    return found


def _pairs(labels: LabelMap, axis: int, planes: Iterable[int]) -> tuple[int, int]:
    """Pairs across planes with tumour on either side, and how many of them differ."""
    pairs = differing = 0
    for plane in planes:
        before = labels.array.take(plane - 1, axis)
        after = labels.array.take(plane, axis)
        pairs += int(np.count_nonzero(before | after))
        differing += int(np.count_nonzero(before != after))
    return pairs, differing
