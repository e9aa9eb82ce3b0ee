"""A study's tables: what it learnt from, Table 2, regions, tests and seams."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from minicube.reporting.executive_report import BACKGROUND_SHARE, TABLE_1, TABLE_2
from minicube.reporting.study_results import (
    CLASS_NAMES,
    ClassScore,
    Group,
    Results,
    Spread,
    System,
)
from minicube.reporting.tables import (
    MISSING,
    Column,
    Row,
    Table,
    interval,
    p_value,
    ratio,
    signed,
    whole,
)
from minicube.scans import Region

__all__ = [
    "case_scores_table",
    "cases_table",
    "comparisons_table",
    "group_of",
    "regions_table",
    "seams_table",
    "systems_table",
    "table_1",
    "table_2",
]

_NOTHING: Final = (MISSING, MISSING, MISSING)
_MEASURES: Final = {
    "dice": ("Dice", 3),
    "hd95": ("HD95, mm", 1),
    "nsd": ("NSD", 3),
    "lesion_dice": ("lesion-wise Dice", 3),
    "lesion_hd95": ("lesion-wise HD95, mm", 1),
}


def group_of(system: System | None, kind: str) -> Group | None:
    """Return a system's results on ``real`` cases or ``phantom`` ones."""
    if system is None:
        return None
    return system.real if kind == "real" else system.phantom


def table_1(results: Results) -> Table | None:
    """Voxels and proportion of every class in every set, and the report's own below."""
    if not results.data.table1:
        return None
    sets: dict[str, dict[str, tuple[str, str]]] = {}
    for share in results.data.table1:
        cells = (whole(share.voxels), ratio(share.proportion, 4))
        sets.setdefault(share.set_, {})[share.class_] = cells
    printed = {f"the report, {name}": classes for name, classes in TABLE_1.items()}
    rows = [
        Row((name, *_flat(classes)), first=number in (0, len(sets)))
        for number, (name, classes) in enumerate({**sets, **printed}.items())
    ]
    columns = [Column("set")]
    for words in CLASS_NAMES.values():
        columns += [Column(name, words) for name in ("voxels", "proportion")]
    return Table(tuple(columns), tuple(rows))


def _flat(classes: Mapping[str, tuple[str, str]]) -> Iterable[str]:
    for key in CLASS_NAMES:
        yield from classes.get(key, (MISSING, MISSING))


def cases_table(results: Results) -> Table | None:
    """Every case: its fold, and what its reference holds."""
    cases = results.data.cases
    if not cases:
        return None
    tumour = [name for name in CLASS_NAMES if name != "background"]
    rows = [
        Row(
            (
                case.case,
                case.group or MISSING,
                MISSING if case.fold is None else str(case.fold + 1),
                *(whole(case.voxels.get(name)) for name in tumour),
                {True: "yes", False: "no", None: MISSING}[case.enhancement],
            )
        )
        for case in cases
    ]
    columns = (
        Column("case"),
        Column("group", number=False),
        Column("fold"),
        *(Column(CLASS_NAMES[name], "voxels") for name in tumour),
        Column("enhances"),
    )
    return Table(columns, tuple(rows))


def systems_table(results: Results) -> Table | None:
    """What was compared: networks, sizes, cuts, and what was narrowed."""
    rows, notes = [], []
    for name, system in results.systems.items():
        network = system.network if system else None
        if system is None or network is None:
            continue
        cut = network.cut
        cells = (
            results.title(name),
            "as reported" if system.as_reported else "repaired",
            "-".join(map(str, network.widths)) or MISSING,
            whole(network.parameters),
            _sizes(network.receptive_field),
            _sizes(network.halo),
            _sizes(cut.minicube) if cut else "whole",
            MISSING if cut is None or cut.context is None else str(cut.context),
        )
        rows.append(Row(cells))
        if system.note:
            notes.append(f"{results.title(name)}, {cells[1]}: {system.note}")
    columns = (
        Column("system"),
        Column("setting", number=False),
        *map(Column, ("widths", "parameters", "receptive field", "halo", "minicube", "context")),
    )
    return Table(columns, tuple(rows), tuple(notes)) if rows else None


