"""The report of a search, finished or not, read from its results."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from markupsafe import Markup
from pydantic import BaseModel, JsonValue, ValidationError

from minicube._errors import InputError, wrong_values
from minicube._files import read_json
from minicube.evaluation import EmptyPolicy
from minicube.reporting.html import page
from minicube.reporting.search_charts import Dot, Scale, bar_chart, dot_chart
from minicube.reporting.tables import MISSING, Column, Row, Table, ratio, seconds
from minicube.scans import Region

__all__ = ["search_report"]

_Value = bool | int | float | str
_ENDED: Final = ("finished", "stopped early", "failed")


class _Region(BaseModel):
    dice: float | None
    precision: float | None
    recall: float | None


class _Trial(BaseModel):
    number: int
    state: str
    values: dict[str, _Value]
    dice: float | None
    validations: list[float]
    regions: dict[str, _Region]
    reason: str
    seconds: float | None


class _Searched(BaseModel):
    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: list[JsonValue] | None = None


class _Space(BaseModel):
    search: dict[str, _Searched]
    base: dict[str, JsonValue]
    preset: str | None
    trials: int
    seed: int
    sampler: str
    startup: int
    prune: bool


class _Policy(BaseModel):
    both_empty: float | None
    false_alarm: float | None


class _Results(BaseModel):
    name: str
    space: _Space
    cases: dict[str, list[str]]
    empty_policy: _Policy
    best: int | None
    importance: dict[str, float] | None
    trials: list[_Trial]


def search_report(results: Path) -> str:
    """Return the report of a search: history, what mattered, Dice over each value, all trials.

    Args:
        results: ``results.json`` of a search folder; of an unfinished search, what there is.

    Returns:
        One HTML page that needs no other file.

    Raises:
        InputError: There is no such file, or it is damaged.
    """
    try:
        found = _Results.model_validate(read_json(results))
    except ValidationError as error:
        raise InputError(
            f"{results} is not the file that a search writes.",
            found=wrong_values(error.errors()[:1]),
        ) from error
    scored = [trial for trial in found.trials if trial.dice is not None]
    return page(
        "search.html.j2",
        name=found.name,
        tiles=_tiles(found),
        history=_history(found, scored) if scored else None,
        importance=_importance(found),
        importance_note=_importance_note(found),
        slices={key: _slice(found, scored, key) for key in found.space.search} if scored else {},
        trials=_table(found),
        notes=_how(found),
        facts=dict(_facts(found.space)),
        cases=found.cases,
    )


def _tiles(found: _Results) -> dict[str, str]:
    count = {state: sum(t.state == state for t in found.trials) for state in _ENDED}
    best = next((trial for trial in found.trials if trial.number == found.best), None)
    tiles = {
        "trials ended": f"{sum(count.values())}",
        "stopped early": str(count["stopped early"]),
        "cases held out": str(len(found.cases["held out"])),
    }
    if best is not None:
        tiles["best mean Dice"] = ratio(best.dice)
    spent = [trial.seconds for trial in found.trials if trial.seconds is not None]
    if spent:
        tiles["processor time"] = seconds(sum(spent))
    return tiles


def _history(found: _Results, scored: Sequence[_Trial]) -> Markup:
    best: list[tuple[float, float]] = []
    for trial in scored:
        value = trial.dice or 0.0
        if trial.state == "finished" and (not best or value > best[-1][1]):
            best.append((trial.number, value))
    last = max(trial.number for trial in found.trials)
    return dot_chart(
        [_dot(found, trial, trial.number) for trial in scored],
        Scale("trial", 0, max(last, 5)),
        title="Mean Dice of each trial, and the best one so far",
        stairs=best,
    )


def _slice(found: _Results, scored: Sequence[_Trial], key: str) -> Markup:
    """Dice over the values of one key, of the trials that had it."""
    searched = found.space.search[key]
    choices = [_as_kept(choice) for choice in searched.choices or ()]
    names = tuple(_word(choice) for choice in searched.choices or ())
    low, high = searched.low or 0.0, searched.high or 1.0
    dots = []
    for trial in scored:
        if key in trial.values:
            value = trial.values[key]
            at = float(choices.index(value) if choices else value)
            dots.append(_dot(found, trial, at))
    return dot_chart(
        sorted(dots, key=lambda dot: dot.strong),
        Scale("", 0 if names else low, high, searched.log, names),
        title=f"Mean Dice over {key}",
    )


def _dot(found: _Results, trial: _Trial, x: float) -> Dot:
    return Dot(
        x,
        trial.dice or 0.0,
        f"trial {trial.number}, {trial.state}: {ratio(trial.dice)}; {_in_words(trial.values)}",
        filled=trial.state == "finished",
        strong=trial.number == found.best,
    )


def _importance(found: _Results) -> Markup | None:
    if not found.importance:
        return None
    shares = sorted(found.importance.items(), key=lambda pair: -pair[1])
    return bar_chart(shares, title="How much each key decides whether a trial is among the best")


def _importance_note(found: _Results) -> str:
    finished = sum(trial.state == "finished" for trial in found.trials)
    if not found.importance:
        return f"Told from ten finished trials on; there are {finished}."
    return (
        f"PED-ANOVA (Watanabe, Bansal and Hutter, IJCAI 2023) over the {finished} finished trials: "
        "how far the values of the best tenth, five trials at least, are from those of all. Shares "
        "of one; of few trials they say little, and one that was stopped early is not among them."
    )


def _table(found: _Results) -> Table:
    keys = tuple(found.space.search)
    columns = [
        Column("trial"),
        Column("", number=False),
        *(Column(key, "values") for key in keys),
        Column("mean", "Dice"),
        *(Column(region.value, "Dice") for region in Region),
        Column("precision", "WT, pooled voxels"),
        Column("recall", "WT, pooled voxels"),
    ]
    order = sorted(found.trials, key=lambda t: (t.state != "finished", -(t.dice or 0.0), t.number))
    return Table(tuple(columns), tuple(_row(found, keys, trial) for trial in order))


def _row(found: _Results, keys: Sequence[str], trial: _Trial) -> Row:
    whole = trial.regions.get(Region.WT.value)
    return Row(
        (
            str(trial.number),
            trial.state + (f"\n{trial.reason}" if trial.reason else ""),
            *(_shown(trial.values[key]) if key in trial.values else MISSING for key in keys),
            ratio(trial.dice),
            *(ratio(r.dice) if (r := trial.regions.get(n.value)) else MISSING for n in Region),
            ratio(whole.precision) if whole else MISSING,
            ratio(whole.recall) if whole else MISSING,
        ),
        strong=trial.number == found.best,
    )


def _how(found: _Results) -> list[str]:
    held_out, learnt = len(found.cases["held out"]), len(found.cases["learnt from"])
    policy = EmptyPolicy(**found.empty_policy.model_dump())
    stopped = (
        "A trial was stopped early where its best validation lay below the median of earlier "
        f"trials at the same validation, from {found.space.startup} finished trials on; its Dice "
        "is that of its last validation. "
        if found.space.prune
        else ""
    )
    return [
        f"Dice is the mean over WT, TC and ET of the mean over the same {held_out} held-out cases, "
        f"segmented whole; every trial learnt from the same {learnt}. {policy.words()}",
        f"{stopped}The best of many trials is better here than it will be on other cases: it was "
        "chosen by these. Differences smaller than those between seeds mean nothing; train the "
        "best again with other seeds, and judge it on cases that no trial was judged on.",
    ]


def _facts(space: _Space) -> Iterator[tuple[str, str]]:
    for key, searched in space.search.items():
        if searched.choices is not None:
            yield key, ", ".join(_word(choice) for choice in searched.choices)
        else:
            yield key, f"{searched.low:g} to {searched.high:g}" + ", log" * searched.log
    yield "sampler", f"{space.sampler}, {space.startup} trials at random first"
    yield "seed", str(space.seed)
    yield "base", space.preset or "minicube’s defaults"
    yield from _flat(space.base)


def _flat(values: Mapping[str, JsonValue], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _word(value)


def _as_kept(choice: JsonValue) -> JsonValue:
    """A choice as a trial names it: lists and tables by their JSON."""
    return json.dumps(choice) if isinstance(choice, list | dict) else choice


def _word(value: JsonValue) -> str:
    """A value as people write it: widths as 16-32-64, also from their JSON."""
    words = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return words.strip("[]").replace(", ", "-")


def _shown(value: _Value) -> str:
    return f"{value:.3g}" if isinstance(value, float) else _word(value)


def _in_words(values: Mapping[str, _Value]) -> str:
    return ", ".join(f"{key} {_shown(value)}" for key, value in values.items())
