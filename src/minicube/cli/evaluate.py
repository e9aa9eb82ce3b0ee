"""``minicube evaluate``: label maps against references."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from minicube.cli._shared import JsonOption, SchemeName, emit_json, results, scheme_called

__all__ = ["evaluate"]


def evaluate(
    prediction: Annotated[Path, typer.Option(help="A label map, or a folder of them.")],
    reference: Annotated[Path, typer.Option(help="Its reference, or a folder of them.")],
    prediction_labels: Annotated[
        SchemeName | None, typer.Option(help="Scheme of the prediction, if it does not say.")
    ] = None,
    reference_labels: Annotated[
        SchemeName | None, typer.Option(help="Scheme of the reference, if it does not say.")
    ] = None,
    json: JsonOption = None,
) -> None:
    """Score segmentations: counts first, then the ratios made of them.

    Example: minicube evaluate --prediction seg.nii.gz --reference truth.nii.gz
    --reference-labels brats2021
    """
    from minicube.evaluation import evaluate_files

    result = evaluate_files(
        prediction,
        reference,
        scheme_called(prediction_labels),
        scheme_called(reference_labels),
    )
    if json is not None:
        emit_json(result.to_dict(), json)
    if json != "-":
        results().print(result.table())
