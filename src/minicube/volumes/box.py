"""Boxes of voxels: index arithmetic and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["Box", "Shape", "bounding_box"]

Shape = tuple[int, int, int]
Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True)
class Box:
    """An axis-aligned box of voxels; may reach outside the volume it is cut from.

    Args:
        start: First voxel along x, y, z.
        stop: One past the last voxel along x, y, z.
    """

    start: Shape
    stop: Shape

    @property
    def shape(self) -> Shape:
        """Voxels along x, y, z."""
        x, y, z = (b - a for a, b in zip(self.start, self.stop, strict=True))
        return x, y, z

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Index of the box in an array ``(x, y, z)``; only for boxes inside it."""
        x, y, z = (slice(a, b) for a, b in zip(self.start, self.stop, strict=True))
        return x, y, z

    def relative_to(self, origin: Shape) -> Box:
        """The same box with indices counted from ``origin``."""
        return Box(_minus(self.start, origin), _minus(self.stop, origin))

    def within(self, other: Box) -> Box:
        """What both boxes hold; of boxes apart, one without voxels."""
        start = [max(a, b) for a, b in zip(self.start, other.start, strict=True)]
        stop = [min(a, b) for a, b in zip(self.stop, other.stop, strict=True)]
        stop = [max(a, b) for a, b in zip(start, stop, strict=True)]
        return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))

    def coarser(self, factor: int) -> Box:
        """The same box on a grid of ``factor`` times fewer voxels; its ends are multiples."""
        x, y, z = (n // factor for n in self.start)
        a, b, c = (n // factor for n in self.stop)
        return Box((x, y, z), (a, b, c))

    def cut(self, array: NDArray[Scalar]) -> NDArray[Scalar]:
        """Cut the box from the last three axes of ``array``; what lies outside is 0.

        Args:
            array: ``(…, x, y, z)``.

        Returns:
            ``(…, *shape)``; a view when the box lies inside.
        """
        volume = array.shape[-3:]
        inside = [
            slice(max(a, 0), max(min(b, n), 0))
            for a, b, n in zip(self.start, self.stop, volume, strict=True)
        ]
        piece = array[..., inside[0], inside[1], inside[2]]
        if piece.shape[-3:] == self.shape:
            return piece
        out = np.zeros((*array.shape[:-3], *self.shape), array.dtype)
        if piece.size:
            x, y, z = (
                slice(s.start - a, s.stop - a) for s, a in zip(inside, self.start, strict=True)
            )
            out[..., x, y, z] = piece
        return out


def bounding_box(mask: NDArray[np.bool_]) -> Box:
    """The smallest box around the true voxels of ``mask`` ``(x, y, z)``; all of it if none."""
    first, last = [], []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        hit = np.flatnonzero(mask.any(axis=others))
        first.append(int(hit[0]) if hit.size else 0)
        last.append(int(hit[-1]) + 1 if hit.size else mask.shape[axis])
    return Box((first[0], first[1], first[2]), (last[0], last[1], last[2]))


def _minus(a: Shape, b: Shape) -> Shape:
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]
