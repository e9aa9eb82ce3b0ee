"""Which input voxels an output voxel depends on, by interval arithmetic.

A network describes its layers backwards, from output to input, as steps on an interval of
voxel indices along one axis (every axis of our networks is alike). Receptive field and halo
follow from that description; nobody types them in.

Reference: Araujo, Norris and Sim, "Computing Receptive Fields of Convolutional Neural
Networks", Distill 2019, doi:10.23915/distill.00021 (the same recurrences, for one voxel).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Interval", "halo", "receptive_field"]


class Interval(NamedTuple):
    """Voxel indices ``first`` to ``last``, both included, along one axis."""

    first: int
    last: int

    def before_convolution(self, kernel: int) -> Interval:
        """Input of a same-padded convolution with an odd kernel whose output is this."""
        reach = kernel // 2
        return Interval(self.first - reach, self.last + reach)

    def before_pooling(self, factor: int) -> Interval:
        """Input of a pooling, kernel = stride = ``factor``, whose output is this."""
        return Interval(self.first * factor, self.last * factor + factor - 1)

    def before_upsampling(self, factor: int) -> Interval:
        """Input of a transposed convolution, kernel = stride, whose output is this."""
        return Interval(self.first // factor, self.last // factor)

    def joined(self, other: Interval) -> Interval:
        """The smallest interval that holds both."""
        return Interval(min(self.first, other.first), max(self.last, other.last))

    @property
    def length(self) -> int:
        """Number of voxels."""
        return self.last - self.first + 1


def receptive_field(needed: Callable[[Interval], Interval], stride: int) -> int:
    """Largest number of input voxels, along one axis, that one output voxel depends on.

    Args:
        needed: Output interval to the input interval it depends on.
        stride: Total stride; the dependence repeats with this period.
    """
    return max(needed(Interval(i, i)).length for i in range(stride))


def halo(needed: Callable[[Interval], Interval], stride: int) -> int:
    """Voxels of context, on each side, that make an aligned part exact.

    Args:
        needed: Output interval to the input interval it depends on.
        stride: Total stride. "Aligned" means that the part starts and ends on its multiples.
    """
    first, last = needed(Interval(0, stride - 1))
    return max(-first, last - (stride - 1))