def table_2(results: Results, kind: str) -> Table | None:
    """Precision, recall and F1 by system and class, beside the report's own.

    Args:
        results: Of the study.
        kind: ``real`` or ``phantom``.
    """
    rows, missing = [], []
    for name in results.names:
        pair = {
            "as reported": group_of(results.as_reported(name), kind),
            "repaired": group_of(results.systems.get(name), kind),
        }
        missing += [f"{results.title(name)}, {way}" for way, group in pair.items() if not group]
        if not any(pair.values()):
            continue
        for number, (key, words) in enumerate(CLASS_NAMES.items()):
            scores = [group.score(key) if group else None for group in pair.values()]
            counted = scores[1] or scores[0]
            cells = (
                results.title(name) if number == 0 else "",
                words,
                *(TABLE_2.get(name, {}).get(key, _NOTHING)),
                *_three(scores[0]),
                *_three(scores[1]),
                _count(counted.n if counted else None),
                _count(counted.n_empty if counted else None),
            )
            rows.append(Row(cells, first=number == 0))
    if not rows:
        return None
    three = ("precision", "recall", "F1")
    columns = (
        Column("system"),
        Column("class", number=False),
        *(Column(name, "the report’s Table 2") for name in three),
        *(Column(name, "as reported, run here") for name in three),
        *(Column(name, "repaired") for name in three),
        Column("n", "cases"),
        Column("n empty", "cases"),
    )
    notes = _remarks(results, kind)
    if missing:
        notes = (*notes, f"Not run yet: {'; '.join(missing)}.")
    return Table(columns, tuple(rows), notes)


def _remarks(results: Results, kind: str) -> tuple[str, ...]:
    """How it was counted and, once, what the report's own table cannot be by definition."""
    pooled = (
        "Voxels are pooled over unseen cases; n counts the cases, n empty those of them whose"
        " reference has none of the class."
    )
    if kind != "real":
        return (pooled,)
    voxels = [case.voxels for case in results.data.cases if case.group in (kind, None)]
    counts = [sum(v.get(name) or 0 for v in voxels) for name in CLASS_NAMES]
    ours = f"{counts[0] / sum(counts):.3f} by the cases here, " if counts[0] else ""
    return (
        pooled,
        "The report prints precision 1.0 and recall 0.975 for the background of networks that say"
        " background everywhere. By definition such a network has recall 1, and its precision is"
        f" the background’s share of the voxels: {ours}{BACKGROUND_SHARE} by the report’s own"
        " Table 1 (less inside its crop). Precision of the other classes is then undefined (0/0)"
        " and their recall 0. The report’s numbers are these with the two columns exchanged.",
    )


def regions_table(results: Results, kind: str) -> Table | None:
    """WT, TC and ET by system: mean with its interval, and median, of every measure over cases."""
    chosen = [
        (name, group)
        for name, system in results.systems.items()
        if (group := group_of(system, kind)) is not None and group.regions
    ]
    found = {m for _, group in chosen for region in group.regions.values() for m in region or {}}
    measures = [name for name in _MEASURES if name in found]
    if not measures:
        return None
    rows = []
    for name, group in chosen:
        for number, region in enumerate(Region):
            spreads = [group.measure(region, measure) for measure in measures]
            cells = [results.full_title(name) if number == 0 else "", region.value]
            for measure, spread in zip(measures, spreads, strict=True):
                cells += _spread(spread, _MEASURES[measure][1])
            counted = next((spread for spread in spreads if spread), None)
            cells += [_count(counted.n if counted else None)]
            cells += [_count(counted.n_empty if counted else None)]
            rows.append(Row(tuple(cells), first=number == 0))
    columns = [Column("system"), Column("region", number=False)]
    for measure in measures:
        columns += [Column(name, _MEASURES[measure][0]) for name in ("mean", "median")]
    columns += [Column("n", "cases"), Column("n empty", "cases")]
    return Table(tuple(columns), tuple(rows), (results.policy,) if results.policy else ())


