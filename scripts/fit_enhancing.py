"""From how little enhancing tumour on a training of a recipe is to be believed.

python scripts/fit_enhancing.py RECIPE shipped --data MATERIAL --out RUNS

Half simulated cases that no training has seen, half phantoms of the other simulator, half of each
without enhancing tumour; weighted to the share of the expert label maps that have none. No real
case is looked at, so real ones can judge the rule.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from rich.progress import track

from minicube._files import write_json
from minicube.engines import HeldImages, load_model, open_engine, segment_volume
from minicube.evaluation import (
    EnhancingFound,
    evaluate_case,
    fit_least_enhancing,
    mean_with_rule,
)
from minicube.phantom import PhantomSpec, make_phantom
from minicube.recipe import Recipe, RecipeRequest, RecipeRun
from minicube.scans import LabelMap, Region
from minicube.simulator import Simulation, Source, load_material
from minicube.volumes import Prepared, prepare

UNSEEN = 900_000  # of a million numbers a seed; trainings count up from 0
SPEC = PhantomSpec(seed=7003)  # not one that anything else is made with


def main() -> None:
    """Print the threshold, and the mean Dice without and with it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("training")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cases", type=int, default=96, help="In all; a multiple of four.")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    run = RecipeRun(RecipeRequest(Recipe.read(given.recipe), given.data, given.out))
    model = load_model(run.run_of(given.training).path)
    engine = open_engine(model)
    source = run.source(run.trainings[given.training])
    maps = load_material(source.shapes, None, leave_out=source.leave_out).shapes
    share = float(np.mean([not shape.enhances for shape in maps]))
    way = model.description.normalisation
    found = [
        _judge(case, segment_volume(engine, HeldImages(case.images_as(way)), None))
        for case in track(_cases(source, given.cases // 4), "judging", given.cases)
    ]
    least = fit_least_enhancing(found, share)
    result = {
        "model": model.description.sha256,
        "cases": len(found),
        "without enhancing tumour": sum(not case.is_there for case in found),
        "share of expert maps without": share,
        "least_enhancing_ml": least,
        "mean Dice without the rule": mean_with_rule(found, 0.0, share),
        "mean Dice with it": mean_with_rule(found, least, share),
        "each": [asdict(case) for case in found],
    }
    print({name: value for name, value in result.items() if name != "each"})
    if given.json is not None:
        write_json(given.json, result)


def _cases(source: Source, each: int) -> Iterator[Prepared]:
    """As many of each kind: simulated and phantoms, with and without enhancing tumour."""
    for low_grade in (0.0, 1.0):
        options = Simulation(no_tumour=0.0, low_grade=low_grade)
        for number in range(UNSEEN, UNSEEN + each):
            yield replace(source, options=options)(number)
    left = {True: each, False: each}
    number = 0
    while any(left.values()):
        case = prepare(make_phantom(SPEC, number))
        number += 1
        is_there = bool(_reference(case).region(Region.ET).any())
        if left[is_there]:
            left[is_there] -= 1
            yield case


def _reference(case: Prepared) -> LabelMap:
    assert case.labels is not None  # made-up cases have one
    return case.labels


def _judge(case: Prepared, labels: LabelMap) -> EnhancingFound:
    reference = _reference(case)
    dice = evaluate_case(labels, reference, identity=case.identity).regions[Region.ET].dice
    assert dice is not None
    return EnhancingFound(
        found_ml=float(labels.region(Region.ET).sum()) / 1000,
        is_there=bool(reference.region(Region.ET).any()),
        dice=dice,
    )


if __name__ == "__main__":
    main()
