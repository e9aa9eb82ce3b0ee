"""Which window of which case a training step sees: a pure function of seed, step and index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minicube.volumes import BRAIN, Box, Shape, StoredCase

__all__ = ["Sampler"]


@dataclass(frozen=True)
class Sampler:
    """Tumour-aware sampling.

    Background is 98 % of a head; windows placed evenly teach a network to say background.
    A share of the windows is therefore centred on a voxel of a tumour class, each class
    present in the case being as likely as the others; the rest on any brain voxel.

    Args:
        cases: The training cases.
        window: Voxels of a window along x, y, z.
        tumour_share: Share of windows centred on tumour, in [0, 1].
        seed: Of the run.
    """

    cases: Sequence[StoredCase]
    window: Shape
    tumour_share: float
    seed: int

    def draw(self, step: int, index: int) -> tuple[NDArray[np.float32], NDArray[np.uint8], int]:
        """Return images ``(sequence, *window)``, labels ``window`` and a seed for what follows.

        Cases are gone through in a new shuffled order each epoch.

        Args:
            step: Training step, from 0.
            index: Number of the sample among all samples of the run, from 0.
        """
        case = self.cases[self._turn(index)]
        rng = np.random.default_rng((self.seed, step, index))
        return *case.read(self._place(case, rng)), int(rng.integers(2**31))

    def _turn(self, index: int) -> int:
        epoch, position = divmod(index, len(self.cases))
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.cases))
        return int(order[position])

    def _place(self, case: StoredCase, rng: np.random.Generator) -> Box:
        """A window around a chosen voxel, off-centre by up to a quarter, kept inside."""
        tissues = [name for name in case.spots if name != BRAIN]
        on_tumour = tissues and rng.random() < self.tumour_share
        spots = case.spots[tissues[rng.integers(len(tissues))] if on_tumour else BRAIN]
        centre = spots[rng.integers(len(spots))]
        start = []
        for axis, size in enumerate(self.window):
            shift = int(rng.integers(-(size // 4), size // 4 + 1))
            wanted = int(centre[axis]) + shift - size // 2
            room = case.shape[axis] - size
            start.append(min(max(wanted, min(0, room)), max(0, room)))
        a, b, c = start
        x, y, z = self.window
        return Box((a, b, c), (a + x, b + y, c + z))
