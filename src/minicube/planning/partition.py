"""How a volume goes through a network: plain values, and the boxes that follow from them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache

from minicube.volumes import Box, Shape

__all__ = ["LevelCut", "Partition", "axis_windows", "grown", "parts_of"]


@dataclass(frozen=True)
class LevelCut:
    """Some levels in parts, all below them on the whole volume.

    Args:
        first: Top level; 0 takes images.
        last: The level below them.
        part: Voxels of a part along x, y, z at ``first``; multiples of 2^(last - first).
    """

    first: int
    last: int
    part: Shape


@dataclass(frozen=True)
class Partition:
    """How a volume is cut so that parts give the answer of the whole.

    Args:
        cuts: Between levels, the top one first; each begins where the one before ended.
        tile: Voxels of a part along x, y, z for networks without levels; each is given its
            whole halo. Multiples of the stride.

    Neither: the whole volume at once.
    """

    cuts: tuple[LevelCut, ...] = ()
    tile: Shape | None = None

    def in_words(self) -> str:
        """For people."""
        if self.tile is not None:
            return f"tiles of {_by(self.tile)} and their halo"
        if not self.cuts:
            return "the whole volume at once"
        return ", then ".join(
            f"levels {cut.first + 1} to {cut.last} in parts of {_by(cut.part)}"
            if cut.last > cut.first + 1
            else f"level {cut.last} in parts of {_by(cut.part)}"
            for cut in self.cuts
        )


def parts_of(shape: Shape, part: Shape) -> list[Box]:
    """Boxes that tile a volume; the last of an axis is smaller where sizes do not divide."""
    axes = [
        [(a, min(a + size, n)) for a in range(0, n, size)]
        for n, size in zip(shape, part, strict=True)
    ]
    return [Box((a[0], b[0], c[0]), (a[1], b[1], c[1])) for a, b, c in itertools.product(*axes)]


def grown(core: Box, halo: Shape, shape: Shape) -> Box:
    """The core and its halo; it ends where the volume does, so that layers pad there as ever."""
    start = [max(0, a - h) for a, h in zip(core.start, halo, strict=True)]
    stop = [min(n, b + h) for b, h, n in zip(core.stop, halo, shape, strict=True)]
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


@cache
def axis_windows(length: int, part: int, halo: int) -> tuple[int, int]:
    """Voxels along one axis of all windows together, and of the longest."""
    windows = [min(length, a + part + halo) - max(0, a - halo) for a in range(0, length, part)]
    return sum(windows), max(windows)


def _by(shape: Shape) -> str:
    return " × ".join(map(str, shape))
