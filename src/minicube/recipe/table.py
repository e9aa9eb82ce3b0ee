"""How good a recipe's trainings are on real cases that they have not seen."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from minicube._files import read_json, write_json
from minicube.engines import load_model
from minicube.evaluation import evaluate_case
from minicube.inference import Refinements, Segmenter
from minicube.recipe.run import Kitchen
from minicube.recipe.trainings import Training
from minicube.scans import CaseFiles, LabelScheme, Region, load_case
from minicube.training import find_labelled_cases

__all__ = ["accuracy", "judge", "mean_dice"]

Dice = Mapping[str, float]


def judge(
    segmenter: Segmenter,
    cases: Iterable[CaseFiles],
    labels: LabelScheme | None,
    judged: Callable[[str], None] = lambda identity: None,
) -> dict[str, Dice]:
    """Segment cases and compare with their references, each on its own grid.

    Args:
        segmenter: The model.
        cases: Each with a reference.
        labels: Scheme of the references, where their files do not say.
        judged: Called with each case's name.

    Returns:
        Dice of each region by the case's name; 1 where neither has the region, 0 where only the
        prediction has.

    Raises:
        InputError: A case cannot be read.
    """
    found: dict[str, Dice] = {}
    for files in cases:
        case = load_case(files, labels=labels)
        assert case.reference is not None  # asked for
        labelled = segmenter.segment(case).labels
        scores = evaluate_case(labelled, case.reference, identity=case.identity)
        dice = {region: scores.regions[region].dice for region in Region}
        found[case.identity] = {r.value: d for r, d in dice.items() if d is not None}
        judged(case.identity)
    return found


def mean_dice(cases: Mapping[str, Dice]) -> dict[str, dict[str, float]]:
    """Mean and median of each region over cases, and of how many."""
    found = {}
    for region in Region:
        values = [dice[region.value] for dice in cases.values()]
        found[region.value] = {
            "mean": statistics.fmean(values),
            "median": statistics.median(values),
            "n": len(values),
        }
    return found


def accuracy(
    kitchen: Kitchen,
    refinements: Refinements | None = None,
    judged: Callable[[str], None] = lambda identity: None,
) -> dict[str, Any]:
    """Judge the trainings that are done; what was judged before is not judged again.

    Args:
        kitchen: From :func:`minicube.recipe.follow`.
        refinements: Steps beside one run of the network.
        judged: Called with each training's name.

    Returns:
        Plain values by row of the table: of each seed mean, median and n of each region over
        all cases, over those of low grade and the others, and the cases one by one. A seed whose
        folds are not all done is left out.
    """
    recipe = kitchen.request.recipe
    files = {f.identity: f for f in find_labelled_cases(kitchen.request.data / recipe.cases)}
    rows: dict[str, dict[str, dict[str, Dice]]] = defaultdict(lambda: defaultdict(dict))
    for training in kitchen.trainings.values():
        if training.judged_on and _is_done(kitchen, training):
            cases = [files[name] for name in training.judged_on]
            dice = _judged_once(kitchen, training, cases, refinements)
            rows[training.table_row][str(training.config.seed)] |= dice
            judged(training.name)
    whole = {
        row: {
            seed: _split(cases, recipe.low_grade)
            for seed, cases in seeds.items()
            if cases.keys() == files.keys()
        }
        for row, seeds in rows.items()
    }
    return {row: seeds for row, seeds in whole.items() if seeds}


def _is_done(kitchen: Kitchen, training: Training) -> bool:
    run = kitchen.run_of(training.name)
    return run.is_started() and load_model(run.path).description.steps == training.config.steps


def _judged_once(
    kitchen: Kitchen,
    training: Training,
    cases: Sequence[CaseFiles],
    refinements: Refinements | None,
) -> Mapping[str, Dice]:
    path: Path = kitchen.run_of(training.name).path / "accuracy.json"
    model = load_model(path.parent)
    made_with = {"model": model.description.sha256, "refinements": repr(refinements)}
    if path.exists():
        kept = read_json(path)
        if kept["made with"] == made_with:
            dice: Mapping[str, Dice] = kept["dice"]
            return dice
    found = judge(Segmenter(model, None, refinements), cases, kitchen.request.recipe.labels)
    write_json(path, {"made with": made_with, "dice": found})
    return found


def _split(cases: Mapping[str, Dice], low_grade: Sequence[str]) -> dict[str, Any]:
    low = {name: dice for name, dice in cases.items() if name in low_grade}
    high = {name: dice for name, dice in cases.items() if name not in low_grade}
    parts = {"all": cases, "low grade": low, "high grade": high}
    return {part: mean_dice(some) for part, some in parts.items() if some} | {
        "cases": {name: dict(dice) for name, dice in sorted(cases.items())}
    }
