"""Scores for people who read them in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum

from rich import box
from rich.markup import escape
from rich.table import Table

from minicube.evaluation.counts import CLASSES, Confusion
from minicube.evaluation.scores import CaseScores
from minicube.evaluation.summary import ScoreSummary, Spread, Summary
from minicube.scans import Region, Tissue

__all__ = [
    "case_table",
    "cases_table",
    "confusion_table",
    "distances_table",
    "lesions_table",
    "regions_table",
    "summary_table",
    "surfaces_table",
]


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


def surfaces_table(case: CaseScores) -> Table:
    """Return what was measured in mm of one case: a row for each tissue and region."""
    rules = (case.surface_policy, case.lesion_rule)
    how = "\n".join(rule.words() for rule in rules if rule is not None)
    table = _table("Surfaces and lesions" if case.lesions else "Surfaces", how, ())
    _add_columns(table, "HD95, mm", "NSD")
    if case.lesions:
        _add_columns(table, "lesions", "missed", "false\nalarms", "lesion\nDice", "lesion\nHD95")
    for name, score in (*case.classes.items(), *case.regions.items()):
        surface, lesions = score.surface, score.lesions
        if surface is None and lesions is None:
            continue
        cells = ["–", "–"] if surface is None else [_mm(surface.hd95), _ratio(surface.nsd)]
        if lesions is not None:
            numbers = (lesions.lesions, lesions.missed, lesions.false_alarms)
            cells += [*map(str, numbers), _ratio(lesions.dice), _mm(lesions.hd95)]
        table.add_row(_name(name), *cells, end_section=name is _LAST_CLASS)
    return table


def confusion_table(confusion: Confusion) -> Table:
    """Return a confusion matrix: a row for each predicted class, a column for each true one."""
    table = _table("Confusion matrix, voxels", "Rows: prediction. Columns: reference.", ())
    _add_columns(table, *map(_name, CLASSES))
    for tissue, row in zip(CLASSES, confusion.matrix.tolist(), strict=True):
        table.add_row(_name(tissue), *(f"{voxels:,}" for voxels in row))
    return table


def cases_table(cases: Sequence[CaseScores]) -> Table:
    """Return the Dice of many cases: a row for each case."""
    table = _table("Dice of each case", "", ())
    tissues = [tissue for tissue in CLASSES if tissue is not Tissue.BACKGROUND]
    _add_columns(table, *map(_name, (*tissues, *Region)))
    for case in cases:
        classes = (case.classes[tissue] for tissue in tissues)
        scores = (*classes, *case.regions.values())
        table.add_row(escape(case.identity), *(_ratio(score.dice) for score in scores))
    return table


def distances_table(cases: Sequence[CaseScores]) -> Table:
    """Return HD95 and NSD of the regions of many cases: a row for each case."""
    table = _table("Surfaces of each case: HD95 in mm, and NSD", "", ())
    _add_columns(table, *(f"{region}\n{what}" for region in Region for what in ("HD95", "NSD")))
    for case in cases:
        surfaces = [case.surfaces[region] for region in Region]
        cells = (cell for s in surfaces for cell in (_mm(s.hd95), _ratio(s.nsd)))
        table.add_row(escape(case.identity), *cells)
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


def regions_table(summary: Summary) -> Table:
    """Return means, intervals and medians: for each tissue and region a row for each measure."""
    table = _table("Over cases", "\n".join(summary.words()[1:]), ())
    _add_columns(table, "n", "n empty", "mean", "95 % interval", "median")
    for name, score in (*summary.classes.items(), *summary.regions.items()):
        measures = [] if name is Tissue.BACKGROUND else list(_measures(score))
        for measure, spread in measures:
            show = _mm if "HD95" in measure else _ratio
            ends = spread.interval
            table.add_row(
                f"{_name(name)} {measure}",
                str(spread.n),
                str(score.n_empty),
                show(spread.mean),
                "–" if ends is None else f"{show(ends.low)} to {show(ends.high)}",
                show(spread.median),
                end_section=measure == measures[-1][0],
            )
    return table


def lesions_table(summary: Summary) -> Table:
    """Return how many lesions were found, missed and made up in all cases: a row a region."""
    table = _table("Lesions of all cases", "", ())
    _add_columns(table, "lesions", "missed", "false alarms")
    for region, score in summary.regions.items():
        if score.lesions is not None:
            numbers = score.lesions.lesions, score.lesions.missed, score.lesions.false_alarms
            table.add_row(_name(region), *(f"{number:,}" for number in numbers))
    return table


def _measures(score: ScoreSummary) -> Iterator[tuple[str, Spread]]:
    yield "Dice", score.dice
    if score.hd95 is not None and score.nsd is not None:
        yield "HD95, mm", score.hd95
        yield "NSD", score.nsd
    if score.lesions is not None:
        yield "lesion-wise Dice", score.lesions.dice
        yield "lesion-wise HD95, mm", score.lesions.hd95


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


def _mm(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
