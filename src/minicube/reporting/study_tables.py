"""A study's tables: what it learnt from, Table 2, regions, tests and seams."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from minicube.reporting.executive_report import BACKGROUND_SHARE, TABLE_1, TABLE_2
from minicube.reporting.study_results import (
    AS_REPORTED,
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
    "divergence",
    "group_of",
    "regions_table",
    "seams_table",
    "systems_table",
    "table_1",
    "table_2",
]

_NOTHING: Final = (MISSING, MISSING, MISSING)
_DIVERGED: Final = (
    "Diverged: the loss was no number any more at that step; scored are the weights that were last"
    " kept before it."
)
_BOTH: Final = " / "
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


def divergence(system: System | None) -> str:
    """Return at which steps which trainings of a system diverged; empty where none did."""
    places = []
    for one in system.diverged if system else ():
        named = {"fold": None if one.fold is None else one.fold + 1, "seed": one.seed}
        words = [f"{what} {number}" for what, number in named.items() if number is not None]
        where = ", ".join(words) if one.fold is not None else "pre-training"
        places.append(f"{_count(one.step)} ({where})")
    return f"diverged at step {', '.join(places)}" if places else ""


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
    return Table(tuple(columns), tuple(rows), _what_is_counted(results))


def _what_is_counted(results: Results) -> tuple[str, ...]:
    groups = {case.group for case in results.data.cases}
    if groups == {"phantom"}:
        cases = "There are no real cases: these are phantoms."
    elif count := results.setting.phantoms.get("train"):
        cases = f"Real cases alone; the {count} phantoms that are learnt from, too, are left out."
    else:
        cases = "Real cases alone."
    return (
        f"{cases} Whole scans are counted, air included. The report’s counts come to 5.6 and 5.7"
        " million voxels a case, scans already cropped to 192 × 192 in the axial plane: its"
        " background has a smaller share.",
    )


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
        cut, part = network.cut, network.minicube
        title = results.title(name.removesuffix(AS_REPORTED))
        cells = (
            title,
            "as reported" if system.as_reported else "repaired",
            "-".join(map(str, network.widths)) or MISSING,
            whole(network.parameters),
            _sizes(network.receptive_field),
            _sizes(network.halo),
            _sizes(part) if part else "whole",
            _count(cut.context if cut and part else None),
        )
        rows.append(Row(cells))
        if system.note:
            notes.append(f"{title}, {cells[1]}: {system.note}")
    columns = (
        Column("system"),
        Column("setting", number=False),
        *map(Column, ("widths", "parameters", "receptive field", "halo", "minicube", "context")),
    )
    notes = [
        "Sizes in voxels, context for both sides together; without minicubes the network is run"
        " on the whole volume.",
        *notes,
    ]
    return Table(columns, tuple(rows), tuple(notes)) if rows else None


def table_2(results: Results, kind: str) -> Table | None:
    """Precision, recall and F1 by system and class, beside the report's own.

    Args:
        results: Of the study.
        kind: ``real`` or ``phantom``.
    """
    rows: list[Row] = []
    missing: list[str] = []
    diverged = False
    for name in results.names:
        ways = results.ways(name)
        pair = {way: group_of(system, kind) for way, system in ways.items()}
        missing += [f"{results.title(name)}, {way}" for way, group in pair.items() if not group]
        if not any(pair.values()):
            continue
        stopped = [f"{way} {words}" for way, one in ways.items() if (words := divergence(one))]
        diverged = diverged or bool(stopped)
        title = "\n".join([results.title(name), "; ".join(stopped)]).rstrip()
        rows += _classes(title, pair, TABLE_2.get(name, {}) if kind == "real" else None)
    if not rows:
        return None
    three = ("precision", "recall", "F1")
    columns = (
        Column("system"),
        Column("class", number=False),
        *(Column(name, "the report’s Table 2") for name in three if kind == "real"),
        *(Column(name, "as reported, run here") for name in three),
        *(Column(name, "repaired") for name in three),
        Column("n", "cases"),
        Column("n empty", "cases"),
    )
    notes = _remarks(results, kind)
    if any(_BOTH in row.cells[-2] for row in rows):
        notes = (*notes, "Two counts are those of as reported and repaired, of the folds so far.")
    if diverged:
        notes = (*notes, _DIVERGED)
    if missing:
        notes = (*notes, f"Not run yet: {'; '.join(missing)}.")
    return Table(columns, tuple(rows), notes)


def _classes(
    title: str,
    pair: Mapping[str, Group | None],
    printed: Mapping[str, tuple[str, str, str]] | None,
) -> Iterable[Row]:
    """One system's rows of Table 2; without ``printed``, the report's own columns are left out."""
    for number, (key, words) in enumerate(CLASS_NAMES.items()):
        scores = {way: group.score(key) if group else None for way, group in pair.items()}
        known = [score for score in scores.values() if score]
        yield Row(
            (
                title if number == 0 else "",
                words,
                *(() if printed is None else printed.get(key, _NOTHING)),
                *_three(scores.get("as reported")),
                *_three(scores.get("repaired")),
                _each_once([score.n for score in known]),
                _each_once([score.n_empty for score in known]),
            ),
            first=number == 0,
        )


def _each_once(counts: Iterable[int | None]) -> str:
    """One number where all agree, as they do when all folds are done."""
    return _BOTH.join(dict.fromkeys(map(_count, counts))) or MISSING


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
        " Table 1. Precision of the other classes is then undefined (0/0)"
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
    notes = (results.policy,) if results.policy and kind == "real" else ()
    return Table(tuple(columns), tuple(rows), notes)


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
        " says what anatomy does at those planes, and networks that are run whole (the table"
        " Systems) what the measure gives where nothing was cut.",
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
