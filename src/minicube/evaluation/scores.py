"""Scores of a case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from minicube._errors import InputError
from minicube.evaluation.counts import CLASSES, Confusion, Counts, EmptyPolicy, confusion
from minicube.evaluation.lesions import LesionRule, LesionScore, lesion_scores
from minicube.evaluation.surface import (
    Part,
    Spacing,
    SurfacePolicy,
    SurfaceScore,
    surface_distances,
)
from minicube.scans import LabelMap, Region, Tissue

__all__ = ["CaseScores", "Score", "evaluate_case"]

_USUAL = EmptyPolicy()


@dataclass(frozen=True)
class Score:
    """Agreement on one class or region of one case.

    Precision and recall are None where they would be 0/0; Dice and IoU follow the policy where
    the reference is empty.

    Args:
        counts: Voxels.
        policy: For empty references.
        surface: How far the surfaces are apart, if that was measured.
        lesions: Agreement lesion by lesion, likewise.
    """

    counts: Counts
    policy: EmptyPolicy
    surface: SurfaceScore | None = None
    lesions: LesionScore | None = None

    @property
    def dice(self) -> float | None:
        """Dice, which is F1, in [0, 1]; None when the policy leaves the case out."""
        return self.policy.settle(self.counts, self.counts.dice)

    @property
    def iou(self) -> float | None:
        """Intersection over union in [0, 1]; None when the policy leaves the case out."""
        return self.policy.settle(self.counts, self.counts.iou)

    def to_dict(self, dice_as: str) -> dict[str, Any]:
        """Return plain values for JSON, Dice under the name ``dice_as``."""
        return {
            "counts": self.counts.to_dict(),
            "precision": self.counts.precision,
            "recall": self.counts.recall,
            dice_as: self.dice,
            "iou": self.iou,
            **({} if self.surface is None else self.surface.to_dict()),
            **({} if self.lesions is None else {"lesion_wise": self.lesions.to_dict()}),
        }


@dataclass(frozen=True, eq=False)
class CaseScores:
    """How a prediction of one case agrees with its reference.

    Args:
        identity: Name of the case.
        confusion: All that was counted.
        policy: For classes and regions that the reference does not have.
        surface_policy: That surfaces were scored with; None when they were not.
        surfaces: Of tissues, background left out, and of regions.
        lesion_rule: That lesions were scored with; None when they were not.
        lesions: Of regions.
    """

    identity: str
    confusion: Confusion
    policy: EmptyPolicy
    surface_policy: SurfacePolicy | None = None
    surfaces: Mapping[Part, SurfaceScore] = field(default_factory=dict)
    lesion_rule: LesionRule | None = None
    lesions: Mapping[Region, LesionScore] = field(default_factory=dict)

    @property
    def notes(self) -> tuple[str, ...]:
        """What bringing both label maps to the scored tissues lost, in words."""
        return self.confusion.notes

    @cached_property
    def classes(self) -> Mapping[Tissue, Score]:
        """Scores of background, oedema, non-enhancing and enhancing tumour."""
        return {
            tissue: Score(self.confusion.tissue(tissue), self.policy, self.surfaces.get(tissue))
            for tissue in CLASSES
        }

    @cached_property
    def regions(self) -> Mapping[Region, Score]:
        """Scores of WT, TC and ET."""
        return {
            region: Score(
                self.confusion.region(region),
                self.policy,
                self.surfaces.get(region),
                self.lesions.get(region),
            )
            for region in Region
        }

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; what does not exist is None."""
        return {
            "case": self.identity,
            "notes": list(self.notes),
            "classes": {CLASSES[t]: score.to_dict("f1") for t, score in self.classes.items()},
            "regions": {r.value: score.to_dict("dice") for r, score in self.regions.items()},
            "confusion": self.confusion.to_dict(),
        }


def evaluate_case(
    prediction: LabelMap,
    reference: LabelMap,
    *,
    identity: str,
    policy: EmptyPolicy = _USUAL,
    spacing: Spacing | None = None,
    surfaces: SurfacePolicy | None = None,
    lesions: LesionRule | None = None,
) -> CaseScores:
    """Compare a prediction with its reference: voxels counted, and more if it is asked for.

    Args:
        prediction: Labels of any scheme, on the reference's grid.
        reference: Labels of any scheme.
        identity: Name of the case.
        policy: For classes and regions that the reference does not have.
        spacing: Of the grid along x, y, z, mm; needed for surfaces and lesions.
        surfaces: Measure HD95 and surface Dice of tissues and regions, with this policy.
        lesions: Score the regions lesion by lesion, with this rule.

    Raises:
        InputError: The two have different shapes; surfaces or lesions are asked for and there is
            no spacing, or the label maps are not 3-D.
    """
    counted = confusion(prediction, reference)
    if surfaces is None and lesions is None:
        return CaseScores(identity, counted, policy)
    if spacing is None:
        raise InputError(
            "Surfaces and lesions are measured in mm, which needs the spacing of the voxels."
        )
    distances = {} if surfaces is None else surface_distances(prediction, reference, spacing)
    regions = () if lesions is None else tuple(Region)
    return CaseScores(
        identity,
        counted,
        policy,
        surface_policy=surfaces,
        surfaces={part: d.score(surfaces) for part, d in distances.items() if surfaces},
        lesion_rule=lesions,
        lesions={
            region: lesion_scores(prediction, reference, region, spacing, rule=lesions)
            for region in regions
            if lesions
        },
    )
