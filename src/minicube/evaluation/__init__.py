"""Counts first, then ratios: how well a label map agrees with its reference."""

from minicube.evaluation.counts import CLASSES, Confusion, Counts, EmptyPolicy, confusion
from minicube.evaluation.files import Evaluation, evaluate_files
from minicube.evaluation.scores import (
    CaseScores,
    Score,
    ScoreSummary,
    Summary,
    evaluate_case,
    summarise,
)
from minicube.evaluation.tables import case_table, cases_table, summary_table

__all__ = [
    "CLASSES",
    "CaseScores",
    "Confusion",
    "Counts",
    "EmptyPolicy",
    "Evaluation",
    "Score",
    "ScoreSummary",
    "Summary",
    "case_table",
    "cases_table",
    "confusion",
    "evaluate_case",
    "evaluate_files",
    "summarise",
    "summary_table",
]
