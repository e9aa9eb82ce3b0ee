"""Lesion by lesion: which were found, how well, and what was taken for one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import cc3d
import numpy as np
from numpy.typing import NDArray

from minicube._errors import MissingExtra
from minicube.evaluation.counts import check_same_shape, common_box
from minicube.evaluation.surface import Spacing, checked_spacing, mask_distances
from minicube.scans import LabelMap, Region, components

__all__ = [
    "BRATS2023_LESIONS",
    "BRATS2026_LESIONS",
    "Lesion",
    "LesionRule",
    "LesionScore",
    "lesion_scores",
]

Labels: TypeAlias = NDArray[np.unsignedinteger[Any]]

_TOUCHING: Final = 26  # voxels that share a face, an edge or a corner are of one lesion


@dataclass(frozen=True)
class LesionRule:
    """What a lesion is, when it counts as found, and what it costs when not.

    Args:
        name: In tables.
        dilation: Steps of one voxel, to faces and edges, by which reference lesions grow before
            those that touch become one, and within which a predicted lesion counts as its own.
        one_to_one: A predicted lesion belongs to one of the reference at most, so that the sum of
            their Dice is the largest; else to each that it touches once grown.
        minimum: Reference lesions count from above this volume, mm³. Those not above it are not
            scored, but what was predicted there is no false alarm either.
        penalty: Distance of a lesion that was missed and of a false alarm, mm.
        pooled: Take the 95th percentile over both directions together, not the larger of two.
    """

    name: str
    dilation: int
    one_to_one: bool
    minimum: float
    penalty: float
    pooled: bool

    def words(self) -> str:
        """Return the rule as sentences, to be printed with every table."""
        match = (
            "lesions are matched one to one by Dice"
            if self.one_to_one
            else f"reference lesions are merged when they touch after {self.dilation} voxels of "
            "dilation, and found when the prediction has something there"
        )
        small = f"; those of {self.minimum:g} mm³ or less do not count" if self.minimum else ""
        return (
            f"Lesion by lesion ({self.name}): {match}{small}. "
            f"Missed lesions and false alarms score Dice 0 and HD95 {self.penalty:g} mm; "
            "where there is neither lesion nor false alarm, 1 and 0 mm."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "name": self.name,
            "dilation_voxels": self.dilation,
            "one_to_one": self.one_to_one,
            "minimum_mm3": self.minimum,
            "penalty_mm": self.penalty,
            "pooled_percentile": self.pooled,
        }


BRATS2023_LESIONS: Final = LesionRule(
    name="BraTS 2023", dilation=3, one_to_one=False, minimum=50.0, penalty=374.0, pooled=False
)
"""Adult glioma in BraTS 2023 (Saluja, BraTS-2023-Metrics). There HD95 is weighted by area."""

BRATS2026_LESIONS: Final = LesionRule(
    name="BraTS 2026", dilation=0, one_to_one=True, minimum=0.0, penalty=373.0, pooled=True
)
"""Matching of ``brats-evaluation`` 0.0.10, every lesion counted."""


@dataclass(frozen=True)
class Lesion:
    """One lesion of the reference.

    Args:
        volume: mm³.
        found: Whether anything predicted belongs to it.
        dice: With all predicted lesions that belong to it, in [0, 1]; 0 when missed.
        hd95: Likewise, mm; the rule's penalty when missed.
    """

    volume: float
    found: bool
    dice: float
    hd95: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "volume_mm3": self.volume,
            "found": self.found,
            "dice": self.dice,
            "hd95": self.hd95,
        }


@dataclass(frozen=True)
class LesionScore:
    """Agreement on one region of one case, lesion by lesion.

    Args:
        dice: Mean over lesions and false alarms, in [0, 1]; 1 when there is neither.
        hd95: Likewise, mm; 0 when there is neither.
        lesions: Lesions of the reference that count.
        missed: Those of them that nothing predicted belongs to.
        false_alarms: Predicted lesions that belong to none of the reference.
        each: The lesions that count, in the order of their first voxel.
    """

    dice: float
    hd95: float
    lesions: int
    missed: int
    false_alarms: int
    each: tuple[Lesion, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "dice": self.dice,
            "hd95": self.hd95,
            "lesions": self.lesions,
            "missed": self.missed,
            "false_alarms": self.false_alarms,
            "each": [lesion.to_dict() for lesion in self.each],
        }


def lesion_scores(
    prediction: LabelMap,
    reference: LabelMap,
    region: Region,
    spacing: Spacing,
    *,
    rule: LesionRule = BRATS2023_LESIONS,
) -> LesionScore:
    """Score one region lesion by lesion.

    A lesion is a 26-connected component. With the BraTS 2023 rule the reference grows by three
    voxels first, and what is connected then is one lesion, of its voxels before growing. All
    predicted components that a grown lesion touches are compared with it as they are; one that
    touches several counts with each, one that touches none is a false alarm, however small.

    Args:
        prediction: Labels of any scheme, ``(x, y, z)``, on the reference's grid.
        reference: Labels of any scheme.
        region: WT, TC or ET.
        spacing: Of the grid along x, y, z, mm.
        rule: What is a lesion and what is found.

    Raises:
        InputError: The two have different shapes or are not 3-D, or the spacing is not one.

    Reference: Saluja et al., BraTS-2023-Metrics (2023), as described in its README and in Moawad
    et al., arXiv:2306.00838 (BraTS-METS 2023).
    """
    check_same_shape(prediction, reference)
    scale = checked_spacing(spacing, prediction.array.ndim)
    box = _grown(
        common_box(prediction.array, reference.array), reference.array.shape, rule.dilation
    )
    found, truth = (
        LabelMap(labels.array[box], labels.scheme).region(region)
        for labels in (prediction, reference)
    )
    parts = _components(found)
    lesions, reach = _lesions(truth, rule.dilation)
    belongs = _one_to_one(lesions, parts) if rule.one_to_one else _touching(reach, parts)
    each = tuple(
        lesion
        for lesion in _compared(lesions, parts, belongs, scale, rule)
        if lesion.volume > rule.minimum
    )
    false_alarms = int(parts.max(initial=0)) - len({part for _, part in belongs})
    return _score(each, false_alarms, rule)


def _score(each: tuple[Lesion, ...], false_alarms: int, rule: LesionRule) -> LesionScore:
    n = len(each) + false_alarms
    distance = math.fsum(lesion.hd95 for lesion in each) + false_alarms * rule.penalty
    return LesionScore(
        dice=math.fsum(lesion.dice for lesion in each) / n if n else 1.0,
        hd95=distance / n if n else 0.0,
        lesions=len(each),
        missed=sum(not lesion.found for lesion in each),
        false_alarms=false_alarms,
        each=each,
    )


def _grown(box: tuple[slice, ...], shape: tuple[int, ...], steps: int) -> tuple[slice, ...]:
    """The box with that many voxels around it, as far as the scan goes."""
    return tuple(
        slice(max(side.start - steps, 0), min(side.stop + steps, size))
        for side, size in zip(box, shape, strict=True)
    )


def _components(mask: NDArray[np.bool_]) -> Labels:
    return components(np.ascontiguousarray(mask), _TOUCHING)


def _lesions(truth: NDArray[np.bool_], dilation: int) -> tuple[Labels, Labels]:
    """Lesions by number, and the voxels within reach of each."""
    if not dilation:
        lesions = _components(truth)
        return lesions, lesions
    # A component of the grown mask is what its own lesion grows to: nothing else reaches there.
    reach = _components(_dilated(truth, dilation))
    return np.where(truth, reach, 0), reach


def _dilated(mask: NDArray[np.bool_], steps: int) -> NDArray[np.bool_]:
    """A mask grown to the faces and edges of its voxels (18 neighbours), so many times."""
    for _ in range(steps):
        x, y, z = (_widened(mask, axis) for axis in range(3))
        mask = _widened(x, 1) | _widened(y, 2) | _widened(z, 0)
    return mask


def _widened(mask: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
    """A mask and its neighbours along one axis."""
    wide = mask.copy()
    to, of = np.moveaxis(wide, axis, 0), np.moveaxis(mask, axis, 0)
    to[1:] |= of[:-1]
    to[:-1] |= of[1:]
    return wide


def _touching(reach: Labels, parts: Labels) -> set[tuple[int, int]]:
    """Which lesion has which predicted components within reach."""
    return set(_overlaps(reach, parts))


def _one_to_one(lesions: Labels, parts: Labels) -> set[tuple[int, int]]:
    """Pairs of lesion and predicted component, each in one at most, of the largest summed Dice."""
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError as error:
        raise MissingExtra("Matching lesions one to one", "train") from error
    sizes = [np.bincount(labels.ravel()) for labels in (lesions, parts)]
    dice = np.zeros([len(size) for size in sizes])
    for (lesion, part), voxels in _overlaps(lesions, parts).items():
        dice[lesion, part] = 2 * voxels / (sizes[0][lesion] + sizes[1][part])
    chosen = zip(*linear_sum_assignment(dice, maximize=True), strict=True)
    return {(int(lesion), int(part)) for lesion, part in chosen if dice[lesion, part] > 0}


def _overlaps(lesions: Labels, parts: Labels) -> dict[tuple[int, int], int]:
    """Voxels that a lesion and a predicted component share, where they share any."""
    both = (lesions > 0) & (parts > 0)
    pairs, voxels = np.unique(np.stack([lesions[both], parts[both]]), axis=1, return_counts=True)
    return {(int(a), int(b)): int(n) for a, b, n in zip(*pairs, voxels, strict=True)}


def _compared(
    lesions: Labels,
    parts: Labels,
    belongs: set[tuple[int, int]],
    scale: NDArray[np.float64],
    rule: LesionRule,
) -> Iterator[Lesion]:
    """Each lesion against the predicted components that belong to it."""
    if not lesions.any():
        return  # and perhaps no voxels at all, of which there are no statistics
    boxes, part_boxes = (cc3d.statistics(of)["bounding_boxes"] for of in (lesions, parts))
    x, y, z = scale.tolist()
    for lesion, lesion_box in list(enumerate(boxes))[1:]:  # 0 is what is no lesion
        mine = sorted(part for owner, part in belongs if owner == lesion)
        box = _around([lesion_box, *(part_boxes[part] for part in mine)])
        truth, found = lesions[box] == lesion, np.isin(parts[box], mine)
        counts = [int(np.count_nonzero(mask)) for mask in (truth, found, truth & found)]
        distances = mask_distances(found, truth, (x, y, z))
        yield Lesion(
            volume=counts[0] * x * y * z,
            found=bool(mine),
            dice=2 * counts[2] / (counts[0] + counts[1]),
            hd95=distances.hd95(pooled=rule.pooled) if mine else rule.penalty,
        )


def _around(boxes: Sequence[tuple[slice, ...]]) -> tuple[slice, ...]:
    """The smallest box that holds all."""
    return tuple(
        slice(min(side.start for side in sides), max(side.stop for side in sides))
        for sides in zip(*boxes, strict=True)
    )
