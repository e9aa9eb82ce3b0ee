"""Which window of which case a training step sees: a pure function of seed, step and index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from minicube.training.carving import Window, carved
from minicube.training.config import Sampling, TrainingConfig
from minicube.volumes import BRAIN, Box, Shape, StoredCase, partition
from minicube.volumes.stream import Stream

__all__ = ["Sampler"]


@dataclass(frozen=True)
class Sampler:
    """Draws samples as the config says.

    *Windows*: background is 98 % of a head, and windows placed evenly teach a network to say
    background. A share of the windows is therefore centred on a voxel of a tumour class, each
    class present in the case being as likely as the others; the rest on any brain voxel.

    *Volumes*: whole cases, padded to the network's stride.

    *Minicubes*: the report's way (§2.2.3). A case is cut into minicubes, a batch of which makes a
    step, until all were seen; then comes the next case: one image gives four steps of two.

    Args:
        cases: The training cases; one that stands there twice is seen twice an epoch.
        config: Of the run.
        margin: Voxels on each side that a sample has images for beyond its window.
        stride: Voxels along x, y, z that a sample's shape is a multiple of.
        stream: Cases made while training goes on; a share of the windows, ``config.simulated``,
            is of them.
    """

    cases: Sequence[StoredCase]
    config: TrainingConfig
    margin: int
    stride: Shape = (1, 1, 1)
    stream: Stream | None = None

    def draw(self, step: int, index: int) -> tuple[NDArray[np.float32], NDArray[np.uint8], int]:
        """Return images ``(sequence, x, y, z)``, labels ``(x, y, z)`` and a seed for what follows.

        x, y and z are the window's and twice the margin.

        Args:
            step: Training step, from 0.
            index: Number of the sample among all samples of the run, from 0.
        """
        rng = np.random.default_rng((self.config.seed, step, index))
        mixed = False
        if self.config.sampling is Sampling.MINICUBES:
            turn, part = divmod(index, self._samples_a_case)
            case = self.cases[self._turn(turn)]
            box = self._minicube(case, part)
        elif self.config.sampling is Sampling.VOLUMES:
            case = self.cases[self._turn(index)]
            box = self._whole(case)
        else:
            fresh = self.stream is not None and rng.random() < self.config.simulated
            case = self._fresh(step, rng) if fresh else self.cases[self._turn(index)]
            box = self._place(case, rng)
            mixed = not fresh and self.config.carved > 0 and rng.random() < self.config.carved
        images, labels = self._carved(case, box, rng) if mixed else self._read(case, box)
        return images, labels, int(rng.integers(2**31))

    def _carved(self, donor: StoredCase, box: Box, rng: np.random.Generator) -> Window:
        """The donor's tumour in another head, as far from the middle of its brain's box.

        In a head with the same sequences: of others only what both have would be left.
        """
        others = [
            case
            for case in self.cases
            if case.identity != donor.identity and case.present == donor.present
        ]
        if not others:
            return self._read(donor, box)
        head = others[rng.integers(len(others))]
        x, y, z = ((d - h) // 2 for d, h in zip(donor.shape, head.shape, strict=True))
        return carved(self._read(head, box.relative_to((x, y, z))), self._read(donor, box), rng)

    def _read(self, case: StoredCase, box: Box) -> Window:
        return case.read(_grown(box, self.margin), self.config.intensities)

    def spread(self, count: int) -> list[int]:
        """Numbers of ``count`` samples of as many cases; of minicubes, from all over the region."""
        if self.config.sampling is not Sampling.MINICUBES:
            return list(range(count))
        a_case = self._samples_a_case
        return [i * a_case + i * a_case // count for i in range(count)]

    def _fresh(self, step: int, rng: np.random.Generator) -> StoredCase:
        assert self.stream is not None
        cases = self.stream.at(step)
        return cases[rng.integers(len(cases))]

    def _turn(self, count: int) -> int:
        epoch, position = divmod(count, len(self.cases))
        if not self.config.shuffle:
            return position
        order = np.random.default_rng((self.config.seed, epoch)).permutation(len(self.cases))
        return int(order[position])

    @cached_property
    def _minicubes(self) -> list[Box]:
        """Parts of the region, counted from its corner."""
        assert self.config.region is not None  # the config sees to it
        return [part.core for part in partition(self.config.region, self.config.window)]

    @cached_property
    def _samples_a_case(self) -> int:
        """As many whole batches as show every minicube."""
        return -(-len(self._minicubes) // self.config.batch) * self.config.batch

    def _minicube(self, case: StoredCase, part: int) -> Box:
        corner = self._field(case).start
        return self._minicubes[part % len(self._minicubes)].relative_to(
            (-corner[0], -corner[1], -corner[2])
        )

    def _whole(self, case: StoredCase) -> Box:
        """All there is, and what the stride asks for on top, at the far ends."""
        field = self._field(case)
        x, y, z = (-(-n // s) * s for n, s in zip(field.shape, self.stride, strict=True))
        return _box(field.start, (x, y, z))

    def _field(self, case: StoredCase) -> Box:
        """Where samples come from: the brain's box, or a fixed region around its centre.

        Rounded as :func:`minicube.engines.cut_volume` does, so that minicubes are the same.
        """
        region = self.config.region or case.shape
        start = [int((n - size) / 2) for n, size in zip(case.shape, region, strict=True)]
        stop = [a + size for a, size in zip(start, region, strict=True)]
        return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))

    def _place(self, case: StoredCase, rng: np.random.Generator) -> Box:
        """A window around a chosen voxel, off-centre by up to a quarter, kept inside."""
        tissues = [name for name in case.spots if name != BRAIN]
        on_tumour = tissues and rng.random() < self.config.tumour_share
        field = self._field(case)
        if on_tumour or self.config.region is None:
            spots = case.spots[tissues[rng.integers(len(tissues))] if on_tumour else BRAIN]
            centre = spots[rng.integers(len(spots))]
        else:
            centre = rng.integers(field.start, field.stop)
        start = []
        for axis, size in enumerate(self.config.window):
            shift = int(rng.integers(-(size // 4), size // 4 + 1))
            wanted = int(centre[axis]) + shift - size // 2
            first, room = field.start[axis], field.shape[axis] - size
            start.append(min(max(wanted, first + min(0, room)), first + max(0, room)))
        return _box(start, self.config.window)


def _box(start: Sequence[int], shape: Shape) -> Box:
    a, b, c = start
    x, y, z = shape
    return Box((a, b, c), (a + x, b + y, c + z))


def _grown(box: Box, margin: int) -> Box:
    start = [a - margin for a in box.start]
    x, y, z = (n + 2 * margin for n in box.shape)
    return _box(start, (x, y, z))
