"""One training of a study, in a process of its own so that its memory can be told apart.

Run as ``python -m minicube.study.worker``; says how it goes in lines of JSON, and ends when the
pipe that is its standard input does: with the study, however that ends.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

import torch

from minicube._errors import InputError
from minicube._files import read_json, write_json
from minicube._machine import end_with_parent, forget_peak_memory, peak_memory, processor_name
from minicube.engines import Cut, Model, load_model
from minicube.inference import Limits, Segmenter
from minicube.scans import LabelScheme
from minicube.study.folder import PREDICTION_SCHEME, StudyFolder, context_unit
from minicube.study.material import Source, stored
from minicube.study.setting import Plan
from minicube.study.units import CONTEXT_SYSTEM, CONTEXTS, Unit, units_of
from minicube.training import (
    Cause,
    Diverged,
    Material,
    RunFolder,
    SilentListener,
    TrainingConfig,
    fit,
    seconds_a_step,
    within_memory,
)

__all__ = ["main", "make_unit"]


_ALL_THERE_IS = 1 << 60  # bytes: to ask what a training holds as it is


@dataclass
class _Speaker(SilentListener):
    """Tells the study how far a training is."""

    total: int = 0

    def starting(self, config: TrainingConfig, step: int) -> None:
        self.total = config.steps
        say(step=step, steps=config.steps)

    def stepped(self, step: int, loss: float) -> None:
        say(step=step, steps=self.total)


def say(**values: str | float) -> None:
    """Write one line for the study that waits for this process."""
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def make_unit(folder: StudyFolder, unit: Unit, source: Source, plan: Plan) -> None:
    """Train, predict the cases tested, and write down what it cost.

    A training that was stopped goes on from its checkpoint.
    """
    imports = peak_memory()
    run = RunFolder(folder.run(unit.name))
    material = Material(
        train=[stored(folder.prepared, name) for name in unit.learns_from],
        held_out=[stored(folder.prepared, name) for name in unit.tests],
        source=f"{len(set(unit.learns_from))} cases of a study",
        whole=False,  # they are predicted in the end, as a user would
    )
    if not run.is_started():
        run.write_split(list(unit.learns_from), list(unit.tests))
        run.write_config(unit.config)
    elif run.read_config() != unit.config:
        raise InputError(
            f"{run.path} was begun with another config than the study has now.",
            hint="delete that folder to begin the training anew",
        )
    start = None if unit.start is None else folder.run(unit.start)
    diverged = None
    seconds: Mapping[Cause, float] = {}
    try:
        seconds = fit(run, unit.config, material, start=start, listener=_Speaker())
    except Diverged as error:
        diverged, seconds = error.step, error.seconds
    trained = peak_memory()
    predicted = _Predictions()
    if unit.fold is not None:
        _predict(folder, unit, source, plan, predicted)
    write_json(
        folder.unit(unit.name),
        {
            "unit": unit.name,
            "system": unit.system,
            "fold": unit.fold,
            "seed": unit.seed,
            "steps": unit.config.steps,
            "diverged": diverged,
            "seconds": {cause.value: spent for cause, spent in seconds.items()},
            "prediction_seconds": predicted.seconds,
            "peak_bytes": {
                "imports": imports,
                "training": trained,
                "prediction": predicted.peak or None,
            },
            "config": unit.config.model_dump(mode="json"),
            "curve": _curve(run),
            "processor": processor_name(),
        },
    )


@dataclass
class _Predictions:
    """What the predictions of a training cost: seconds of each case, largest peak in bytes."""

    seconds: dict[str, float] = field(default_factory=dict)
    peak: int = 0


def _predict(
    folder: StudyFolder, unit: Unit, source: Source, plan: Plan, costs: _Predictions
) -> None:
    """Segment the cases tested as a user would."""
    model = load_model(folder.run(unit.name))
    limits = Limits(plan.setting.memory)
    segmenter = Segmenter(model, limits)
    others = {}
    if unit.system == CONTEXT_SYSTEM and unit.seed == plan.setting.seeds[0]:
        others = {
            name: Segmenter(_cut_otherwise(model, cut), limits) for name, cut in CONTEXTS.items()
        }
    for name in unit.tests:
        say(predicting=name)
        case = source.load(name)
        forget_peak_memory()
        segmentation = segmenter.segment(case)
        costs.peak = max(costs.peak, peak_memory() or 0)
        costs.seconds[name] = round(segmentation.seconds, 2)
        segmentation.save(folder.prediction(unit.name, name), scheme=PREDICTION_SCHEME)
        for context, other in others.items():
            path = folder.prediction(context_unit(context), name)
            other.segment(case).save(path, scheme=PREDICTION_SCHEME)


def _cut_otherwise(model: Model, cut: Cut | None) -> Model:
    part, context = (None, 0) if cut is None else (cut.minicube, cut.context)
    changed = model.description.model_copy(update={"part": part, "context": context})
    return Model(model.place, changed)


def _curve(run: RunFolder) -> list[dict[str, float | None]]:
    """Loss of training and of held-out samples, where both were probed."""
    points: dict[int, dict[str, float | None]] = {}
    for row in run.read_metrics(up_to=sys.maxsize):
        kind, _, which = row["split"].partition(" ")
        if kind == "probe":
            point = points.setdefault(int(row["step"]), {"step": int(row["step"])})
            loss = float(row["loss"])
            point["train" if which == "train" else "test"] = loss if isfinite(loss) else None
    return list(points.values())


def main(arguments: list[str]) -> None:
    """``FOLDER DATA LABELS UNIT``, or ``FOLDER time JOB``: what a study asks its processes."""
    folder = StudyFolder(Path(arguments[0]))
    if arguments[1] == "time":
        job: dict[str, Any] = read_json(Path(arguments[2]))
        torch.set_num_threads(int(job["threads"]))
        for name, values in job["configs"].items():
            config = TrainingConfig.model_validate(values)
            cases = [stored(folder.prepared, case) for case in job["cases"]]
            x, y, z = (max(case.shape[axis] for case in cases) for axis in range(3))
            needs = within_memory(config, _ALL_THERE_IS, (x, y, z)).predicted
            seconds = seconds_a_step(config, cases, time.thread_time)
            say(name=name, seconds=seconds, bytes=needs)
        return
    data, labels, name = arguments[1:]
    plan = Plan.read(folder.path)
    torch.set_num_threads(plan.setting.threads)
    source = Source(
        Path(data) if data else None, LabelScheme(labels) if labels else None, plan.setting
    )
    unit = next(unit for unit in units_of(plan) if unit.name == name)
    make_unit(folder, unit, source, plan)


if __name__ == "__main__":
    end_with_parent()
    main(sys.argv[1:])
