"""``minicube dicom``: what a study holds, and a case written as one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minicube.cli._shared import JsonOption, console, emit_json, results

if TYPE_CHECKING:
    from minicube.dicom import Assignment, Study

__all__ = ["app"]

app = typer.Typer(
    help="See what a DICOM study holds; write one. `minicube segment` takes studies as they are."
    "\n\nExample: minicube dicom list study.zip",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.command("list")
def list_series(
    source: Annotated[Path, typer.Argument(metavar="STUDY", help="A folder or a zip archive.")],
    json: JsonOption = None,
) -> None:
    """Print the series of a study and which sequence each may be.

    What speaks for each is printed with it.

    Example: minicube dicom list study.zip
    """
    from minicube.scans import require_dicom

    require_dicom()
    from minicube.dicom import open_studies

    with open_studies(source) as studies:
        if json is not None:
            emit_json([study.to_dict() for study in studies], json)
            return
        for study in studies:
            _print(study, study.choose())


@app.command("write")
def write(
    source: Annotated[Path, typer.Argument(metavar="CASE", help="A case folder or a 4-D file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the study, new or empty.")],
) -> None:
    """Write a case as a DICOM study, for a demonstration.

    Classic MR images; of no patient.

    Example: minicube dicom write phantoms/phantom-a-00000-00000 -o study/
    """
    from minicube.scans import load_case, require_dicom

    require_dicom()
    from minicube._files import filling
    from minicube.dicom import write_study

    case = load_case(source, with_reference=False)
    with filling(out) as folder:  # images of another study beside it would be taken for its own
        written = write_study(case, folder)
    results().print(f"{len(written)} images in {out}")


def _print(study: Study, assignment: Assignment) -> None:
    from rich.table import Table

    from minicube.scans import Sequence

    table = Table(title=f"{study.identity}: {len(study.found)} series")
    for heading in ("no.", "description", "images", "mm", *Sequence, "taken as", "why"):
        table.add_column(heading, overflow="fold")
    taken = {row.series.number: s for s, row in assignment.chosen.items()}
    for row in study.found:
        geometry, sequence = row.series.geometry, taken.get(row.series.number)
        table.add_row(
            str(row.series.number),
            row.series.facts.description,
            str(len(row.series.frames)),
            "–" if geometry is None else " × ".join(f"{mm:.3g}" for mm in geometry.spacing),
            *("–" if row.rejected else f"{row.scores[s]:.2f}" for s in Sequence),
            "" if sequence is None else sequence.value,
            row.rejected or "; ".join(row.reasons),
        )
    results().print(table)
    for sequence, others in assignment.rivals.items():
        numbers = ", ".join(str(one.series.number) for one in others)
        console().print(f"{sequence.label}: series {numbers} would do as well; name one")
    for sequence in assignment.missing:
        console().print(f"{sequence.label}: not recognised")
    for remark in (*assignment.remarks, *study.remarks):
        console().print(remark)
