"""Which input voxels an output voxel depends on, by interval arithmetic.

A network describes its layers backwards, from output to input, as steps on an interval of
voxel indices along one axis. Receptive field and halo follow from that description; nobody
types them in.

Reference: Araujo, Norris and Sim, "Computing Receptive Fields of Convolutional Neural
Networks", Distill 2019, doi:10.23915/distill.00021 (the same recurrences, for one voxel).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

__all__ = ["Interval", "halo", "needed_by_unet", "receptive_field"]


class Interval(NamedTuple):
    """Voxel indices ``first`` to ``last``, both included, along one axis."""

    first: int
    last: int

    def before_convolution(
        self, kernel: int, stride: int = 1, padding: int | None = None
    ) -> Interval:
        """Input of a convolution whose output is this; ``padding`` None means same-padded."""
        before = kernel // 2 if padding is None else padding
        return Interval(self.first * stride - before, self.last * stride - before + kernel - 1)

    def before_pooling(self, factor: int) -> Interval:
        """Input of a pooling, kernel = stride = ``factor``, whose output is this."""
        return self.before_convolution(factor, factor, 0)

    def before_upsampling(self, kernel: int, stride: int, padding: int = 0) -> Interval:
        """Input of a transposed convolution whose output is this."""
        first = -((kernel - 1 - padding - self.first) // stride)  # rounded up
        return Interval(first, (self.last + padding) // stride)

    def shifted(self, voxels: int) -> Interval:
        """The same interval with indices counted from ``-voxels``."""
        return Interval(self.first + voxels, self.last + voxels)

    def joined(self, other: Interval) -> Interval:
        """The smallest interval that holds both."""
        return Interval(min(self.first, other.first), max(self.last, other.last))

    @property
    def length(self) -> int:
        """Number of voxels."""
        return self.last - self.first + 1


Needed = Callable[[Interval], Interval]


def needed_by_unet(
    output: Interval, blocks: Sequence[Needed], down: Needed, up: Needed, level: int = 0
) -> Interval:
    """Input interval of a same-padded U-Net, or of its ``level`` and those below.

    Args:
        output: Of that level.
        blocks: Output to input of each level's block, top first; encoder and decoder alike.
        down: Output to input of the step down.
        up: Output to input of the step up.
        level: 0 is the top.
    """
    block = blocks[level]
    if level == len(blocks) - 1:
        return block(output)
    joined = block(output)  # decoder
    below = down(needed_by_unet(up(joined), blocks, down, up, level + 1))
    return block(joined.joined(below))  # encoder


def receptive_field(needed: Needed, stride: int) -> int:
    """Largest number of input voxels, along one axis, that one output voxel depends on.

    Args:
        needed: Output interval to the input interval it depends on.
        stride: Total stride; the dependence repeats with this period.
    """
    return max(needed(Interval(i, i)).length for i in range(stride))


def halo(needed: Needed, stride: int) -> int:
    """Voxels of context, on each side, that make an aligned part exact.

    Args:
        needed: Output interval to the input interval it depends on.
        stride: Total stride. "Aligned" means that the part starts and ends on its multiples.
    """
    first, last = needed(Interval(0, stride - 1))
    return max(-first, last - (stride - 1))
