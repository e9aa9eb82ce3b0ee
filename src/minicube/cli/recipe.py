"""``minicube recipe``: the trainings that lead to shipped weights, and what each is worth."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from minicube._errors import InputError, require
from minicube.cli._shared import JsonOption, emit_json, progress, results
from minicube.cli._training import TrainingDisplay

__all__ = ["recipe"]


def recipe(
    file: Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe, a TOML file.")],
    data: Annotated[Path, typer.Option(help="Folder that the recipe's material lies in.")],
    out: Annotated[Path, typer.Option(help="Folder for runs and results.")],
    only: Annotated[
        list[str] | None,
        typer.Option(help="Trainings to make, by how their names begin; again for more."),
    ] = None,
    table: Annotated[
        bool, typer.Option("--table", help="Train nothing; judge what is done and print.")
    ] = False,
    without: Annotated[
        list[str] | None,
        typer.Option(help="With --table: judge without t1n, t1c, t2w or t2f; again for more."),
    ] = None,
    json: JsonOption = None,
) -> None:
    """Make the trainings of a recipe; given again, go on where it was stopped.

    Without --only that is all of them; the models inside the package need
    `--only tiny/shipped` alone, which goes on from all others that lead to them.

    Example: minicube recipe recipes/shipped.toml --data material/ --out runs/ --only tiny/shipped
    """
    require("Following a recipe", "train", "torch", "lightning_fabric", "monai", "scipy")
    from minicube.recipe import Recipe, RecipeRequest, RecipeRun, accuracy, follow
    from minicube.scans import Sequence

    if json is not None and not table:
        raise InputError("--json is what was judged.", hint="add --table, when trainings are done")
    if without and not table:
        raise InputError("--without says how to judge.", hint="add --table")
    if unknown := set(without or ()) - set(Sequence):
        raise InputError(
            "--without names no sequence.", expected=", ".join(Sequence), found=", ".join(unknown)
        )
    request = RecipeRequest(Recipe.read(file), data, out, tuple(only or ()))
    with progress() as display:
        shown = TrainingDisplay(display)
        found = RecipeRun(request, shown.preparing) if table else follow(request, shown)
        if not table:
            return
        task = display.add_task("judging", total=None, note="")
        absent = [Sequence(name) for name in without or ()]
        rows = accuracy(found, lambda name: display.update(task, note=name), absent)
    if json is not None:
        emit_json(rows, json)
    if json != "-":
        _print(rows)


def _print(rows: Mapping[str, Any]) -> None:
    for row, seeds in rows.items():
        for seed, parts in seeds.items():
            for part in ("all", "low grade", "high grade"):
                if part in parts:
                    regions = parts[part]
                    n = next(iter(regions.values()))["n"]
                    dice = "  ".join(
                        f"{region} {found['mean']:.3f} ({found['median']:.3f})"
                        for region, found in regions.items()
                    )
                    results().print(f"{row}, seed {seed}, {part}, n = {n}: {dice}")
    results().print("Dice, mean (median) over cases; a region neither has is 1, a false alarm 0.")
