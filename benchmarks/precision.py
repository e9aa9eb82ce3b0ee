"""What fewer bits cost: Dice of one model in fp32, int8 and bf16 on real cases.

    python benchmarks/precision.py MODEL --cases FOLDER --labels brats2021
        --calibrate NAME... [--report NAME...] [--int8 FILE] [--json FILE]

MODEL is a run or an exported file, which is what fp32 is measured with. Cases named with
--calibrate give int8 its ranges and are not reported on; of the others all are, or those named
with --report. Where the int8 file is refused, or the processor has no bf16, null stands in the
result and why beside it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from minicube._errors import InputError
from minicube._machine import processor_name
from minicube._version import __version__
from minicube.engines import (
    AnyEngine,
    Model,
    Numbers,
    Precision,
    load_model,
    open_engine,
    segment_volume,
)
from minicube.evaluation import CaseScores, evaluate_case, summarise
from minicube.export import ExportRequest, export_model
from minicube.scans import CaseFiles, LabelMap, LabelScheme, find_cases, load_case
from minicube.volumes import Prepared, prepare

REPORTED = (Precision.FP32, Precision.INT8, Precision.BF16)


def main() -> int:
    """Export, run all cases in all precisions, and print what came out."""
    arguments = _arguments()
    cases = {files.identity: files for files in find_cases(arguments.cases)}
    scheme = LabelScheme(arguments.labels)
    model = load_model(arguments.model)
    report = arguments.report or [name for name in cases if name not in arguments.calibrate]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "int8.onnx"
        short, why = _in_int8(model, arguments, place, [cases[n] for n in arguments.calibrate])
        engines, missing = _engines(model, short)
        missing |= {} if why is None else {Precision.INT8: why}
        rows = [_row(engines, *ready) for ready in _ready(model, cases, report, scheme)]
        sizes = {
            "as given": model.weights.stat().st_size,
            "int8": None if short is None else short.place.stat().st_size,
        }
    result = {
        "machine": _machine(),
        "model": {"name": model.description.name, "sha256": model.description.sha256},
        "calibrated_on": arguments.calibrate,
        "bytes": sizes,
        "cases": [row for row, _ in rows],
        "mean": {p.value: _mean([scores.get(p) for _, scores in rows]) for p in REPORTED},
        "missing": {precision.value: reason for precision, reason in missing.items()},
    }
    text = json.dumps(result, indent=2) + "\n"
    print(text, end="")
    if arguments.json is not None:
        arguments.json.write_text(text, encoding="utf-8")
    return 0


def _in_int8(
    model: Model, arguments: argparse.Namespace, place: Path, cases: list[CaseFiles]
) -> tuple[Model | None, str | None]:
    """The model in int8, or why there is none."""
    if arguments.int8 is not None:
        return load_model(arguments.int8), None
    scheme = LabelScheme(arguments.labels)
    try:
        request = ExportRequest(model, place, Numbers.INT8, cases, scheme)
        return export_model(request).model, None
    except InputError as error:
        return None, error.text()


def _engines(
    model: Model, short: Model | None
) -> tuple[dict[Precision, AnyEngine], dict[Precision, str]]:
    engines = {Precision.FP32: open_engine(model, precision=Precision.FP32)}
    if short is not None:
        engines[Precision.INT8] = open_engine(short, precision=Precision.INT8)
    try:
        engines[Precision.BF16] = open_engine(model, precision=Precision.BF16)
    except InputError as error:
        return engines, {Precision.BF16: error.text()}
    return engines, {}


def _ready(
    model: Model, cases: Mapping[str, CaseFiles], names: list[str], scheme: LabelScheme
) -> Iterator[tuple[Model, Prepared, LabelMap]]:
    for name in names:
        case = load_case(cases[name], labels=scheme)
        ready = prepare(case, denoise=model.description.denoise)
        if ready.labels is None:
            raise InputError(f"{name} has no reference.", hint="leave it out")
        yield model, ready, ready.labels


def _row(
    engines: Mapping[Precision, AnyEngine], model: Model, ready: Prepared, reference: LabelMap
) -> tuple[dict[str, Any], dict[Precision, CaseScores]]:
    images = ready.images_as(model.description.normalisation)
    found = {
        precision: segment_volume(engine, images, model.description.cut)
        for precision, engine in engines.items()
    }
    scores = {p: evaluate_case(f, reference, identity=ready.identity) for p, f in found.items()}
    full = found[Precision.FP32].array
    row: dict[str, Any] = {"case": ready.identity, "voxels": int(np.prod(full.shape))}
    row |= {"tumour_voxels": int((full > 0).sum())}
    for precision in REPORTED:
        row[precision.value] = None
        if precision in scores:
            dice = {r.value: s.dice for r, s in scores[precision].regions.items()}
            differ = int((found[precision].array != full).sum())
            row[precision.value] = {"dice": dice, "labels_other_than_fp32": differ}
    print(f"{ready.identity}: done", file=sys.stderr)
    return row, scores


def _mean(scores: list[CaseScores | None]) -> dict[str, float | None] | None:
    there = [case for case in scores if case is not None]
    if not there:
        return None
    return {region.value: group.mean for region, group in summarise(there).regions.items()}


def _machine() -> dict[str, str]:
    packages = {name: version(name) for name in ("openvino", "onnx", "nncf", "numpy")}
    return {"processor": processor_name(), "minicube": __version__, **packages}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("model", type=Path, metavar="MODEL", help="a run or an exported file")
    parser.add_argument("--cases", type=Path, required=True, help="folder of labelled cases")
    parser.add_argument("--labels", required=True, help="scheme of their references")
    parser.add_argument("--calibrate", nargs="+", required=True, help="cases for int8's ranges")
    parser.add_argument("--report", nargs="+", help="cases to report on")
    parser.add_argument("--int8", type=Path, help="a file made before, from the same cases")
    parser.add_argument("--json", type=Path, help="file to write")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
