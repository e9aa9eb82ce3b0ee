"""One number that makes a network as sure as it may be, fitted on cases it has not learnt from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from minicube._errors import InputError
from minicube.scans import NETWORK_SCHEME, LabelMap

__all__ = ["LogitSample", "fit_temperature", "sample_logits"]

_RANGE: Final = (0.02, 50.0)
_HALVINGS: Final = 60


@dataclass(frozen=True, eq=False)
class LogitSample:
    """Voxels drawn from one case or from several, which are added: all that a fit needs.

    Args:
        logits: ``(voxel, class)`` float32, in the order of :data:`NETWORK_SCHEME`.
        labels: What each voxel is, ``(voxel,)``, 0 to the number of classes less 1.
        weights: How many voxels each stands for, ``(voxel,)`` float64.
    """

    logits: NDArray[np.float32]
    labels: NDArray[np.uint8]
    weights: NDArray[np.float64]

    def __add__(self, other: LogitSample) -> LogitSample:
        return LogitSample(
            np.concatenate([self.logits, other.logits]),
            np.concatenate([self.labels, other.labels]),
            np.concatenate([self.weights, other.weights]),
        )

    def loss(self, temperature: float) -> float:
        """Mean negative log-likelihood of the labels by softmax(logits / temperature)."""
        scaled = self._centred / temperature
        each = np.log(np.exp(scaled).sum(axis=1)) - self._of_label(scaled)
        return float(np.average(each, weights=self.weights))

    def slope(self, temperature: float) -> float:
        """Derivative of :meth:`loss` by 1 / temperature, in which the loss is convex."""
        z = self._centred
        shares = np.exp(z / temperature)
        shares /= shares.sum(axis=1, keepdims=True)
        each = (shares * z).sum(axis=1) - self._of_label(z)
        return float(np.average(each, weights=self.weights))

    @property
    def _centred(self) -> NDArray[np.float64]:
        z = self.logits.astype(np.float64)
        z -= z.max(axis=1, keepdims=True)
        return z

    def _of_label(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.take_along_axis(values, self.labels[:, None].astype(np.intp), 1)[:, 0]


def sample_logits(
    logits: NDArray[np.float32],
    reference: LabelMap,
    *,
    inside: NDArray[np.bool_],
    voxels: int = 5000,
    seed: int = 0,
) -> LogitSample:
    """Draw voxels of a case, as many of each tissue, so that rare ones are well represented.

    Weighted by how many of its tissue each one stands for, they stand for all voxels inside: the
    loss of a sample is an unbiased estimate of theirs. A case takes 25 bytes a voxel drawn.

    Args:
        logits: ``(class, x, y, z)``.
        reference: ``(x, y, z)``, in a scheme that loses nothing in :data:`NETWORK_SCHEME`.
        inside: Voxels that are drawn from, ``(x, y, z)``, such as the brain.
        voxels: Of each tissue, at most.
        seed: Of the draw.
    """
    rng = np.random.default_rng(seed)
    labels = reference.to(NETWORK_SCHEME).array[inside]
    given = logits[:, inside].T
    drawn: list[NDArray[np.intp]] = []
    weights: list[NDArray[np.float64]] = []
    for value in NETWORK_SCHEME.values:
        there = np.flatnonzero(labels == value)
        some = rng.choice(there, min(voxels, there.size), replace=False)
        drawn.append(some)
        weights.append(np.full(some.size, there.size / max(1, some.size)))
    chosen = np.concatenate(drawn)
    return LogitSample(given[chosen], labels[chosen], np.concatenate(weights))


def fit_temperature(sample: LogitSample) -> float:
    """Return the temperature with which the labels are likeliest.

    A single one, for all classes: it changes no likeliest class of a single network, so no label,
    and cannot fit more than how sure the network is. The loss is convex in 1 / temperature, so
    where its derivative is 0 is found by halving.

    Reference: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017,
    arXiv:1706.04599, section 4.2, temperature scaling.

    Args:
        sample: Of cases that the network has not learnt from.

    Raises:
        InputError: There are no voxels, or no temperature between 0.02 and 50 is the best: the
            network is always right, or its logits say nothing.
    """
    if not sample.weights.sum() > 0:
        raise InputError("A temperature cannot be fitted without voxels.")
    sure, unsure = (1 / temperature for temperature in _RANGE)
    if sample.slope(1 / sure) <= 0 or sample.slope(1 / unsure) >= 0:
        raise InputError(
            "No temperature fits these logits.",
            expected="logits that are right more often than not, and not always",
            found=f"a loss that still falls at {_RANGE[0]:g} or {_RANGE[1]:g}",
            hint="fit on more cases, none that the network has learnt from",
        )
    for _ in range(_HALVINGS):
        middle = (sure + unsure) / 2
        if sample.slope(1 / middle) > 0:
            sure = middle
        else:
            unsure = middle
    return 2 / (sure + unsure)
