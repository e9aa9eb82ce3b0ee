"""Distances between surfaces: HD95 and normalised surface Dice, in mm."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import edt
import numpy as np
from numpy.typing import NDArray

from minicube._errors import InputError
from minicube.evaluation.counts import CLASSES, check_same_shape, common_box, network_values
from minicube.scans import NETWORK_SCHEME, LabelMap, Region, Tissue

__all__ = [
    "BRATS_SURFACES",
    "UNDEFINED_LEFT_OUT",
    "EmptyScores",
    "Part",
    "Spacing",
    "SurfaceDistances",
    "SurfacePolicy",
    "SurfaceScore",
    "checked_spacing",
    "mask_distances",
    "surface_distances",
    "surface_scores",
]

Spacing: TypeAlias = tuple[float, float, float]
"""Distance between voxel centres along x, y, z, mm."""

Part: TypeAlias = Region | Tissue
"""What has a surface: a region, or a tissue by itself."""

PARTS: Final[tuple[Part, ...]] = (*(t for t in CLASSES if t is not Tissue.BACKGROUND), *Region)
"""Every tissue and region that surfaces are compared of."""

# A header stores spacing in single precision: 1.0000001 mm is not beyond a tolerance of 1 mm.
_SLACK: Final = 1 + 1e-4


@dataclass(frozen=True)
class EmptyScores:
    """What a score is where one mask or both are empty; None leaves the case out.

    Args:
        both_empty: Neither has a voxel.
        false_alarm: The prediction alone has some.
        missed: The reference alone has some.
    """

    both_empty: float | None
    false_alarm: float | None
    missed: float | None

    def settle(self, predicted: int, reference: int) -> float | None:
        """Return the score for these numbers of voxels, at least one of them 0."""
        if predicted:
            return self.false_alarm
        return self.missed if reference else self.both_empty

    def words(self, unit: str = "") -> str:
        """Return the scores as the end of a sentence."""
        both, alarm, missed = (
            "left out" if value is None else f"{value:g}{unit}"
            for value in (self.both_empty, self.false_alarm, self.missed)
        )
        return f"{both} when both are empty, {alarm} for a false alarm, {missed} when missed"

    def to_dict(self) -> dict[str, float | None]:
        """Return plain values for JSON."""
        return {
            "both_empty": self.both_empty,
            "false_alarm": self.false_alarm,
            "missed": self.missed,
        }


@dataclass(frozen=True)
class SurfacePolicy:
    """How surfaces are scored: the tolerance, and what counts where there is no surface.

    Args:
        hd95: For the distance, mm.
        nsd: For the normalised surface Dice, in [0, 1].
        tolerance: How far surfaces may be apart to agree, mm.
    """

    hd95: EmptyScores
    nsd: EmptyScores
    tolerance: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.tolerance) and self.tolerance >= 0):
            raise InputError(
                "The tolerance of surfaces is not a distance.",
                expected="0 mm or more",
                found=f"{self.tolerance:g}",
            )

    def words(self) -> str:
        """Return the policy as sentences, to be printed with every table."""
        return f"HD95: {self.hd95.words(' mm')}. NSD at {self.tolerance:g} mm: {self.nsd.words()}."

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "hd95": self.hd95.to_dict(),
            "nsd": self.nsd.to_dict(),
            "tolerance_mm": self.tolerance,
        }


BRATS_SURFACES: Final = SurfacePolicy(
    hd95=EmptyScores(both_empty=0.0, false_alarm=374.0, missed=374.0),
    nsd=EmptyScores(both_empty=1.0, false_alarm=0.0, missed=0.0),
)
"""BraTS' rule: 374 mm, about the diagonal of its 240 × 240 × 155 mm scans, where one is empty."""

UNDEFINED_LEFT_OUT: Final = SurfacePolicy(
    hd95=EmptyScores(both_empty=None, false_alarm=None, missed=None),
    nsd=EmptyScores(both_empty=None, false_alarm=0.0, missed=0.0),
)
"""No number where there is none. It flatters: a tumour that was missed leaves the mean HD95."""


