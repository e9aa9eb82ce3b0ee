"""Scores of many cases together."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import add
from typing import Any, Final

from minicube._errors import InputError
from minicube.evaluation.counts import CLASSES, Confusion, Counts, EmptyPolicy
from minicube.evaluation.lesions import LesionRule, LesionScore
from minicube.evaluation.scores import CaseScores, Score
from minicube.evaluation.statistics import RESAMPLES, Interval, interval
from minicube.evaluation.surface import SurfacePolicy
from minicube.scans import Region, Tissue

__all__ = ["LesionSummary", "ScoreSummary", "Spread", "Summary", "summarise"]

INTERVALS_FROM: Final = 3
"""Fewer cases get no interval."""


@dataclass(frozen=True)
class Spread:
    """One score over cases.

    Args:
        values: Of the cases that have it.
    """

    values: tuple[float, ...]

    @property
    def n(self) -> int:
        """Cases that have the score."""
        return len(self.values)

    @property
    def mean(self) -> float | None:
        """Their mean; None when there are none."""
        return math.fsum(self.values) / self.n if self.n else None

    @property
    def median(self) -> float | None:
        """Their median; None when there are none."""
        return statistics.median(self.values) if self.n else None

    @cached_property
    def interval(self) -> Interval | None:
        """95 % bootstrap interval of the mean over cases; None below three."""
        return interval(self.values) if self.n >= INTERVALS_FROM else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: mean and median, and the interval if there is one."""
        ends = (
            {} if self.interval is None else {"interval": [self.interval.low, self.interval.high]}
        )
        return {"mean": self.mean, "median": self.median, **ends}


@dataclass(frozen=True)
class LesionSummary:
    """Agreement on one region over cases, lesion by lesion.

    Args:
        dice: The cases' lesion-wise Dice.
        hd95: The cases' lesion-wise HD95, mm.
        lesions: Of all cases' references together.
        missed: Likewise.
        false_alarms: Likewise.
    """

    dice: Spread
    hd95: Spread
    lesions: int
    missed: int
    false_alarms: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "dice": _with_n(self.dice),
            "hd95": _with_n(self.hd95),
            "lesions": self.lesions,
            "missed": self.missed,
            "false_alarms": self.false_alarms,
        }


@dataclass(frozen=True)
class ScoreSummary:
    """Agreement on one class or region over cases.

    Args:
        dice: Of the cases, in [0, 1], those left out that the policy leaves out.
        n_empty: Cases whose reference has nothing of it.
        pooled: All cases' voxels counted together; not subject to the policy.
        hd95: Of the cases, mm, if it was measured.
        nsd: Likewise, in [0, 1].
        lesions: Lesion by lesion, likewise.
    """

    dice: Spread
    n_empty: int
    pooled: Counts
    hd95: Spread | None = None
    nsd: Spread | None = None
    lesions: LesionSummary | None = None

    @property
    def n(self) -> int:
        """Cases that mean and median of Dice are of."""
        return self.dice.n

    @property
    def mean(self) -> float | None:
        """Mean of the cases' Dice in [0, 1]; None when n is 0."""
        return self.dice.mean

    @property
    def median(self) -> float | None:
        """Median of the cases' Dice in [0, 1]; None when n is 0."""
        return self.dice.median

    def to_dict(self, dice_as: str) -> dict[str, Any]:
        """Return plain values for JSON, Dice under the name ``dice_as``."""
        measured = {"hd95": self.hd95, "nsd": self.nsd}
        return {
            "n": self.n,
            "n_empty": self.n_empty,
            dice_as: self.dice.to_dict(),
            **{name: _with_n(spread) for name, spread in measured.items() if spread is not None},
            **({} if self.lesions is None else {"lesion_wise": self.lesions.to_dict()}),
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
        surface_policy: That surfaces were scored with; None when they were not.
        lesion_rule: That lesions were scored with; None when they were not.
    """

    cases: int
    policy: EmptyPolicy
    classes: Mapping[Tissue, ScoreSummary]
    regions: Mapping[Region, ScoreSummary]
    confusion: Confusion
    surface_policy: SurfacePolicy | None = None
    lesion_rule: LesionRule | None = None

    def words(self) -> tuple[str, ...]:
        """Return how it was measured, as sentences to be printed with every table."""
        how = [self.policy.words()]
        how += [
            rule.words() for rule in (self.surface_policy, self.lesion_rule) if rule is not None
        ]
        if self.cases >= INTERVALS_FROM:
            how.append(f"Intervals: 95 %, of the mean, BCa bootstrap of {RESAMPLES:,} resamples.")
        return tuple(how)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; what does not exist is None."""
        rules = {"surface_policy": self.surface_policy, "lesion_rule": self.lesion_rule}
        return {
            "cases": self.cases,
            "empty_policy": self.policy.to_dict(),
            **{name: rule.to_dict() for name, rule in rules.items() if rule is not None},
            "how": list(self.words()),
            "notes": list(self.confusion.notes),
            "classes": {CLASSES[tissue]: s.to_dict("f1") for tissue, s in self.classes.items()},
            "regions": {region.value: s.to_dict("dice") for region, s in self.regions.items()},
            "confusion": self.confusion.to_dict(),
        }


def summarise(cases: Sequence[CaseScores]) -> Summary:
    """Bring the scores of cases together.

    Args:
        cases: At least one, all scored alike.

    Raises:
        InputError: There are no cases, or their policies differ.
    """
    if not cases:
        raise InputError("There are no cases to summarise.")
    policies = {(case.policy, case.surface_policy, case.lesion_rule) for case in cases}
    if len(policies) > 1:
        raise InputError("The cases were not scored with one policy for empty references.")
    policy, surface_policy, lesion_rule = policies.pop()
    return Summary(
        cases=len(cases),
        policy=policy,
        classes={tissue: _together([case.classes[tissue] for case in cases]) for tissue in CLASSES},
        regions={region: _together([case.regions[region] for case in cases]) for region in Region},
        confusion=reduce(add, (case.confusion for case in cases)),
        surface_policy=surface_policy,
        lesion_rule=lesion_rule,
    )


def _together(scores: Sequence[Score]) -> ScoreSummary:
    surfaces = [score.surface for score in scores if score.surface is not None]
    lesions = [score.lesions for score in scores if score.lesions is not None]
    return ScoreSummary(
        dice=_spread(score.dice for score in scores),
        n_empty=sum(score.counts.reference == 0 for score in scores),
        pooled=reduce(add, (score.counts for score in scores)),
        hd95=_spread(surface.hd95 for surface in surfaces) if surfaces else None,
        nsd=_spread(surface.nsd for surface in surfaces) if surfaces else None,
        lesions=_lesions_together(lesions) if lesions else None,
    )


def _lesions_together(scores: Sequence[LesionScore]) -> LesionSummary:
    return LesionSummary(
        dice=_spread(score.dice for score in scores),
        hd95=_spread(score.hd95 for score in scores),
        lesions=sum(score.lesions for score in scores),
        missed=sum(score.missed for score in scores),
        false_alarms=sum(score.false_alarms for score in scores),
    )


def _spread(values: Iterable[float | None]) -> Spread:
    return Spread(tuple(value for value in values if value is not None))


def _with_n(spread: Spread) -> dict[str, Any]:
    return {"n": spread.n, **spread.to_dict()}
