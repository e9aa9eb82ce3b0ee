"""How sure a number is: intervals over cases, and systems compared case by case."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from minicube._errors import InputError

__all__ = ["RESAMPLES", "Interval", "PairedTest", "compare", "holm", "interval"]

RESAMPLES: Final = 10_000
"""How often cases are drawn again."""

MINIMUM_PAIRS: Final = 6
"""With fewer differences no result of the signed-rank test is below 0.05: 2 / 2⁵ = 0.0625."""

_EXACT_UP_TO: Final = 50
_DRAWN_AT_ONCE: Final = 1 << 20
_NORMAL: Final = NormalDist()

Values: TypeAlias = NDArray[np.float64]
Statistic: TypeAlias = Literal["mean", "median"]


@dataclass(frozen=True)
class Interval:
    """A statistic over cases and its confidence interval.

    Args:
        low: Lower end, in the unit of the values.
        high: Upper end.
        estimate: The statistic of the cases themselves.
        n: Cases. Below about ten an interval is too narrow, and of one case it is a point.
    """

    low: float
    high: float
    estimate: float
    n: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"low": self.low, "high": self.high, "estimate": self.estimate, "n": self.n}


@dataclass(frozen=True)
class PairedTest:
    """Two systems on the same cases.

    Args:
        n: Cases.
        mean_difference: Mean of first − second, in the unit of the scores.
        low: Lower end of its 95 % interval.
        high: Upper end.
        p: Two-sided, in [0, 1]; None when fewer than six cases differ: no test could tell.
    """

    n: int
    mean_difference: float
    low: float
    high: float
    p: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "n": self.n,
            "mean_difference": self.mean_difference,
            "low": self.low,
            "high": self.high,
            "p": self.p,
        }


def interval(
    values: Sequence[float], *, level: float = 0.95, seed: int = 0, statistic: Statistic = "mean"
) -> Interval:
    """Return the bootstrap confidence interval of a mean or a median over cases.

    10 000 resamples of the cases. Of the mean: bias-corrected and accelerated (BCa), which follows
    the skew that scores near their bound have. Of the median: percentiles, since the jackknife
    that BCa needs fails for medians.

    Args:
        values: Of one case each, at least one, finite.
        level: Of confidence, in (0, 1).
        seed: Of the resamples.
        statistic: "mean" or "median".

    Raises:
        InputError: There are no values, one is not finite, or the level is not in (0, 1).

    Reference: Efron and Tibshirani, An Introduction to the Bootstrap (1993), eq. 13.3 to 13.5
    (percentile) and 14.9 to 14.15 (BCa); on the median, section 11.6.
    """
    given = _checked(values)
    if not 0 < level < 1:
        raise InputError(
            "The level of confidence is not between 0 and 1.", expected="0.95", found=f"{level:g}"
        )
    centre = _STATISTICS[statistic]
    estimate = float(centre(given[None])[0])
    drawn = _resampled(given, centre, seed)
    tails = (1 - level) / 2, (1 + level) / 2
    if statistic == "mean":
        tails = _accelerated(given, estimate, drawn, tails)
    low, high = np.quantile(drawn, tails).tolist()
    return Interval(low, high, estimate, given.size)


def compare(first: Sequence[float], second: Sequence[float]) -> PairedTest:
    """Compare the scores of two systems on the same cases.

    Wilcoxon's signed-rank test, two-sided. Cases on which both score the same are ranked with the
    rest and then left out (Pratt), ties share their mean rank. Up to 50 cases that differ, p is
    exact: all ways to give the differences their signs are counted; beyond, it is from the normal
    approximation.

    Args:
        first: Scores of one system, one a case, finite.
        second: Scores of the other, in the same order of cases.

    Returns:
        The test, and the mean of first − second with its 95 % interval (:func:`interval`).

    Raises:
        InputError: There are no scores, one is not finite, or their numbers differ.

    Reference: Wilcoxon, Biometrics Bulletin 1 (1945) 80–83; Pratt, J. Am. Stat. Assoc. 54 (1959)
    655–667.
    """
    if len(first) != len(second):
        raise InputError(
            "The two systems were not scored on the same cases.",
            expected="one score a case from each",
            found=f"{len(first)} and {len(second)}",
        )
    differences = _checked(first) - _checked(second)
    around = interval(differences.tolist())
    return PairedTest(
        n=differences.size,
        mean_difference=around.estimate,
        low=around.low,
        high=around.high,
        p=_signed_rank(differences),
    )


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust the p of a family of tests so that one false discovery in it is as rare as asked.

    A test without p stays without, but counts as one of the family: what was asked counts, not
    what could be answered.

    Args:
        p_values: In [0, 1], or None.

    Returns:
        In the same order, none smaller than it was, none above 1.

    Raises:
        InputError: One is not in [0, 1].

    Reference: Holm, Scand. J. Stat. 6 (1979) 65–70.
    """
    given = [(p, i) for i, p in enumerate(p_values) if p is not None]
    if not all(0 <= p <= 1 for p, _ in given):
        raise InputError("A p-value is not between 0 and 1.")
    adjusted: list[float | None] = [None] * len(p_values)
    so_far = 0.0
    for rank, (p, i) in enumerate(sorted(given)):
        so_far = max(so_far, min(1.0, (len(p_values) - rank) * p))
        adjusted[i] = so_far
    return adjusted