@dataclass(frozen=True)
class SurfaceScore:
    """How far surfaces are apart; None where the policy leaves the case out.

    Args:
        hd95: 95 % Hausdorff distance, mm, ≥ 0.
        nsd: Normalised surface Dice in [0, 1].
    """

    hd95: float | None
    nsd: float | None

    def to_dict(self) -> dict[str, float | None]:
        """Return plain values for JSON."""
        return {"hd95": self.hd95, "nsd": self.nsd}


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """How far each voxel of one surface is from the other surface.

    A surface is made of a mask's voxels that miss one of their six face neighbours in it; outside
    the scan there is none. Distances are between voxel centres, in single precision where voxels
    are not cubes, and infinite when the other surface does not exist.

    Args:
        predicted: From each surface voxel of the prediction, mm, ``(n,)`` float64 in no order;
            empty when the prediction is.
        reference: Likewise from those of the reference.
    """

    predicted: NDArray[np.float64]
    reference: NDArray[np.float64]

    @property
    def defined(self) -> bool:
        """Whether there are two surfaces."""
        return bool(self.predicted.size and self.reference.size)

    def hd95(self, *, pooled: bool = False) -> float:
        """Return the 95 % Hausdorff distance, mm: the larger of the two directed 95th percentiles.

        Percentiles are interpolated linearly over surface voxels, as in MONAI. Taken of both
        directions pooled (panoptica) it is smaller as a rule; weighted by surface area (DeepMind's
        ``surface-distance``, in BraTS 2023) it differs in either direction.

        Args:
            pooled: Take the percentile of both directions together instead.

        Reference: Huttenlocher, Klanderman and Rucklidge, IEEE Trans. Pattern Anal. Mach. Intell.
        15 (1993) 850–863 (directed, by rank); Menze et al., IEEE Trans. Med. Imaging 34 (2015)
        1993–2024 (the larger of both, 95 %).

        Raises:
            InputError: One surface does not exist, or both.
        """
        self._check_defined("95 % Hausdorff distance")
        sides = (self.predicted, self.reference)
        if pooled:
            return float(np.percentile(np.concatenate(sides), 95))
        return float(max(np.percentile(side, 95) for side in sides))

    def nsd(self, tolerance: float) -> float:
        """Return the share of both surfaces that lies within a distance of the other, in [0, 1].

        Surface is counted in voxels, as MONAI does by default, not in mm² as DeepMind's
        ``surface-distance`` does. A distance counts as within up to 0.01 % beyond the tolerance,
        so that rounding of the spacing in a header decides nothing.

        Args:
            tolerance: mm, ≥ 0.

        Reference: Nikolov et al., J. Med. Internet Res. 23 (2021) e26151 (by area); Seidlitz et
        al., Med. Image Anal. 80 (2022) 102488 (by voxels).

        Raises:
            InputError: One surface does not exist, or both.
        """
        self._check_defined("surface Dice")
        sides = (self.predicted, self.reference)
        within = sum(int(np.count_nonzero(side <= tolerance * _SLACK)) for side in sides)
        return within / (self.predicted.size + self.reference.size)

    def score(self, policy: SurfacePolicy = BRATS_SURFACES) -> SurfaceScore:
        """Return HD95 and surface Dice, or what the policy says where there is no surface."""
        if self.defined:
            return SurfaceScore(self.hd95(), self.nsd(policy.tolerance))
        sizes = self.predicted.size, self.reference.size
        return SurfaceScore(policy.hd95.settle(*sizes), policy.nsd.settle(*sizes))

    def _check_defined(self, what: str) -> None:
        if not self.defined:
            raise InputError(
                f"Where a surface does not exist there is no {what}.",
                hint="ask for score(policy), which says what to do about it",
            )


def surface_distances(
    prediction: LabelMap,
    reference: LabelMap,
    spacing: Spacing,
    parts: Sequence[Part] = PARTS,
) -> dict[Part, SurfaceDistances]:
    """Measure how far the surfaces of prediction and reference are apart, part by part.

    Args:
        prediction: Labels of any scheme, ``(x, y, z)``, on the reference's grid.
        reference: Labels of any scheme.
        spacing: Of the grid along x, y, z, mm.
        parts: Regions and tissues; by default all, background left out.

    Raises:
        InputError: The two have different shapes or are not 3-D, or the spacing is not one.
    """
    check_same_shape(prediction, reference)
    scale = checked_spacing(spacing, prediction.array.ndim)
    box = common_box(prediction.array, reference.array)
    found, truth = (_bits(labels, box, parts) for labels in (prediction, reference))
    return dict(zip(parts, _distances(found, truth, len(parts), scale), strict=True))


def mask_distances(
    prediction: NDArray[np.bool_], reference: NDArray[np.bool_], spacing: Spacing
) -> SurfaceDistances:
    """Measure how far the surfaces of two masks are apart.

    Args:
        prediction: ``(x, y, z)``.
        reference: On the same grid.
        spacing: Of the grid along x, y, z, mm.

    Raises:
        InputError: As :func:`surface_distances`.
    """
    scale = checked_spacing(spacing, prediction.ndim)
    box = common_box(prediction, reference)
    found, truth = (mask[box].astype(np.uint8) for mask in (prediction, reference))
    return next(_distances(found, truth, 1, scale))


