"""Probabilities of a volume: of one network, of several, of the head and its mirror image."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from minicube.engines import Cut, Engine, HeldImages, keep_likeliest, volume_answers
from minicube.planning import Partition
from minicube.scans import NETWORK_SCHEME, LabelMap, Region, Tissue
from minicube.volumes import Box, Frame, Shape, resample

__all__ = ["CLASSES", "Probabilities", "ProbabilitySum", "Run"]

CLASSES = len(NETWORK_SCHEME.values)
_LEAST = np.float32(np.finfo(np.float32).tiny)  # p ln p of 0 is 0


def _as_it_is(found: NDArray[np.float32]) -> NDArray[np.float32]:
    return found


@dataclass(frozen=True, eq=False)
class Run:
    """One way through one network.

    Args:
        engine: Runs it.
        images: ``(sequence, x, y, z)`` as it wants them.
        cut: How the volume is cut.
        mirrored: Show it the head with left and right exchanged, and turn its answer back.
        temperature: That its logits are divided by before they become probabilities.
    """

    engine: Engine
    images: NDArray[np.float32]
    cut: Cut | Partition | None
    mirrored: bool = False
    temperature: float = 1.0


class ProbabilitySum:
    """Class probabilities summed over runs, part by part.

    Args:
        shape: Voxels along x, y, z.
    """

    def __init__(self, shape: Shape) -> None:
        # Written to at once, so that a budget is planned with all of it in memory.
        self._sum = np.full((CLASSES, *shape), 0, np.float32)
        self._runs = 0

    def add(self, run: Run) -> LabelMap:
        """Add the softmax of a run's logits; parts that hold nothing are background.

        Returns:
            The likeliest classes by this run alone, ``(x, y, z)``: by its logits, which differ
            where probabilities are already rounded to the same number.
        """
        labels = np.zeros(self._sum.shape[1:], np.uint8)
        way = slice(None, None, -1 if run.mirrored else None)
        total, seen = self._sum[:, way], labels[way]
        for box, logits in volume_answers(run.engine, _Turned(run.images[:, way]), run.cut):
            x, y, z = box.slices
            _add_softmax(logits, run.temperature, total[:, x, y, z])
            keep_likeliest(logits, seen[x, y, z])
        self._runs += 1
        return LabelMap(labels, NETWORK_SCHEME)

    def mean(self) -> NDArray[np.float32]:
        """The sum made the mean, ``(class, x, y, z)``; nothing can be added any more."""
        self._sum /= self._runs
        return self._sum


@dataclass(frozen=True, eq=False)
class Probabilities:
    """Class probabilities of a prepared case.

    Args:
        array: ``(class, x, y, z)`` on the box of ``frame``, in the order of
            :data:`NETWORK_SCHEME`; they sum up to 1.
        frame: The way back to the case's grid.
        classes: How many are told apart.
        home: From the case's grid to that of the scan, where the case was made of raw scans.
    """

    array: NDArray[np.float32]
    frame: Frame
    classes: int = CLASSES
    home: Callable[[NDArray[np.float32]], NDArray[np.float32]] = _as_it_is

    def without_enhancement(self) -> Probabilities:
        """The same where enhancing tumour cannot be told: its share is core's; in place."""
        core, enhancing = map(NETWORK_SCHEME.value_of, (Tissue.CORE, Tissue.ENHANCING))
        self.array[core] += self.array[enhancing]
        self.array[enhancing] = 0
        return replace(self, classes=self.classes - 1)

    def likeliest(self) -> LabelMap:
        """Labels on the box of the frame."""
        labels = np.empty(self.array.shape[1:], np.uint8)
        keep_likeliest(self.array, labels)
        return LabelMap(labels, NETWORK_SCHEME)

    def of(self, region: Region) -> NDArray[np.float32]:
        """Probability of a region on the case's RAS+ grid, ``(x, y, z)`` in [0, 1].

        Interpolated linearly where the case's voxels are not 1 mm; 0 outside the brain's box.
        """
        whole = np.zeros(self.frame.network_shape, np.float32)
        inside = whole[self.frame.box.slices]
        for value in NETWORK_SCHEME.region_values(region):
            inside += self.array[value]
        np.minimum(inside, 1, out=inside)
        return self.home(resample(whole, self.frame.case_shape))

    def uncertainty(self) -> NDArray[np.float32]:
        """Entropy of the class probabilities over that of an even guess, on the case's grid.

        −Σ p ln p / ln K for K classes that are told apart: 0 where one class has it all, 1 where
        all have the same. ``(x, y, z)`` in [0, 1], RAS+; interpolated as :meth:`of` is.

        Reference: Shannon, "A Mathematical Theory of Communication", Bell System Technical
        Journal 27 (1948) 379–423, § 6; of a segmentation: Mehrtash et al., arXiv:1911.13273.
        """
        whole = np.zeros(self.frame.network_shape, np.float32)
        inside = whole[self.frame.box.slices]
        for x in range(self.array.shape[1]):  # by planes: nothing of the volume's size is made
            for share in self.array[:, x]:
                inside[x] -= share * np.log(np.maximum(share, _LEAST))
        inside /= np.float32(math.log(self.classes))
        np.clip(inside, 0, 1, out=inside)
        return self.home(resample(whole, self.frame.case_shape))


@dataclass(frozen=True, eq=False)
class _Turned(HeldImages):
    """Images whose windows are contiguous, even of a view that runs backwards."""

    def read(self, box: Box) -> NDArray[np.float32]:
        return np.ascontiguousarray(super().read(box))


def _add_softmax(
    logits: NDArray[np.float32], temperature: float, total: NDArray[np.float32]
) -> None:
    if not logits.any():
        total[0] += 1
        return
    for x in range(logits.shape[1]):  # by planes: nothing of the volume's size is made
        shares = np.exp((logits[:, x] - logits[:, x].max(axis=0)) / np.float32(temperature))
        total[:, x] += shares / shares.sum(axis=0)
