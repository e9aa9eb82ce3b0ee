"""``minicube export``: a trained network as one portable file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from minicube._errors import InputError, require
from minicube.cli._shared import (
    JsonOption,
    SchemeName,
    emit_json,
    progress,
    results,
    scheme_called,
)

__all__ = ["export"]


def export(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run; or, for --half and --int8, a file.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write; ends in .onnx.")
    ] = None,
    half: Annotated[
        bool, typer.Option("--half", help="Weights in half precision: half the size.")
    ] = False,
    int8: Annotated[
        bool, typer.Option("--int8", help="Weights and arithmetic in int8: a quarter of the size.")
    ] = False,
    cases: Annotated[
        Path | None,
        typer.Option(help="Labelled cases on which --half or --int8 is held against fp32."),
    ] = None,
    labels: Annotated[
        SchemeName | None, typer.Option(help="Label scheme of their references, if not stated.")
    ] = None,
    licence: Annotated[str | None, typer.Option(help="Of the weights.")] = None,
    no_clobber: Annotated[
        bool, typer.Option("--no-clobber", help="Refuse to replace a file that exists.")
    ] = False,
    json: JsonOption = None,
) -> None:
    """Write a model's network as one ONNX file, which segments without PyTorch.

    Example: minicube export runs/first -o first.onnx
    """
    if out is None:
        raise InputError("Where to write is missing.", hint="add -o NAME.onnx")
    if half and int8:
        raise InputError("--half and --int8 contradict each other.", hint="give one of them")
    require("Exporting", "train,export", "torch", "onnx", "onnxscript")
    from minicube.engines import Numbers, load_model
    from minicube.export import ExportRequest, export_model
    from minicube.inference import model_place
    from minicube.scans import find_cases

    request = ExportRequest(
        model=load_model(model_place(run)),
        out=out,
        numbers=Numbers.FP16 if half else Numbers.INT8 if int8 else Numbers.FP32,
        cases=[] if cases is None else find_cases(cases),
        labels=scheme_called(labels),
        licence=licence,
        overwrite=not no_clobber,
    )
    with progress() as display:
        display.add_task("exporting", total=None, note=out.name)
        made = export_model(request)
    if json is not None:
        emit_json(
            {
                "file": str(out),
                "bytes": made.size,
                "largest_difference": made.largest_difference,
                "dice": None if made.dice is None else {"run": made.dice[0], "file": made.dice[1]},
                "sha256": made.model.description.sha256,
            },
            json,
        )
    if json != "-":
        dice = (
            ""
            if made.dice is None
            else f"; mean Dice {made.dice[0]:.4f} in fp32, {made.dice[1]:.4f} as written"
        )
        results().print(
            f"{out}: {made.size / 2**20:.1f} MB; logits differ from torch's by at most "
            f"{made.largest_difference:.1g}{dice}",
        )
