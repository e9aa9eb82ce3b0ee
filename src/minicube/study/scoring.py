"""Predictions of a study against their references: from label maps on disk to scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from minicube.engines import Cut
from minicube.evaluation import (
    BRATS2023_LESIONS,
    BRATS_SURFACES,
    CLASSES,
    CaseScores,
    Summary,
    check_same_grid,
    evaluate_case,
    summarise,
)
from minicube.scans import LabelMap, Tissue
from minicube.study.folder import PREDICTION_SCHEME, StudyFolder
from minicube.study.material import Source, read_in_ras
from minicube.study.seams import SeamCounts, count_seams
from minicube.study.setting import CaseFacts, Plan
from minicube.volumes import REPORT_MINICUBE, Box

__all__ = ["KEYS", "Group", "Outcome", "Scorer"]

KEYS: Mapping[Tissue, str] = {**CLASSES, Tissue.OEDEMA: "edema"}
"""Names of the classes in a study's results; as the report spells them."""

_SEAMS_AT = Cut(REPORT_MINICUBE)


@dataclass(frozen=True)
class Outcome:
    """How one prediction did.

    Args:
        facts: The case.
        scores: Voxels, surfaces and lesions.
        seams: Of the prediction, at the faces of the report's minicubes.
        reference_seams: Of the reference, at the same faces.
    """

    facts: CaseFacts
    scores: CaseScores
    seams: SeamCounts
    reference_seams: SeamCounts


@dataclass(frozen=True)
class Group:
    """Outcomes of one system on the cases of one group.

    Args:
        outcomes: At least one.
    """

    outcomes: Sequence[Outcome]

    @cached_property
    def summary(self) -> Summary:
        """All cases together."""
        return summarise([outcome.scores for outcome in self.outcomes])

    @property
    def f1(self) -> dict[str, float | None]:
        """F1 of each tumour class, voxels pooled over cases."""
        return {
            KEYS[tissue]: score.pooled.dice
            for tissue, score in self.summary.classes.items()
            if tissue is not Tissue.BACKGROUND
        }

    @property
    def mean_f1(self) -> float | None:
        """Mean of them; None when a class is nowhere, neither found nor there."""
        values = [value for value in self.f1.values() if value is not None]
        return sum(values) / len(values) if len(values) == len(self.f1) else None

    @property
    def seams(self) -> SeamCounts:
        """Of all predictions."""
        return sum((outcome.seams for outcome in self.outcomes), SeamCounts())

    @property
    def reference_seams(self) -> SeamCounts:
        """Of all references."""
        return sum((outcome.reference_seams for outcome in self.outcomes), SeamCounts())


class Scorer:
    """Reads predictions and scores them; references are read once.

    Args:
        folder: Of the study.
        plan: Of the study.
        source: Of the references.
    """

    def __init__(self, folder: StudyFolder, plan: Plan, source: Source) -> None:
        self._folder = folder
        self._facts = {case.case: case for case in plan.cases}
        self._reference = cache(source.reference)
        self._outcome = cache(self._score)

    def group(self, predictions: Sequence[tuple[str, str]], group: str) -> Group | None:
        """Score those predictions whose cases are of a group.

        Args:
            predictions: Training and case.
            group: "real" or "phantom".

        Returns:
            None when there are none.
        """
        wanted = [(u, c) for u, c in predictions if self._facts[c].group == group]
        outcomes = [self._outcome(unit, case) for unit, case in wanted]
        return Group(outcomes) if outcomes else None

    def labels(self, unit: str, case: str) -> LabelMap:
        """One prediction in RAS+, on its reference's grid.

        Raises:
            InputError: It cannot be read, or lies on another grid.
        """
        path = self._folder.prediction(unit, case)
        found, grid = read_in_ras(path, PREDICTION_SCHEME)
        check_same_grid(path, grid, f"the reference of {case}", self._reference(case)[1])
        return found

    def disagreement(self, first: str, second: str, cases: Sequence[str]) -> float | None:
        """Share of the scans' voxels to which two trainings give other labels."""
        voxels = differing = 0
        for case in cases:
            a, b = (self.labels(unit, case).array for unit in (first, second))
            voxels += a.size
            differing += int(np.count_nonzero(a != b))
        return differing / voxels if voxels else None

    def _score(self, unit: str, case: str) -> Outcome:
        found, facts = self.labels(unit, case), self._facts[case]
        reference, grid = self._reference(case)
        scores = evaluate_case(
            found,
            reference,
            identity=case,
            spacing=grid.ras_spacing,
            surfaces=BRATS_SURFACES,
            lesions=BRATS2023_LESIONS,
        )
        return Outcome(facts, scores, _seams(found, facts), _seams(reference, facts))


def _seams(labels: LabelMap, facts: CaseFacts) -> SeamCounts:
    """Nothing for scans that were resampled: their faces are not on the grid of the labels."""
    if not facts.millimetre:
        return SeamCounts()
    cut = np.ascontiguousarray(labels.array[_box(facts).slices])
    return count_seams(LabelMap(cut, labels.scheme), _SEAMS_AT)


def _box(facts: CaseFacts) -> Box:
    return Box(facts.box_start, facts.box_stop)
