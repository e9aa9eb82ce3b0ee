"""``minicube simulate``: cases to learn from, with real tumour shapes and patches where given."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from minicube._errors import InputError, require
from minicube.cli._shared import progress, results
from minicube.cli.data import LayoutName

__all__ = ["simulate"]


def simulate(
    out: Annotated[Path, typer.Argument(help="Folder to write the dataset to.")],
    cases: Annotated[int, typer.Option(min=1, help="How many.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Of the first; the next has the next.")] = 0,
    layout: Annotated[LayoutName, typer.Option(help="Layout to write.")] = "brats2023",
    shapes: Annotated[Path | None, typer.Option(help="Expert label maps (.npz).")] = None,
    patches: Annotated[Path | None, typer.Option(help="Patches of real tumours (.npz).")] = None,
    leave_out: Annotated[
        Path | None,
        typer.Option(help="Table with a column `BraTS20 id`: patients of whom nothing is used."),
    ] = None,
) -> None:
    """Simulate cases: made-up heads, tumours from your own files' shapes and patches.

    Example: minicube simulate simulated/ --shapes maps.npz --leave-out MANIFEST.tsv
    """
    require("Simulating cases", "train", "torch", "scipy")
    if (shapes or patches) and leave_out is None:
        raise InputError(
            "Real shapes and patches belong to patients, who may be the ones to judge by later.",
            expected="--leave-out with a table of those patients",
            hint="a table with the heading alone leaves nobody out",
        )
    from minicube.scans import LabelScheme, Layout, describe_dataset, write_case
    from minicube.simulator import load_material, patients_of
    from minicube.simulator import simulate as make

    refused = frozenset[str]() if leave_out is None else patients_of(leave_out)
    material = load_material(shapes, patches, leave_out=refused)
    with progress() as display:
        task = display.add_task("cases", total=cases, note="")
        for number in range(seed, seed + cases):
            write_case(make(number, material), out, Layout(layout), LabelScheme.BRATS2023)
            display.advance(task)
    describe_dataset(out, Layout(layout), LabelScheme.BRATS2023)
    results().print(f"{cases} simulated case{'s' * (cases != 1)} in {out}")
