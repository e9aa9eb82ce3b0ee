"""How good a recipe's trainings are on real cases that they have not seen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from minicube._files import read_json, write_json
from minicube.engines import DESCRIPTION, load_model
from minicube.evaluation import Spread, evaluate_case
from minicube.inference import PostProcessing, Refinements, Segmenter
from minicube.recipe.run import RecipeRun
from minicube.recipe.trainings import Training
from minicube.scans import CaseFiles, LabelScheme, Region, load_case, undeterminable
from minicube.scans import Sequence as Modality
from minicube.training import find_labelled_cases

__all__ = ["Cases", "accuracy", "judge", "spread"]

Cases = Mapping[str, Mapping[str, float]]
"""Dice of each region by name of the case."""


def accuracy(
    recipe: RecipeRun,
    judged: Callable[[str], None] = lambda identity: None,
    without: Collection[Modality] = (),
) -> dict[str, Any]:
    """Judge the trainings that are done; what was judged before is not judged again.

    Args:
        recipe: From :func:`minicube.recipe.follow`; of the trainings that it asks for.
        judged: Called with each training's name.
        without: Sequences that are kept from the network; what cannot be told then is left out.

    Returns:
        Plain values by row of the table: of each seed mean, median and n of each region over
        all cases, over those of low grade and the others, and the cases one by one. A seed whose
        folds are not all done is left out. A region that neither map has scores 1, one that
        only the prediction has 0.

    Raises:
        InputError: A case or a model cannot be read.
    """
    plan = recipe.request.recipe
    files = {f.identity: f for f in find_labelled_cases(recipe.request.data / plan.cases)}
    rows: dict[str, dict[str, dict[str, Mapping[str, float]]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    for training in recipe.wanted():
        if training.judged_on and _is_done(recipe, training):
            cases = [files[name] for name in training.judged_on]
            dice = _judged_once(recipe, training, cases, without)
            rows[training.table_row][str(training.config.seed)] |= dice
            judged(training.name)
    whole = {
        row: {
            seed: _split(cases, plan.low_grade)
            for seed, cases in seeds.items()
            if cases.keys() == files.keys()
        }
        for row, seeds in rows.items()
    }
    return {row: seeds for row, seeds in whole.items() if seeds}


def _is_done(recipe: RecipeRun, training: Training) -> bool:
    run = recipe.run_of(training.name)
    if not run.is_started() or not (run.path / DESCRIPTION).exists():
        return False  # or stopped before its first checkpoint
    steps = load_model(run.path).description.steps
    return run.read_config() == training.config and steps == training.config.steps


def _judged_once(
    recipe: RecipeRun, training: Training, cases: Sequence[CaseFiles], without: Collection[Modality]
) -> Cases:
    words = "-".join(["accuracy", *(f"no-{sequence.value}" for sequence in sorted(without))])
    path = recipe.run_of(training.name).path / f"{words}.json"
    model, least = load_model(path.parent), recipe.request.recipe.least_enhancing_ml
    judged = {
        "model": model.description.sha256,
        "least_enhancing_ml": least,
        "cases": {files.identity: dict(recipe.cases[files.identity].origin) for files in cases},
    }
    if path.exists():
        kept = read_json(path)
        dice: Cases = kept.pop("dice")
        if kept == judged:
            return dice
    rule = Refinements(post=PostProcessing(least_enhancing_ml=least))
    labels = recipe.request.recipe.labels
    found = judge(Segmenter(model, refinements=rule), cases, labels, without)
    write_json(path, {**judged, "dice": found})
    return found


def judge(
    segmenter: Segmenter,
    cases: Sequence[CaseFiles],
    labels: LabelScheme | None,
    without: Collection[Modality] = (),
) -> Cases:
    """Segment cases and return the Dice of each region, by name of the case.

    Args:
        segmenter: Of one model or several.
        cases: With references.
        labels: Scheme of the references, where the files do not say.
        without: Sequences that are kept from it; what cannot be told then is left out.
    """
    found = {}
    for files in cases:
        case = load_case(files, labels=labels)
        assert case.reference is not None  # asked for
        left = {s: image for s, image in case.images.items() if s not in without}
        labelled = segmenter.segment(replace(case, images=left)).labels
        scores = evaluate_case(labelled, case.reference, identity=case.identity)
        told = [region for region in Region if region not in undeterminable(left)]
        dice = {region.value: scores.regions[region].dice for region in told}
        found[case.identity] = {name: d for name, d in dice.items() if d is not None}
    return found


def _split(cases: Cases, low_grade: Sequence[str]) -> dict[str, Any]:
    low = {name: dice for name, dice in cases.items() if name in low_grade}
    high = {name: dice for name, dice in cases.items() if name not in low_grade}
    parts = {"all": cases, "low grade": low, "high grade": high}
    return {part: spread(some) for part, some in parts.items() if some} | {
        "cases": {name: dict(dice) for name, dice in sorted(cases.items())}
    }


def spread(cases: Cases) -> dict[str, dict[str, Any]]:
    """Mean, median and n of each region over cases."""
    told = [*next(iter(cases.values()))]
    spreads = {region: Spread(tuple(dice[region] for dice in cases.values())) for region in told}
    return {region: {**found.to_dict(), "n": found.n} for region, found in spreads.items()}
