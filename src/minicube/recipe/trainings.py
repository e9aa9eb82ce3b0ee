"""Which trainings a recipe asks for, in the order they are made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np

from minicube.recipe.plan import Recipe
from minicube.training import TrainingConfig

__all__ = ["SHIPPED", "Row", "Training", "trainings"]

SHIPPED: Final = "shipped"
"""Name of the training that the weights come from."""

LADDER: Final = "ladder"
"""Folder, and beginning of the rows, of the trainings that tell what each ingredient is worth."""

TINY: Final = "tiny"
"""Row of the table, and folder, of the narrower network's trainings."""


class Row(StrEnum):
    """What simulated cases are made with; each has all that the one before has."""

    NOTHING = "nothing-real"
    SHAPES = "shapes"
    PATCHES = "patches"


@dataclass(frozen=True)
class Training:
    """One of a recipe's trainings.

    Args:
        name: Its run's place below the output folder.
        row: What its simulated cases are made with.
        config: Its settings, with the seed.
        start: Name of the training that it goes on from; empty for one from scratch.
        learns: Names of the real cases it learns from.
        judged_on: Names of the real cases that neither it nor what it goes on from has seen.
        table_row: Row of the accuracy table that it belongs to; empty for a stage on the way.
    """

    name: str
    row: Row
    config: TrainingConfig
    start: str = ""
    learns: tuple[str, ...] = ()
    judged_on: tuple[str, ...] = ()
    table_row: str = ""


def trainings(
    recipe: Recipe, folds: Mapping[str, int], more: Sequence[str] = ()
) -> dict[str, Training]:
    """All trainings by name; each comes behind the one that it goes on from.

    Args:
        recipe: What is asked for.
        folds: Of each real case the fold that it is judged in.
        more: Names of the cases that are learnt from beside all of those.
    """
    found: dict[str, Training] = {}
    for seed in recipe.seeds:
        found |= {t.name: t for t in _simulated(recipe, seed, tuple(folds))}
    first = recipe.seeds[0]
    config = recipe.real.model_copy(update={"seed": first})
    start = last_stage(recipe, first)
    found[SHIPPED] = Training(SHIPPED, Row.PATCHES, config, start, (*folds, *more))
    found |= _narrow(recipe, found[SHIPPED])
    for count in (None, *reversed(recipe.few)):
        for seed in recipe.seeds:
            for training in _real(recipe, folds, count, seed):
                if count is None:
                    training = replace(training, learns=(*training.learns, *more))
                found[training.name] = training
                if count is None:
                    found |= _narrow(recipe, training)
    for row in reversed(Row):
        for seed in recipe.seeds:
            name = f"{LADDER}/{row}/seed-{seed}"
            config = recipe.ladder.model_copy(update={"seed": seed})
            found[name] = Training(name, row, config, "", (), tuple(folds), f"{LADDER}/{row}")
    return found


def last_stage(recipe: Recipe, seed: int) -> str:
    """Name of the last training on simulated cases alone."""
    return f"{Row.PATCHES}/seed-{seed}/{[*recipe.stages][-1]}"


def _narrow(recipe: Recipe, wide: Training) -> dict[str, Training]:
    """The training of the narrower network that goes on from one on all real cases."""
    if recipe.tiny is None:
        return {}
    name = f"{TINY}/{wide.name.rpartition('/')[2]}"
    config = recipe.tiny.model_copy(update={"seed": wide.config.seed})
    row = TINY if wide.table_row else ""
    return {name: replace(wide, name=name, config=config, start=wide.name, table_row=row)}


def _simulated(recipe: Recipe, seed: int, judged_on: tuple[str, ...]) -> Iterator[Training]:
    start = ""
    for stage, config in recipe.stages.items():
        name = f"{Row.PATCHES}/seed-{seed}/{stage}"
        seeded = config.model_copy(update={"seed": seed})
        last = name == last_stage(recipe, seed)
        judged, row = (judged_on, Row.PATCHES.value) if last else ((), "")
        yield Training(name, Row.PATCHES, seeded, start, (), judged, row)
        start = name


def _real(
    recipe: Recipe, folds: Mapping[str, int], count: int | None, seed: int
) -> Iterator[Training]:
    table_row = "real-all" if count is None else f"real-{count}"
    steps = recipe.real.steps if count is None else recipe.few_steps
    for fold in sorted(set(folds.values())):
        known = sorted(name for name, at in folds.items() if at != fold)
        if count is not None:
            rng = np.random.default_rng((seed, fold, count))
            known = sorted(rng.permutation(known)[:count].tolist())
        yield Training(
            name=f"{table_row}/fold-{fold}-seed-{seed}",
            row=Row.PATCHES,
            config=recipe.real.model_copy(update={"seed": seed, "steps": steps}),
            start=last_stage(recipe, seed),
            learns=tuple(known),
            judged_on=tuple(sorted(name for name, at in folds.items() if at == fold)),
            table_row=table_row,
        )
