"""Scores for people who read them in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from rich import box
from rich.table import Table

from minicube.evaluation.counts import CLASSES
from minicube.evaluation.scores import CaseScores, Summary
from minicube.scans import Region, Tissue

__all__ = ["case_table", "cases_table", "summary_table"]


def case_table(case: CaseScores) -> Table:
    """Return the counts and ratios of one case: a row for each class and region."""
    table = _table(case.identity, case.policy.words(), case.notes)
    _add_columns(table, "tp", "fp", "fn", "precision", "recall", "Dice, F1", "IoU")
    for name, score in (*case.classes.items(), *case.regions.items()):
        counts = score.counts
        table.add_row(
            _name(name),
            *(f"{voxels:,}" for voxels in (counts.tp, counts.fp, counts.fn)),
            *map(_ratio, (counts.precision, counts.recall, score.dice, score.iou)),
            end_section=name is _LAST_CLASS,
        )
    return table


def cases_table(cases: Sequence[CaseScores]) -> Table:
    """Return the Dice of many cases: a row for each case."""
    table = _table("Dice of each case", "", ())
    tissues = [tissue for tissue in CLASSES if tissue is not Tissue.BACKGROUND]
    _add_columns(table, *map(_name, (*tissues, *Region)))
    for case in cases:
        classes = (case.classes[tissue] for tissue in tissues)
        scores = (*classes, *case.regions.values())
        table.add_row(case.identity, *(_ratio(score.dice) for score in scores))
    return table


def summary_table(summary: Summary) -> Table:
    """Return the summary of many cases: a row for each class and region."""
    title = f"All {summary.cases} cases" if summary.cases > 1 else "One case"
    table = _table(title, summary.policy.words(), summary.confusion.notes)
    _add_columns(table, "n", "n empty", "mean Dice", "median")
    _add_columns(table, "pooled\nprecision", "pooled\nrecall", "pooled\nF1")
    for name, score in (*summary.classes.items(), *summary.regions.items()):
        pooled = score.pooled
        table.add_row(
            _name(name),
            str(score.n),
            str(score.n_empty),
            *map(_ratio, (score.mean, score.median)),
            *map(_ratio, (pooled.precision, pooled.recall, pooled.dice)),
            end_section=name is _LAST_CLASS,
        )
    return table


_LAST_CLASS = list(CLASSES)[-1]


def _table(title: str, policy: str, notes: Sequence[str]) -> Table:
    caption = "\n".join((policy, *notes)).strip()
    table = Table(title=title, caption=caption or None, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.title_justify = table.caption_justify = "left"
    table.add_column("", no_wrap=True)
    return table


def _add_columns(table: Table, *headings: str) -> None:
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)


def _name(name: StrEnum) -> str:
    return name.value if isinstance(name, Region) else CLASSES[Tissue(name)].replace("_", "-")


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
