"""Counts first, then ratios and distances: how well a label map agrees with its reference."""

from minicube.evaluation.counts import CLASSES, Confusion, Counts, EmptyPolicy, confusion
from minicube.evaluation.enhancing import EnhancingFound, fit_least_enhancing, mean_with_rule
from minicube.evaluation.files import Evaluation, check_same_grid, evaluate_files
from minicube.evaluation.lesions import (
    BRATS2023_LESIONS,
    BRATS2026_LESIONS,
    Lesion,
    LesionRule,
    LesionScore,
    lesion_scores,
)
from minicube.evaluation.reliability import Reliability, region_reliability, reliability
from minicube.evaluation.scores import CaseScores, Score, evaluate_case
from minicube.evaluation.statistics import Interval, PairedTest, compare, holm, interval
from minicube.evaluation.summary import (
    LesionSummary,
    ScoreSummary,
    Spread,
    Summary,
    summarise,
)
from minicube.evaluation.surface import (
    BRATS_SURFACES,
    UNDEFINED_LEFT_OUT,
    EmptyScores,
    SurfaceDistances,
    SurfacePolicy,
    SurfaceScore,
    mask_distances,
    surface_distances,
    surface_scores,
)
from minicube.evaluation.tables import (
    case_table,
    cases_table,
    confusion_table,
    distances_table,
    lesions_table,
    regions_table,
    summary_table,
    surfaces_table,
)
from minicube.evaluation.temperature import LogitSample, fit_temperature, sample_logits

__all__ = [
    "BRATS2023_LESIONS",
    "BRATS2026_LESIONS",
    "BRATS_SURFACES",
    "CLASSES",
    "UNDEFINED_LEFT_OUT",
    "CaseScores",
    "Confusion",
    "Counts",
    "EmptyPolicy",
    "EmptyScores",
    "EnhancingFound",
    "Evaluation",
    "Interval",
    "Lesion",
    "LesionRule",
    "LesionScore",
    "LesionSummary",
    "LogitSample",
    "PairedTest",
    "Reliability",
    "Score",
    "ScoreSummary",
    "Spread",
    "Summary",
    "SurfaceDistances",
    "SurfacePolicy",
    "SurfaceScore",
    "case_table",
    "cases_table",
    "check_same_grid",
    "compare",
    "confusion",
    "confusion_table",
    "distances_table",
    "evaluate_case",
    "evaluate_files",
    "fit_least_enhancing",
    "fit_temperature",
    "holm",
    "interval",
    "lesion_scores",
    "lesions_table",
    "mask_distances",
    "mean_with_rule",
    "region_reliability",
    "regions_table",
    "reliability",
    "sample_logits",
    "summarise",
    "summary_table",
    "surface_distances",
    "surface_scores",
    "surfaces_table",
]
