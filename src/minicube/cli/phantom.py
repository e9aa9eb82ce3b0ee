"""``minicube phantom``: made-up heads with tumours, as a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from minicube._errors import require
from minicube.cli._shared import progress, results
from minicube.cli.data import LayoutName

__all__ = ["phantom"]


def phantom(
    out: Annotated[Path, typer.Argument(help="Folder to write the dataset to.")],
    cases: Annotated[int, typer.Option(min=1, help="How many.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same cases.")] = 0,
    layout: Annotated[LayoutName, typer.Option(help="Layout to write.")] = "brats2023",
    family: Annotated[
        Literal["a", "b"], typer.Option(help="Family of contrasts and tumour shapes.")
    ] = "a",
    skull: Annotated[bool, typer.Option("--skull", help="Leave scalp and skull on.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that work at once.")] = 1,
) -> None:
    """Make phantoms: real anatomy, made-up tumours, no patient.

    Example: minicube phantom phantoms/ --cases 20 --seed 7
    """
    require("Making phantoms", "phantom", "scipy")
    from minicube.phantom import Family, PhantomSpec, write_phantoms
    from minicube.scans import Layout

    spec = PhantomSpec(seed=seed, family=Family(family), skull=skull)
    with progress() as display:
        task = display.add_task("phantoms", total=cases, note="")
        for _ in write_phantoms(spec, cases, out, Layout(layout), jobs=jobs):
            display.advance(task)
    results().print(f"{cases} phantom{'s' * (cases != 1)} in {out}")
