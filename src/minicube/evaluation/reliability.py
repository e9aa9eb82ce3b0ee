"""Whether probabilities mean what they say: of voxels given 0.8, are eight in ten right?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from minicube._errors import InputError
from minicube.scans import NETWORK_SCHEME, LabelMap, Region

__all__ = ["BINS", "Reliability", "region_reliability", "reliability"]

BINS: Final = 15
"""Bins of the confidence, as in Guo et al."""


@dataclass(frozen=True, eq=False)
class Reliability:
    """Voxels sorted by confidence into bins of equal width, of one case or of several added up.

    All that the error of calibration needs, exactly; nothing of a voxel is kept.

    Args:
        voxels: In each bin, ``(bins,)`` int64; bin m holds confidences in (m / bins, (m + 1) /
            bins], the first 0 as well.
        confidence: Their confidences summed, ``(bins,)`` float64.
        hits: How many of them are what was claimed, ``(bins,)`` int64.
    """

    voxels: NDArray[np.int64]
    confidence: NDArray[np.float64]
    hits: NDArray[np.int64]

    def __add__(self, other: Reliability) -> Reliability:
        return Reliability(
            self.voxels + other.voxels,
            self.confidence + other.confidence,
            self.hits + other.hits,
        )

    @property
    def ece(self) -> float | None:
        """Expected calibration error in [0, 1]; None without voxels.

        Σ |B_m| / n · |acc(B_m) − conf(B_m)|, with the share of hits and the mean confidence of
        each bin B_m.

        Reference: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017,
        arXiv:1706.04599, eq. 3.
        """
        n = int(self.voxels.sum())
        return float(np.abs(self.hits - self.confidence).sum() / n) if n else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; of an empty bin None."""
        share = [_ratio(h, n) for h, n in zip(self.hits, self.voxels, strict=True)]
        confidence = [_ratio(c, n) for c, n in zip(self.confidence, self.voxels, strict=True)]
        return {
            "ece": self.ece,
            "voxels": self.voxels.tolist(),
            "share_of_hits": share,
            "mean_confidence": confidence,
        }


def reliability(
    confidence: NDArray[Any], hit: NDArray[np.bool_], *, bins: int = BINS
) -> Reliability:
    """Sort voxels by confidence.

    Args:
        confidence: In [0, 1], any shape.
        hit: Whether what was claimed with that confidence is so, of the same shape.
        bins: How many, at least 1.

    Raises:
        InputError: Shapes differ, or a confidence is none.
    """
    if confidence.shape != hit.shape:
        raise InputError(
            "Confidences and hits do not belong together.",
            expected=f"shape {confidence.shape}",
            found=f"shape {hit.shape}",
        )
    claimed = confidence.ravel().astype(np.float64)
    if claimed.size and not (claimed.min() >= 0 and claimed.max() <= 1):
        raise InputError("A confidence lies outside [0, 1], or is no number.")
    place = np.ceil(claimed * bins).astype(np.intp) - 1
    np.clip(place, 0, bins - 1, out=place)
    return Reliability(
        np.bincount(place, minlength=bins).astype(np.int64),
        np.bincount(place, weights=claimed, minlength=bins).astype(np.float64),
        np.bincount(place[hit.ravel()], minlength=bins).astype(np.int64),
    )


def region_reliability(
    probabilities: NDArray[np.float32],
    reference: LabelMap,
    *,
    inside: NDArray[np.bool_],
    bins: int = BINS,
) -> Mapping[Region, Reliability]:
    """Hold the probability of each region against an expert's labels.

    The confidence is the region's probability – the sum of its tissues' – whether it is large or
    small. Most voxels are far from any tumour, surely and rightly: the error falls with every one
    of them that is counted, so it means something only together with where it was taken.

    Args:
        probabilities: ``(class, x, y, z)`` in the order of :data:`NETWORK_SCHEME`.
        reference: ``(x, y, z)`` in any scheme.
        inside: Voxels that are counted, ``(x, y, z)``, such as the brain.
        bins: How many, at least 1.

    Raises:
        InputError: Shapes differ, or a probability is none.
    """
    found = {}
    for region in Region:
        values = list(NETWORK_SCHEME.region_values(region))
        claimed = probabilities[values][:, inside].sum(axis=0)
        np.minimum(claimed, 1, out=claimed, where=claimed < 1 + 1e-5)  # a sum's rounding alone
        found[region] = reliability(claimed, reference.region(region)[inside], bins=bins)
    return found


def _ratio(part: float, whole: int) -> float | None:
    return float(part) / int(whole) if whole else None
