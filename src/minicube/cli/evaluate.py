"""``minicube evaluate``: label maps against references."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from minicube._errors import InputError
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
    tolerance: Annotated[
        float, typer.Option(help="How far surfaces may be apart to agree (NSD), mm.")
    ] = 1.0,
    lesions: Annotated[
        bool, typer.Option("--lesions", help="Lesion by lesion, too, by the rule of BraTS 2023.")
    ] = False,
    json: JsonOption = None,
) -> None:
    """Score segmentations: voxels counted, Dice, surface distances (HD95, NSD), lesions.

    Example: minicube evaluate --prediction seg.nii.gz --reference truth.nii.gz
    --reference-labels brats2021
    """
    from dataclasses import replace

    from minicube.scans.nifti import sidecar_of

    if json not in (None, "-") and Path(json).is_file():
        given = (prediction, reference, sidecar_of(prediction), sidecar_of(reference))
        if any(path.is_file() and path.samefile(json) for path in given):
            raise InputError(f"{json} says what is evaluated.", hint="give --json another file")
    from minicube.evaluation import BRATS2023_LESIONS, BRATS_SURFACES, evaluate_files

    result = evaluate_files(
        prediction,
        reference,
        scheme_called(prediction_labels),
        scheme_called(reference_labels),
        surfaces=replace(BRATS_SURFACES, tolerance=tolerance),
        lesions=BRATS2023_LESIONS if lesions else None,
    )
    if json is not None:
        emit_json(result.to_dict(), json)
    if json != "-":
        results().print(result.table())