def surface_scores(
    prediction: LabelMap,
    reference: LabelMap,
    region: Region,
    spacing: Spacing,
    tolerance: float | None = None,
    *,
    policy: SurfacePolicy = BRATS_SURFACES,
) -> SurfaceScore:
    """Return HD95 and normalised surface Dice of one region.

    Args:
        prediction: Labels of any scheme, ``(x, y, z)``, on the reference's grid.
        reference: Labels of any scheme.
        region: WT, TC or ET.
        spacing: Of the grid along x, y, z, mm.
        tolerance: Of the surface Dice, mm; by default the policy's, which is 1 mm.
        policy: For masks that are empty.

    Raises:
        InputError: As :func:`surface_distances`.
    """
    if tolerance is not None:
        policy = replace(policy, tolerance=tolerance)
    return surface_distances(prediction, reference, spacing, (region,))[region].score(policy)


def checked_spacing(spacing: Spacing, dimensions: int) -> NDArray[np.float64]:
    """Return the spacing of a 3-D grid, ``(3,)``, mm.

    Args:
        spacing: Along x, y, z, mm.
        dimensions: Of the array that lies on the grid.

    Raises:
        InputError: It is not three positive numbers, or the array is not 3-D.
    """
    scale = np.asarray(spacing, np.float64)
    if dimensions != 3 or scale.shape != (3,) or not (np.isfinite(scale) & (scale > 0)).all():
        raise InputError(
            "Surfaces need label maps in 3-D and the spacing of their voxels.",
            expected="three positive numbers of mm",
            found=f"spacing {spacing}, label maps of {dimensions} dimensions",
        )
    return scale


def _bits(labels: LabelMap, box: tuple[slice, ...], parts: Sequence[Part]) -> NDArray[np.uint8]:
    """The box with bit i set where part i is."""
    bits = np.zeros(len(NETWORK_SCHEME.values), np.uint8)
    for i, part in enumerate(parts):
        bits[list(_values(part))] |= 1 << i
    coded: NDArray[np.uint8] = bits[network_values(labels.scheme)][labels.array[box]]
    return coded


def _values(part: Part) -> tuple[int, ...]:
    if isinstance(part, Region):
        return NETWORK_SCHEME.region_values(part)
    return (NETWORK_SCHEME.value_of(part),)


def _distances(
    prediction: NDArray[np.uint8], reference: NDArray[np.uint8], n: int, scale: NDArray[np.float64]
) -> Iterator[SurfaceDistances]:
    """Between n masks in the lowest bits of both, mask by mask."""
    # The reference goes to the upper byte: one pass finds all surfaces.
    bits = np.zeros([size + 2 for size in prediction.shape], np.uint16)
    bits[1:-1, 1:-1, 1:-1] = prediction | reference.astype(np.uint16) << 8
    where, codes = _surface(bits)
    for i in range(n):
        one, other = (where[codes >> shift & 1 == 1] for shift in (i, i + 8))
        yield SurfaceDistances(_nearest(one, other, scale), _nearest(other, one, scale))


def _surface(bits: NDArray[np.uint16]) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
    """Voxels that are on any surface, ``(n, 3)``, and of which masks, ``(n,)``."""
    inside = bits[1:-1, 1:-1, 1:-1]
    eroded = inside.copy()
    for axis in range(3):
        for step in (slice(None, -2), slice(2, None)):
            beside = [slice(1, -1)] * 3
            beside[axis] = step
            eroded &= bits[tuple(beside)]
    surface = inside & ~eroded
    index = np.flatnonzero(surface)
    where = np.stack(np.unravel_index(index, surface.shape), axis=1)
    return where, surface.ravel()[index]


def _nearest(
    start: NDArray[np.int64], goal: NDArray[np.int64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    """From each voxel of ``start`` ``(n, 3)`` to the nearest of ``goal`` ``(m, 3)``, mm."""
    if not (len(start) and len(goal)):
        return np.full(len(start), np.inf)
    first = np.minimum(start.min(axis=0), goal.min(axis=0))
    last = np.maximum(start.max(axis=0), goal.max(axis=0))
    away = np.ones(last - first + 1, np.bool_)
    away[tuple((goal - first).T)] = False
    # In units of the shortest side: squares of isotropic voxels are whole, and float32 exact.
    unit = scale.min()
    squared = edt.edtsq(away, anisotropy=tuple(scale / unit))[tuple((start - first).T)]
    distances: NDArray[np.float64] = np.sqrt(squared, dtype=np.float64) * unit
    return distances