def _checked(values: Sequence[float]) -> Values:
    given = np.asarray(values, np.float64)
    if given.ndim != 1 or not given.size or not np.isfinite(given).all():
        raise InputError(
            "There is nothing to calculate statistics of.",
            expected="at least one number a case, all finite",
            found=f"{list(values)[:8]}",
            hint="leave cases out that have no score",
        )
    return given


def _mean(samples: Values) -> Values:
    return np.asarray(samples.mean(axis=1))


def _median(samples: Values) -> Values:
    return np.asarray(np.median(samples, axis=1))


_STATISTICS: Final[dict[Statistic, Callable[[Values], Values]]] = {
    "mean": _mean,
    "median": _median,
}


def _resampled(values: Values, centre: Callable[[Values], Values], seed: int) -> Values:
    """The statistic of each resample, ``(RESAMPLES,)``."""
    rng = np.random.default_rng(seed)
    rows = max(1, _DRAWN_AT_ONCE // values.size)
    parts = []
    for start in range(0, RESAMPLES, rows):
        shape = min(rows, RESAMPLES - start), values.size
        parts.append(centre(values[rng.integers(values.size, size=shape)]))
    return np.concatenate(parts)


def _accelerated(
    values: Values, estimate: float, drawn: Values, tails: tuple[float, float]
) -> tuple[float, float]:
    """Where in the resamples the tails of a mean lie, corrected for bias and skew (BCa)."""
    # Resamples equal to the estimate count half: without this, ties would look like bias.
    below = float(np.mean(drawn < estimate) + np.mean(drawn == estimate) / 2)
    away = values - values.mean()
    spread = math.fsum((away**2).tolist())
    if spread == 0 or not 0 < below < 1:
        return tails
    bias = _NORMAL.inv_cdf(below)
    # The jackknife's estimate; without the i-th case the mean moves by −away[i] / (n − 1).
    skew = math.fsum((away**3).tolist()) / (6 * spread**1.5)

    def moved(tail: float) -> float:
        z = bias + _NORMAL.inv_cdf(tail)
        # Past the pole of the correction there is nothing but the outermost resample.
        return _NORMAL.cdf(bias + z / (1 - skew * z)) if skew * z < 1 else float(z > 0)

    return moved(tails[0]), moved(tails[1])


def _signed_rank(differences: Values) -> float | None:
    """Two-sided p of Wilcoxon's test with Pratt's zeros."""
    apart = differences != 0
    n = int(np.count_nonzero(apart))
    if n < MINIMUM_PAIRS:
        return None
    ranks = _twice_the_ranks(np.abs(differences))
    total = int(ranks[apart].sum())
    positive = int(ranks[differences > 0].sum())
    if n > _EXACT_UP_TO:
        # Each rank is added or not: a sum of mean total / 2 and of variance Σ rank² / 4.
        z = (positive - total / 2) / (math.sqrt(int((ranks[apart] ** 2).sum())) / 2)
        return math.erfc(abs(z) / math.sqrt(2))
    ways = np.ones(1)
    for rank in ranks[apart].tolist():
        # Each difference could as well have had the other sign: its rank is added or not.
        ways = np.pad(ways, (0, rank)) + np.pad(ways, (rank, 0))
    tail: float = ways[: min(positive, total - positive) + 1].sum().item() / 2**n
    return min(1.0, 2 * tail)


def _twice_the_ranks(values: Values) -> NDArray[np.int64]:
    """Twice the ranks from 1: whole numbers even where ties share a mean rank."""
    _, which, ties = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(ties)
    ranks: NDArray[np.int64] = (2 * last - ties + 1)[which]
    return ranks
