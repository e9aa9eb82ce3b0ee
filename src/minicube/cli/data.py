"""``minicube data``: what lies in a folder, and the same in another layout."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from minicube.cli._shared import JsonOption, SchemeName, emit_json, progress, results, scheme_called

__all__ = ["LayoutName", "app"]

LayoutName = Literal["brats2021", "brats2023", "plain", "decathlon", "nnunet", "bids"]

app = typer.Typer(
    help="See what a folder of scans holds; convert it.\n\n"
    "Example: minicube data list datasets/BraTS2021/",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.command("list")
def list_cases(
    folder: Annotated[Path, typer.Argument(help="A dataset, a case folder or a 4-D file.")],
    json: JsonOption = None,
) -> None:
    """Print the cases recognised in a folder.

    Example: minicube data list datasets/BraTS2021/
    """
    from rich.table import Table

    from minicube.scans import find_cases

    cases = find_cases(folder)
    if json is not None:
        emit_json([case.to_dict() for case in cases], json)
        return
    table = Table(title=f"{len(cases)} case{'s' * (len(cases) != 1)} in {folder!s}")
    for heading in ("case", "layout", "sequences", "reference", "label scheme"):
        table.add_column(heading, overflow="fold")
    for case in cases:
        table.add_row(
            case.identity,
            case.layout.value,
            " ".join(s.value for s in case.sequences),
            "–" if case.reference is None else case.reference.name,
            "–" if case.reference is None else (case.scheme.value if case.scheme else "not stated"),
        )
    results().print(table)


@app.command("convert")
def convert(
    source: Annotated[Path, typer.Argument(help="The dataset to read.")],
    target: Annotated[Path, typer.Argument(help="An empty or new folder to write to.")],
    layout: Annotated[LayoutName, typer.Option(help="Layout to write.")],
    scheme: Annotated[
        SchemeName | None, typer.Option(help="Label scheme to write; as it is when left out.")
    ] = None,
    labels: Annotated[
        SchemeName | None, typer.Option(help="Label scheme of the source, if it does not say.")
    ] = None,
    lossy: Annotated[
        bool, typer.Option("--lossy", help="Accept that the scheme merges or drops tissues.")
    ] = False,
    json: JsonOption = None,
) -> None:
    """Write a dataset in another layout and label scheme.

    Example: minicube data convert Task01_BrainTumour/ brats/ --layout brats2023
    --scheme brats2023
    """
    from minicube.scans import Layout, convert_dataset

    with progress() as display:
        task = display.add_task("converting", total=None, note="")
        report = convert_dataset(
            source,
            target,
            Layout(layout),
            scheme_called(scheme),
            labels=scheme_called(labels),
            lossy=lossy,
            done=lambda count, total: display.update(task, completed=count, total=total),
        )
    if json is not None:
        emit_json(report.to_dict(), json)
    else:
        results().print(report.text())