def case_scores_table(results: Results) -> Table | None:
    """Every real case's Dice by repaired system: WT, TC and ET."""
    systems = {n: s.real for n, s in results.repaired.items() if s.real and s.real.cases}
    found: dict[str, dict[str, str]] = {}
    for name, group in systems.items():
        for case in group.cases:
            scores = (case.regions.get(region) or {} for region in Region)
            words = " / ".join(ratio(score.get("dice"), 2) for score in scores)
            found.setdefault(case.case, {})[name] = words
    rows = [
        Row((case, *(by_system.get(name, MISSING) for name in systems)))
        for case, by_system in found.items()
    ]
    columns = (Column("case"), *(Column(results.title(name)) for name in systems))
    notes = (f"Dice of {', '.join(Region)}, in this order.",)
    return Table(columns, tuple(rows), notes) if rows else None


def comparisons_table(results: Results) -> Table | None:
    """Paired tests between systems, Dice case by case."""
    rows = [
        Row(
            (
                f"{results.title(c.first)} less {results.title(c.second)}",
                c.region,
                signed(c.mean_difference),
                interval(c.interval),
                p_value(c.p),
                p_value(c.p_holm),
                _count(c.n),
            ),
            strong=c.p_holm is not None and c.p_holm < 0.05,
        )
        for c in results.comparisons
    ]
    columns = (
        Column("pair"),
        Column("region", number=False),
        *map(Column, ("mean difference of Dice", "interval", "p", "p, Holm", "n")),
    )
    notes = ("Bold where p, after Holm’s correction, is below 0.05.",)
    return Table(columns, tuple(rows), notes) if rows else None


def seams_table(results: Results) -> Table | None:
    """Disagreement of neighbours across minicube faces beside that across planes inside."""
    rows = []
    for name, system in results.systems.items():
        groups = {kind: group_of(system, kind) for kind in ("real", "phantom")}
        found = {kind: group.seams for kind, group in groups.items() if group and group.seams}
        for number, (kind, seams) in enumerate(found.items()):
            title = results.full_title(name) if number == 0 else ""
            values = (ratio(seams.at_faces, 4), ratio(seams.interior, 4))
            ratios = (ratio(seams.ratio, 2), ratio(seams.reference_ratio, 2))
            rows.append(Row((title, kind, *values, *ratios, _count(seams.n)), first=number == 0))
    columns = (
        Column("system"),
        Column("cases", number=False),
        *map(Column, ("at faces", "inside", "ratio", "ratio of the reference", "n")),
    )
    notes = (
        "Share of tumour neighbours that disagree across the planes where minicubes meet, beside"
        " the same across planes inside them. A ratio of 1 is no seam; the reference’s own ratio"
        " says what anatomy does at those planes.",
    )
    return Table(columns, tuple(rows), notes) if rows else None


def _three(score: ClassScore | None) -> Sequence[str]:
    if score is None:
        return _NOTHING
    return ratio(score.precision), ratio(score.recall), ratio(score.f1)


def _spread(spread: Spread | None, digits: int) -> Iterable[str]:
    if spread is None:
        return MISSING, MISSING
    mean = ratio(spread.mean, digits)
    if interval(spread.interval) != MISSING:
        mean += f"\n{interval(spread.interval, digits)}"
    return mean, ratio(spread.median, digits)


def _count(value: int | None) -> str:
    return MISSING if value is None else str(value)


def _sizes(voxels: tuple[int, int, int] | None) -> str:
    if voxels is None:
        return MISSING
    return str(voxels[0]) if len(set(voxels)) == 1 else " × ".join(map(str, voxels))
