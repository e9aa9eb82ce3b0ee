"""How sure the models of a recipe's cross-validation are, and the temperature that mends it.

python scripts/fit_temperature.py RECIPE --data MATERIAL --out RUNS

Each fold's temperature is fitted on the cases of the other folds, each segmented by the model that
has not seen it, and judged on its own: nothing is scored that was fitted. What is shipped is fitted
on all of them.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from minicube._files import write_json
from minicube.engines import load_model, open_engine, volume_logits
from minicube.evaluation import (
    LogitSample,
    Reliability,
    fit_temperature,
    region_reliability,
    sample_logits,
)
from minicube.recipe import Recipe, RecipeRequest, RecipeRun, Training
from minicube.scans import LabelMap, load_case
from minicube.training import find_labelled_cases
from minicube.volumes import prepare

ROW = "real-all"
Answer = tuple[NDArray[np.float32], LabelMap, NDArray[np.bool_]]


def main() -> None:
    """Print the temperature, and the error of calibration without and with one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    run = RecipeRun(RecipeRequest(Recipe.read(given.recipe), given.data, given.out))
    folds = [
        training
        for training in run.trainings.values()
        if training.table_row == ROW and training.config.seed == run.request.recipe.seeds[0]
    ]
    samples: dict[str, list[LogitSample]] = defaultdict(list)
    for training in track(folds, "drawing voxels"):
        for logits, reference, brain in _answers(run, training):
            samples[training.name].append(sample_logits(logits, reference, inside=brain))
    before: list[Reliability] = []
    after: list[Reliability] = []
    fitted = {}
    for training in track(folds, "judging"):
        others = [s for name, some in samples.items() if name != training.name for s in some]
        temperature = fitted[training.name] = fit_temperature(reduce(add, others))
        for logits, reference, brain in _answers(run, training):
            before += region_reliability(_softmax(logits), reference, inside=brain).values()
            warmed = _softmax(logits / np.float32(temperature))
            after += region_reliability(warmed, reference, inside=brain).values()
    every = [sample for some in samples.values() for sample in some]
    result: dict[str, Any] = {
        "cases": len(every),
        "temperature": fit_temperature(reduce(add, every)),
        "of each fold": fitted,
        "inside": "the brain; WT, TC and ET together",
        "before": reduce(add, before).to_dict(),
        "after": reduce(add, after).to_dict(),
    }
    print(f"T {result['temperature']:.3f}; error of calibration inside the brain ", end="")
    print(
        f"{result['before']['ece']:.4f} without, {result['after']['ece']:.4f} with, n {len(every)}"
    )
    if given.json is not None:
        write_json(given.json, result)


def _answers(run: RecipeRun, training: Training) -> Iterator[Answer]:
    """Of each case that a fold's model is judged on: logits, reference, brain."""
    recipe = run.request.recipe
    model = load_model(run.run_of(training.name).path)
    engine = open_engine(model)
    for files in find_labelled_cases(run.request.data / recipe.cases):
        if files.identity in training.judged_on:
            case = prepare(load_case(files, labels=recipe.labels))
            assert case.labels is not None  # asked for
            images = case.images_as(model.description.normalisation)
            yield volume_logits(engine, images, None), case.labels, case.brain


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    shares: NDArray[np.float32] = np.exp(logits - logits.max(axis=0))
    shares /= shares.sum(axis=0)
    return shares


if __name__ == "__main__":
    main()
