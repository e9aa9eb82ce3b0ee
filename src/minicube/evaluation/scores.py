"""Scores of a case, and of many cases together."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import add
from typing import Any

from minicube._errors import InputError
from minicube.evaluation.counts import CLASSES, Confusion, Counts, EmptyPolicy, confusion
from minicube.scans import LabelMap, Region, Tissue

__all__ = ["CaseScores", "Score", "ScoreSummary", "Summary", "evaluate_case", "summarise"]

_USUAL = EmptyPolicy()


@dataclass(frozen=True)
class Score:
    """Agreement on one class or region of one case.

    Precision and recall are None where they would be 0/0; Dice and IoU follow the policy where
    the reference is empty.

    Args:
        counts: Voxels.
        policy: For empty references.
    """

    counts: Counts
    policy: EmptyPolicy

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
        }


@dataclass(frozen=True, eq=False)
class CaseScores:
    """How a prediction of one case agrees with its reference.

    Args:
        identity: Name of the case.
        confusion: All that was counted; everything else follows from it.
        policy: For classes and regions that the reference does not have.
    """

    identity: str
    confusion: Confusion
    policy: EmptyPolicy

    @property
    def notes(self) -> tuple[str, ...]:
        """What bringing both label maps to the scored tissues lost, in words."""
        return self.confusion.notes

    @cached_property
    def classes(self) -> Mapping[Tissue, Score]:
        """Scores of background, oedema, non-enhancing and enhancing tumour."""
        return {tissue: Score(self.confusion.tissue(tissue), self.policy) for tissue in CLASSES}

    @cached_property
    def regions(self) -> Mapping[Region, Score]:
        """Scores of WT, TC and ET."""
        return {region: Score(self.confusion.region(region), self.policy) for region in Region}

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; what does not exist is None."""
        return {
            "case": self.identity,
            "notes": list(self.notes),
            "classes": {CLASSES[t]: score.to_dict("f1") for t, score in self.classes.items()},
            "regions": {r.value: score.to_dict("dice") for r, score in self.regions.items()},
            "confusion": self.confusion.to_dict(),
        }


@dataclass(frozen=True)
class ScoreSummary:
    """Agreement on one class or region over cases.

    Args:
        n: Cases that mean and median are of.
        n_empty: Cases whose reference has nothing of it.
        mean: Mean of the cases' Dice in [0, 1]; None when n is 0.
        median: Their median, likewise.
        pooled: All cases' voxels counted together; not subject to the policy.
    """

    n: int
    n_empty: int
    mean: float | None
    median: float | None
    pooled: Counts

    def to_dict(self, dice_as: str) -> dict[str, Any]:
        """Return plain values for JSON, Dice under the name ``dice_as``."""
        return {
            "n": self.n,
            "n_empty": self.n_empty,
            dice_as: {"mean": self.mean, "median": self.median},
            "pooled": {
                "counts": self.pooled.to_dict(),
                "precision": self.pooled.precision,
                "recall": self.pooled.recall,
                "f1": self.pooled.dice,
                "iou": self.pooled.iou,
            },
        }


@dataclass(frozen=True, eq=False)
class Summary:
    """Agreement over cases: mean and median of Dice, and voxels pooled.

    Args:
        cases: How many there are.
        policy: That the cases were scored with.
        classes: By tissue, background included.
        regions: By region.
        confusion: Of all voxels of all cases.
    """

    cases: int
    policy: EmptyPolicy
    classes: Mapping[Tissue, ScoreSummary]
    regions: Mapping[Region, ScoreSummary]
    confusion: Confusion

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; what does not exist is None."""
        return {
            "cases": self.cases,
            "empty_policy": self.policy.to_dict(),
            "notes": list(self.confusion.notes),
            "classes": {CLASSES[tissue]: s.to_dict("f1") for tissue, s in self.classes.items()},
            "regions": {region.value: s.to_dict("dice") for region, s in self.regions.items()},
            "confusion": self.confusion.to_dict(),
        }


def evaluate_case(
    prediction: LabelMap, reference: LabelMap, *, identity: str, policy: EmptyPolicy = _USUAL
) -> CaseScores:
    """Compare a prediction with its reference.

    Args:
        prediction: Labels of any scheme, on the reference's grid.
        reference: Labels of any scheme.
        identity: Name of the case.
        policy: For classes and regions that the reference does not have.

    Raises:
        InputError: The two have different shapes.
    """
    return CaseScores(identity, confusion(prediction, reference), policy)


def summarise(cases: Sequence[CaseScores]) -> Summary:
    """Bring the scores of cases together.

    Args:
        cases: At least one, all scored with one policy.

    Raises:
        InputError: There are no cases, or their policies differ.
    """
    if not cases:
        raise InputError("There are no cases to summarise.")
    policies = {case.policy for case in cases}
    if len(policies) > 1:
        raise InputError("The cases were not scored with one policy for empty references.")
    return Summary(
        cases=len(cases),
        policy=policies.pop(),
        classes={tissue: _together([case.classes[tissue] for case in cases]) for tissue in CLASSES},
        regions={region: _together([case.regions[region] for case in cases]) for region in Region},
        confusion=reduce(add, (case.confusion for case in cases)),
    )


def _together(scores: Sequence[Score]) -> ScoreSummary:
    values = [score.dice for score in scores if score.dice is not None]
    return ScoreSummary(
        n=len(values),
        n_empty=sum(score.counts.reference == 0 for score in scores),
        mean=math.fsum(values) / len(values) if values else None,
        median=statistics.median(values) if values else None,
        pooled=reduce(add, (score.counts for score in scores)),
    )
