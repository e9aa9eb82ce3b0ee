"""A study's other tables: seeds, costs by cause, the ablation, and amounts of context."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from minicube.reporting.study_results import (
    CLASS_NAMES,
    TUMOUR,
    Ablation,
    AblationRow,
    AblationSide,
    Results,
    SeedScore,
)
from minicube.reporting.tables import (
    MISSING,
    Column,
    Row,
    Table,
    gigabytes,
    percent,
    ratio,
    seconds,
    signed,
    whole,
)

__all__ = [
    "Bar",
    "Bars",
    "Segment",
    "ablation_table",
    "ablation_words",
    "context_table",
    "costs_table",
    "peaks_table",
    "seconds_bars",
    "seed_spreads",
    "seeds_table",
    "suspicions",
]

_COLOURS: Final = 4


@dataclass(frozen=True)
class Segment:
    """A part of a bar.

    Args:
        colour: 1 to 4, or 0 for grey.
        percent: Of the longest bar.
        words: What it is.
    """

    colour: int
    percent: float
    words: str


@dataclass(frozen=True)
class Bar:
    """One bar with its name and its total in words."""

    name: str
    segments: tuple[Segment, ...]
    total: str


@dataclass(frozen=True)
class Bars:
    """Bars of one scale.

    Args:
        bars: From top to bottom.
        legend: Colour and cause.
    """

    bars: tuple[Bar, ...]
    legend: tuple[tuple[int, str], ...]


def seed_spreads(seeds: tuple[SeedScore, ...]) -> dict[int, float]:
    """Return, by fold, how far the mean tumour F1 of its seeds lies apart; two seeds at least."""
    folds: dict[int, list[float]] = {}
    for score in seeds:
        value = score.mean_f1
        if value is not None and score.fold is not None:
            folds.setdefault(score.fold, []).append(value)
    return {fold: max(v) - min(v) for fold, v in sorted(folds.items()) if len(v) > 1}


def seeds_table(results: Results) -> Table | None:
    """Mean tumour F1 of every seed, and how far seeds of one fold lie apart."""
    scores = {name: system.seeds for name, system in results.systems.items() if system}
    seeds = sorted({s.seed for group in scores.values() for s in group if s.seed is not None})
    rows = []
    for name, group in scores.items():
        spreads = seed_spreads(group)
        for fold in sorted({s.fold for s in group if s.fold is not None}):
            by_seed = {s.seed: s for s in group if s.fold == fold}
            if len(by_seed) < 2:
                continue
            values = [by_seed[seed].mean_f1 if seed in by_seed else None for seed in seeds]
            cells = (results.full_title(name), str(fold + 1), *map(ratio, values))
            rows.append(Row((*cells, ratio(spreads.get(fold)))))
    columns = (
        Column("system"),
        Column("fold"),
        *(Column(f"seed {seed}", "mean tumour F1") for seed in seeds),
        Column("apart"),
    )
    shared = (
        "The seeds of a system begin with the same pre-training on phantoms and differ in what"
        " follows it: trainings that share nothing may lie further apart."
    )
    other = "Another seed is another start of the weights and another order of the samples."
    notes = (
        "Same cases, same minutes.",
        shared if results.setting.pretraining_minutes else other,
    )
    return Table(columns, tuple(rows), notes) if rows else None


def costs_table(results: Results) -> Table | None:
    """Seconds, steps and peak memory of every system."""
    rows = [
        Row(
            (
                results.full_title(name),
                whole(cost.parameters),
                whole(cost.steps),
                seconds(cost.seconds_a_step),
                seconds(cost.seconds),
                gigabytes(cost.peak_bytes),
            )
        )
        for name, system in results.systems.items()
        if system and (cost := system.cost)
    ]
    columns = (
        Column("system"),
        *map(Column, ("parameters", "steps", "a step", "all", "peak memory")),
    )
    notes = (
        "Of one fold: its training and the pre-training it begins with, where there is one; the"
        " mean over folds, and the largest peak. Seconds are of processor time; those of a step"
        " were measured before the first training, alone.",
    )
    return Table(columns, tuple(rows), notes) if rows else None


def peaks_table(results: Results) -> Table | None:
    """Peak memory by cause."""
    peaks = {
        name: system.cost.peak_by_cause
        for name, system in results.systems.items()
        if system and system.cost and system.cost.peak_by_cause
    }
    causes = list(dict.fromkeys(cause for peak in peaks.values() for cause in peak))
    rows = tuple(
        Row((results.full_title(name), *(gigabytes(peak.get(cause)) for cause in causes)))
        for name, peak in peaks.items()
    )
    columns = (Column("system"), *(Column(cause, "peak memory during") for cause in causes))
    return Table(columns, rows, ("GB of 2³⁰ bytes.",)) if rows else None


def seconds_bars(results: Results) -> Bars | None:
    """Where the seconds went, all systems on one scale."""
    spent = {}
    for name, system in results.systems.items():
        causes = system.cost.seconds_by_cause if system and system.cost else {}
        known = {cause: value for cause, value in causes.items() if value is not None}
        if known:
            spent[name] = known
    if not spent:
        return None
    causes_met = list(dict.fromkeys(cause for causes in spent.values() for cause in causes))
    colours = {c: i if i <= _COLOURS else 0 for i, c in enumerate(causes_met, 1)}
    longest = max(sum(causes.values()) for causes in spent.values()) or 1.0
    bars = [
        Bar(
            results.full_title(name),
            tuple(
                Segment(colours[cause], 100 * value / longest, f"{cause}: {seconds(value)}")
                for cause, value in causes.items()
            ),
            seconds(sum(causes.values())),
        )
        for name, causes in spent.items()
    ]
    return Bars(tuple(bars), tuple((colours[cause], cause) for cause in causes_met))


def ablation_table(side: AblationSide | None) -> Table | None:
    """One thing changed a row, with the difference it makes to the mean tumour F1."""
    if side is None or (side.base is None and not side.rows):
        return None
    base = side.base.mean_f1 if side.base else None
    rows = []
    if side.base is not None:
        first = (_named("the base: nothing changed", side.base), MISSING, *_scores(side.base))
        rows.append(Row((*first, MISSING, whole(side.base.steps)), strong=True))
    for row in side.rows:
        mean = row.mean_f1
        change = None if mean is None or base is None else mean - base
        cells = (_named(row.what, row), row.change or MISSING, *_scores(row))
        rows.append(Row((*cells, signed(change), whole(row.steps))))
    columns = (
        Column("what"),
        Column("changed to", number=False),
        *(Column(CLASS_NAMES[name], "F1") for name in TUMOUR),
        Column("mean", "F1"),
        Column("mean less the base’s"),
        Column("steps"),
    )
    return Table(columns, tuple(rows))


def ablation_words(results: Results) -> tuple[str, ...]:
    """What a row is, and how far its number carries."""
    ablation = results.ablation
    if ablation is None:
        return ()
    sides = {"repaired": ablation.repaired, "as reported": ablation.as_reported}
    steps = [
        f"{words} {whole(side.base.steps)}"
        for words, side in sides.items()
        if side and side.base and side.base.steps is not None
    ]
    minutes = "" if ablation.minutes is None else f" in {ablation.minutes:g} minutes"
    listed = f" of as many steps as its side’s base makes{minutes} ({', '.join(steps)})"
    where = "" if ablation.fold is None else f" of fold {ablation.fold + 1}"
    cases = "" if ablation.n is None else f" on the {ablation.n} real cases{where}"
    spreads = [
        spread
        for system in results.systems.values()
        if system
        for spread in seed_spreads(system.seeds).values()
    ]
    scale = ""
    if spreads:
        apart = ratio(max(spreads))
        scale = f": two seeds of one system, trained in full, lie up to {apart} apart"
    return (
        "A row changes one thing of its side’s base, the 3D U-Net without context; where several"
        f" settings go together, its words say so. Each is one training from scratch"
        f"{listed if steps else ''}, scored{cases}.",
        f"Large differences mean something, small ones nothing{scale}.",
    )


def suspicions(ablation: Ablation | None) -> dict[str, str]:
    """What the rows stand for: by what they change, why it may have kept networks from learning."""
    sides = (ablation.repaired, ablation.as_reported) if ablation else ()
    rows = [row for side in sides if side for row in side.rows]
    return {row.what: row.suspicion for row in rows if row.what and row.suspicion}


def _named(what: str | None, row: AblationRow) -> str:
    small = "" if row.diverged is None else f"\ndiverged at step {row.diverged}"
    return f"{what or MISSING}{small}"


def context_table(results: Results) -> Table | None:
    """What more context buys."""
    rows = [
        Row(
            (
                str(row.context),
                *(ratio(row.f1.get(name)) for name in TUMOUR),
                ratio(row.mean_f1),
                ratio(row.seam_ratio, 2),
                percent(row.differs_from_whole),
                whole(row.n),
            )
        )
        for row in results.context
    ]
    columns = (
        Column("context"),
        *(Column(CLASS_NAMES[name], "F1") for name in TUMOUR),
        Column("mean", "F1"),
        Column("seam ratio"),
        Column("voxels unlike the whole volume’s"),
        Column("n"),
    )
    notes = (
        "The 3D U-Net without context, its weights as they are, predicts its minicubes with ever"
        " more context: voxels along each axis, both sides together. “Whole volume” is the network"
        " run uncut, which is what parts with the context they need, the network’s halo on every"
        " side, give exactly.",
    )
    return Table(columns, tuple(rows), notes) if rows else None


def _scores(row: AblationRow) -> tuple[str, ...]:
    return (*(ratio(row.f1.get(name)) for name in TUMOUR), ratio(row.mean_f1))
