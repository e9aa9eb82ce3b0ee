"""Networks of levels, each an eighth of the one above: run whole, or cut between two levels.

Nearly all memory goes to the top levels and nearly all reach to the deep ones. A network that is
cut between two levels runs what is above in small parts with a small halo and what is below on
the whole volume, and gives the answer of the whole.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from minicube.networks.fields import Interval, needed_by_unet
from minicube.networks.network import Network

__all__ = ["LeveledNetwork", "Reach"]


@dataclass(frozen=True)
class Reach:
    """What some levels need around a part of theirs, when all below them runs whole.

    Args:
        factor: Voxels at the first of these levels that one below the last stands for, along
            an axis. A part starts and ends on its multiples.
        encode: Voxels on each side of a part that what is handed down for it depends on.
        decode: Voxels on each side of a part that what is given for it depends on.
    """

    factor: int
    encode: int
    decode: int


class LeveledNetwork(Network):
    """An encoder, a decoder and skips; same-padded, halved from level to level."""

    @abstractmethod
    def enter(self, images: Tensor) -> Tensor:
        """What comes before the top level."""

    @abstractmethod
    def encode(self, level: int, x: Tensor) -> Tensor:
        """A level on the way down; of the last, all there is."""

    @abstractmethod
    def descend(self, level: int, x: Tensor) -> Tensor:
        """From a level to the next below."""

    @abstractmethod
    def decode(self, level: int, skip: Tensor, below: Tensor) -> Tensor:
        """A level on the way up, from its skip and from what the next below gave."""

    @abstractmethod
    def leave(self, x: Tensor) -> Tensor:
        """Logits of what the top level gave."""

    @abstractmethod
    def before_block(self, level: int, output: Interval) -> Interval:
        """Input interval of a level's encoder, and of its decoder."""

    @abstractmethod
    def before_rising(self, output: Interval) -> Interval:
        """Interval below that an interval risen to the next level depends on."""

    def before_entering(self, output: Interval) -> Interval:
        """Interval of the images that the top level's input depends on."""
        return output

    @property
    def depth(self) -> int:
        """Number of levels."""
        return len(self.config.widths)

    def risen(self, level: int) -> int:
        """Channels that a level gives to the one above."""
        return self.config.widths[level]

    @property
    def period(self) -> int:
        """Total stride, voxels."""
        return int(2 ** (self.depth - 1))

    def forward(self, images: Tensor) -> Tensor:  # (B, S, X, Y, Z) -> (B, C, X, Y, Z)
        """Return the logits."""
        skips, x = self._down(self.enter(images), 0, self.depth - 1)
        x = self.encode(self.depth - 1, x)
        return self.leave(self._up(skips, x, 0))

    def encode_between(self, x: Tensor, first: int, last: int) -> Tensor:
        """What levels ``first`` to ``last`` - 1 hand down.

        Args:
            x: Images, or what was handed down to ``first``: ``(B, W, X, Y, Z)``.
            first: Level that takes ``x``; 0 takes images.
            last: Level that takes what is returned, which is 2^(last - first) times smaller.
        """
        x = self.enter(x) if first == 0 else x
        for level in range(first, last):
            x = self.descend(level, self.encode(level, x))
        return x

    def run_below(self, x: Tensor, first: int) -> Tensor:
        """All from level ``first`` down, from what was handed down to what goes up again."""
        skips, x = self._down(x, first, self.depth - 1)
        x = self.encode(self.depth - 1, x)
        return self._up(skips, x, first)

    def decode_between(self, x: Tensor, below: Tensor, first: int, last: int) -> Tensor:
        """What levels ``first`` to ``last`` - 1 give: logits, where ``first`` is 0.

        Args:
            x: As for :meth:`encode_between`; the skips are made again from it.
            below: What level ``last`` gave.
            first: Top level.
            last: One below the lowest.
        """
        skips, x = self._down(self.enter(x) if first == 0 else x, first, last - 1)
        skips.append(self.encode(last - 1, x))
        del x
        risen = self._up(skips, below, first)
        return self.leave(risen) if first == 0 else risen

    def in_slabs(self, images: Tensor, thickness: int) -> Tensor:
        """Logits, with the gradients of the whole volume and a slab's memory at the top level.

        The top level runs slab by slab and is computed again in the backward pass; all below
        runs once, on the whole volume. The same numbers as :meth:`forward` as long as no layer
        takes statistics from what it is given.

        Args:
            images: ``(B, S, X, Y, Z)``.
            thickness: Voxels of a slab along x; even.
        """
        reach, length = self.reach(0, 1), images.shape[2]
        slabs = [(a, min(a + thickness, length)) for a in range(0, length, thickness)]

        def handed_down(start: int, stop: int) -> Tensor:
            first, last = _window(start, stop, length, reach.encode, reach.factor)
            out = self.encode_between(images[:, :, first:last], 0, 1)
            return out[:, :, (start - first) // 2 : (stop - first) // 2]

        def answered(start: int, stop: int, below: Tensor) -> Tensor:
            first, last = _window(start, stop, length, reach.decode, reach.factor)
            came_up = below[:, :, first // 2 : last // 2]
            out = self.decode_between(images[:, :, first:last], came_up, 0, 1)
            return out[:, :, start - first : stop - first]

        again = partial(checkpoint, use_reentrant=False)
        handed = torch.cat([again(handed_down, *slab) for slab in slabs], dim=2)
        below = self.run_below(handed, 1)
        return torch.cat([again(answered, *slab, below) for slab in slabs], dim=2)

    def _down(self, x: Tensor, first: int, last: int) -> tuple[list[Tensor], Tensor]:
        skips: list[Tensor] = []
        for level in range(first, last):
            skips.append(self.encode(level, x))
            x = self.descend(level, skips[-1])
        return skips, x

    def _up(self, skips: list[Tensor], x: Tensor, first: int) -> Tensor:
        while skips:  # popped, so that they are freed as soon as they are used
            x = self.decode(first + len(skips) - 1, skips.pop(), x)
        return x

    def needed(self, output: Interval) -> Interval:
        """Input interval that an output interval depends on, along each axis."""
        blocks = [partial(self.before_block, level) for level in range(self.depth)]
        inside = needed_by_unet(output, blocks, _before_descending, self.before_rising)
        return self.before_entering(inside)

    def reach(self, first: int, last: int) -> Reach:
        """What levels ``first`` to ``last`` - 1 need around a part, in voxels of ``first``."""
        factor = 2 ** (last - first)
        handed_down = Interval(0, 0)
        for level in reversed(range(first, last)):
            handed_down = self.before_block(level, _before_descending(handed_down))
        images, below = self._before_decoding(Interval(0, factor - 1), first, last)
        if first == 0:
            handed_down, images = map(self.before_entering, (handed_down, images))
        risen = Interval(below.first * factor, below.last * factor + factor - 1)
        encode = _beyond(handed_down, factor)
        decode = _beyond(images.joined(risen), factor)
        return Reach(factor, encode, decode)

    def _before_decoding(
        self, output: Interval, level: int, last: int
    ) -> tuple[Interval, Interval]:
        """Intervals of a level's input and of what comes up below the cut."""
        skip = self.before_block(level, output)
        risen = self.before_rising(skip)
        if level == last - 1:
            return self.before_block(level, skip), risen
        below, comes_up = self._before_decoding(risen, level + 1, last)
        return self.before_block(level, skip.joined(_before_descending(below))), comes_up


def _before_descending(output: Interval) -> Interval:
    return output.before_pooling(2)


def _window(start: int, stop: int, length: int, halo: int, factor: int) -> tuple[int, int]:
    """A slab and its halo, on the grid of the level below; it ends where the volume does."""
    beyond = -(-halo // factor) * factor
    return max(0, start - beyond), min(length, stop + beyond)


def _beyond(needed: Interval, part: int) -> int:
    return max(-needed.first, needed.last - (part - 1))
