"""The report of a training run, finished or not, read from its folder."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from markupsafe import Markup
from pydantic import AliasChoices, BaseModel, Field, JsonValue, RootModel, ValidationError

from minicube._errors import InputError, wrong_values
from minicube._files import read_json
from minicube.evaluation import EmptyPolicy
from minicube.reporting.chart import Series, line_chart
from minicube.reporting.html import page
from minicube.scans import Region

__all__ = ["run_report"]

Content = TypeVar("Content", bound=BaseModel)
Row = Mapping[str, str]


class _Facts(RootModel[dict[str, JsonValue]]):
    """Settings, environment or model: names to plain values, shown as they are."""


class _Split(BaseModel):
    train: list[str]
    validation: list[str]


class _Pooled(BaseModel):
    precision: float | None
    recall: float | None
    f1: float | None


class _Centre(BaseModel):
    mean: float | None
    median: float | None


class _Score(BaseModel):
    n: int
    n_empty: int
    dice: _Centre = Field(validation_alias=AliasChoices("dice", "f1"))
    pooled: _Pooled


class _Policy(BaseModel):
    both_empty: float | None
    false_alarm: float | None


class _Validation(BaseModel):
    cases: int
    empty_policy: _Policy
    notes: list[str]
    classes: dict[str, _Score]
    regions: dict[str, _Score]


def run_report(run: Path) -> str:
    """Return the report of a run: curves, scores of the held-out cases, settings.

    Args:
        run: A run folder; what an unfinished run does not have yet is left out.

    Returns:
        One HTML page that needs no other file.

    Raises:
        InputError: The folder holds no run, or a file of it is damaged.
    """
    config = _read(run / "config.json", _Facts)
    if config is None:
        raise InputError(
            f"{run} holds no training run.",
            expected="a folder with config.json, as `minicube train --out` makes it",
        )
    rows = _metrics(run / "metrics.csv")
    split = _read(run / "split.json", _Split)
    validation = _read(run / "validation.json", _Validation)
    facts = {
        heading: dict(_flat(found.root))
        for heading, name in (("Model", "model.json"), ("Environment", "environment.json"))
        if (found := _read(run / name, _Facts)) is not None
    }
    return page(
        "run.html.j2",
        name=run.resolve().name,
        tiles={**_size(split), **_progress(config.root, rows), **_outcome(validation)},
        charts=_charts(rows),
        score_rows=[] if validation is None else _score_rows(validation),
        score_notes=[] if validation is None else _score_notes(validation),
        split=split,
        facts={"Settings": dict(_flat(config.root)), **facts},
    )


def _size(split: _Split | None) -> dict[str, str]:
    if split is None:
        return {}
    return {
        "cases learnt from": str(len(split.train)),
        "cases held out": str(len(split.validation)),
    }


def _progress(config: Mapping[str, JsonValue], rows: Sequence[Row]) -> dict[str, str]:
    step = max((int(_number(row, "step") or 0) for row in rows), default=0)
    total = config.get("steps")
    unfinished = isinstance(total, int) and step < total
    tiles = {"steps": f"{step:,} of {total:,}, unfinished" if unfinished else f"{step:,}"}
    times = [seconds for row in rows if (seconds := _number(row, "seconds")) is not None]
    if times:
        tiles["time training"] = _duration(times[-1])
    return tiles


def _outcome(validation: _Validation | None) -> dict[str, str]:
    if validation is None:
        return {}
    return {
        f"mean Dice {name}": "–" if score.dice.mean is None else f"{score.dice.mean:.3f}"
        for name, score in validation.regions.items()
    }


def _charts(rows: Sequence[Row]) -> dict[str, Markup]:
    """Loss and Dice over steps, each as soon as something is logged."""
    loss = [_series(rows, split, split, "loss") for split in ("train", "validation")]
    dice = [_series(rows, region.value, "validation", region.value) for region in Region]
    charts = {}
    if any(line.points for line in loss):
        charts["Loss"] = line_chart(loss, title="Loss over training steps", x_title="step")
    if any(line.points for line in dice):
        charts["Mean Dice of the held-out cases"] = line_chart(
            dice, title="Mean Dice over training steps", x_title="step", y_top=1
        )
    return charts


def _series(rows: Sequence[Row], name: str, split: str, column: str) -> Series:
    points = ((_number(row, "step"), _number(row, column)) for row in rows if row["split"] == split)
    return Series(name, tuple((x, y) for x, y in points if x is not None and y is not None))


def _score_rows(validation: _Validation) -> list[dict[str, Any]]:
    regions = {f"{name} {Region(name).title}": s for name, s in validation.regions.items()}
    classes = {name.replace("_", "-"): score for name, score in validation.classes.items()}
    return [{"name": name, "score": score} for name, score in {**regions, **classes}.items()]


def _score_notes(validation: _Validation) -> list[str]:
    policy = EmptyPolicy(**validation.empty_policy.model_dump())
    return [policy.words(), *validation.notes]


def _flat(values: Mapping[str, JsonValue], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}, ")
        else:
            words = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            yield f"{prefix}{name}".replace("_", " "), words


def _metrics(path: Path) -> list[Row]:
    if not path.exists():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows: list[Row] = list(csv.DictReader(file, strict=True))
        for row in rows:
            if not row["split"] or _number(row, "step") is None:
                raise ValueError(f"a row without split or step: {row}")
            for column in ("loss", "seconds", *Region):
                _number(row, column)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise InputError(f"{path} is damaged.", found=str(error)) from error
    return rows


def _number(row: Row, column: str) -> float | None:
    """The number in a cell; None for an empty one."""
    cell = row.get(column)
    if not cell:
        return None
    value = float(cell)
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{column} is {cell}")
    return value


def _read(path: Path, content: type[Content]) -> Content | None:
    """A JSON file's content; None when there is no such file yet."""
    if not path.exists():
        return None
    try:
        return content.model_validate(read_json(path))
    except ValidationError as error:
        found = wrong_values(error.errors()[:1])
        raise InputError(f"{path} is not the file that a run writes.", found=found) from error


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
