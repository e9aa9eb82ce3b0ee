"""``minicube segment``: scans in, label maps out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minicube._errors import InputError
from minicube._machine import peak_memory
from minicube.cli._shared import (
    JsonOption,
    PrecisionName,
    SchemeName,
    console,
    emit_json,
    progress,
    results,
)

if TYPE_CHECKING:
    from minicube.inference import MemoryPlan, Segmentation, Segmenter
    from minicube.scans import CaseFiles, LabelScheme

__all__ = ["segment"]


def segment(
    source: Annotated[
        Path | None,
        typer.Argument(metavar="INPUT", help="A case folder, a 4-D file, or a folder of cases."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Label map to write; a folder for several cases."),
    ] = None,
    t1: Annotated[Path | None, typer.Option(help="T1 without contrast.")] = None,
    t1ce: Annotated[Path | None, typer.Option(help="T1 with contrast.")] = None,
    t2: Annotated[Path | None, typer.Option(help="T2.")] = None,
    flair: Annotated[Path | None, typer.Option(help="FLAIR.")] = None,
    model: Annotated[
        Path | None, typer.Option(help="A run folder; the shipped model when left out.")
    ] = None,
    labels: Annotated[
        SchemeName, typer.Option(help="Label scheme of what is written.")
    ] = "brats2023",
    report: Annotated[
        Path | None, typer.Option(help="HTML report to write; a folder for several cases.")
    ] = None,
    memory: Annotated[
        str | None, typer.Option(help="Most that this process may hold, such as 1GB; or auto.")
    ] = None,
    precision: Annotated[PrecisionName, typer.Option(help="Of the network's arithmetic.")] = "auto",
    no_clobber: Annotated[
        bool, typer.Option("--no-clobber", help="Refuse to replace a file that exists.")
    ] = False,
    json: JsonOption = None,
) -> None:
    """Segment one case or a folder of cases.

    Example: minicube segment patient_07/ -o patient_07_seg.nii.gz --report patient_07.html
    """
    if out is None:
        raise InputError("Where to write is missing.", hint="add -o OUT.nii.gz")
    files = {"t1n": t1, "t1c": t1ce, "t2w": t2, "t2f": flair}
    cases = _cases(source, {name: path for name, path in files.items() if path is not None})
    targets = _targets(cases, out, report)
    if no_clobber:
        _refuse_existing(targets)
    from minicube.engines import Precision, load_model
    from minicube.inference import Limits, Segmenter
    from minicube.planning import parse_memory
    from minicube.scans import LabelScheme

    scheme = LabelScheme(labels)
    limits = Limits(None if memory is None else parse_memory(memory), Precision(precision))
    segmenter = Segmenter(None if model is None else load_model(model), limits)
    rows = []
    with progress() as display:
        task = display.add_task("segmenting", total=len(targets), note="")
        for target in targets:
            display.update(task, note=target.case.identity)

            def tell(plan: MemoryPlan, case: str = target.case.identity) -> None:
                display.console.print(f"{case}: {plan.in_words()}")

            rows.append(_one(segmenter, target, scheme, tell, overwrite=not no_clobber))
            display.advance(task)
    if json is not None:
        emit_json(rows[0] if len(rows) == 1 else rows, json)
    if json != "-":
        _tell(rows)


@dataclass(frozen=True)
class _Target:
    case: CaseFiles
    out: Path
    report: Path | None


def _cases(source: Path | None, named: dict[str, Path]) -> list[CaseFiles]:
    from minicube.scans import CaseFiles, Sequence, find_cases

    if source is not None and named:
        raise InputError(
            "Both a folder and single files were given.",
            hint="give either INPUT, or --t1 --t1ce --t2 --flair",
        )
    if source is not None:
        return find_cases(source)
    if not named:
        raise InputError(
            "What to segment is missing.",
            hint="give a case folder, or --t1 --t1ce --t2 --flair",
        )
    return [CaseFiles.of_files({Sequence(name): path for name, path in named.items()})]


def _targets(cases: list[CaseFiles], out: Path, report: Path | None) -> list[_Target]:
    """Where each case's results go: ``out`` itself for one case, inside it for several."""
    if len(cases) == 1 and out.name.endswith((".nii", ".nii.gz")):
        return [_Target(cases[0], out, report)]
    if out.is_file() or out.suffix in (".nii", ".gz"):
        raise InputError(
            f"{len(cases)} cases were found, but {out} is one file.",
            hint="give -o a folder",
        )
    return [
        _Target(
            case,
            out / f"{case.identity}_seg.nii.gz",
            None if report is None else report / f"{case.identity}.html",
        )
        for case in cases
    ]


def _refuse_existing(targets: list[_Target]) -> None:
    taken = [p for t in targets for p in (t.out, t.report) if p is not None and p.exists()]
    if taken:
        raise InputError(
            "Files that --no-clobber protects are already there.",
            found=", ".join(map(str, taken)),
        )


def _one(
    segmenter: Segmenter,
    target: _Target,
    scheme: LabelScheme,
    planned: Callable[[MemoryPlan], None],
    *,
    overwrite: bool,
) -> dict[str, Any]:
    from minicube.scans import load_case

    case = load_case(target.case, with_reference=False, on_disk=segmenter.is_frugal)
    result = segmenter.segment(case, planned)
    result.save(target.out, scheme=scheme, overwrite=overwrite)
    if target.report is not None:
        _write_report(target.report, result, scheme, overwrite=overwrite)
    return {
        "case": case.identity,
        "output": str(target.out),
        "label_scheme": scheme.value,
        "labels": {str(value): tissue.value for value, tissue in scheme.tissues.items()},
        "volumes_ml": result.volumes_ml,
        "model": segmenter.model.description.name,
        "seconds": round(result.seconds, 2),
        "memory": _memory(result),
        "warnings": list(case.warnings),
        "note": "research use only, not a medical device",
    }


def _memory(result: Segmentation) -> dict[str, Any] | None:
    if result.plan is None:
        return None
    return result.plan.to_dict() | {"peak_bytes": peak_memory()}


def _write_report(
    path: Path, result: Segmentation, scheme: LabelScheme, *, overwrite: bool
) -> None:
    from minicube._version import __version__
    from minicube.reporting import case_report, write_report

    description = result.model.description
    provenance = {
        "minicube": __version__,
        "model": f"{description.name} ({description.network}, {description.steps} steps)",
        "trained on": description.trained_on,
        "checksum of the weights": description.sha256[:16],
        "time": f"{result.seconds:.1f} s",
    }
    # In the scheme of the file, so that the values on the page are those in it.
    labels = result.labels.to(scheme)
    html = case_report(result.case, labels, scores=None, provenance=provenance)
    write_report(path, html, overwrite=overwrite)


def _tell(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    from minicube.planning import in_words

    table = Table(caption="Research use only – not a medical device.")
    for heading in ("case", "WT ml", "TC ml", "ET ml", "seconds", "written to"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        ml = row["volumes_ml"]
        regions = (f"{ml[name]:.1f}" for name in ("WT", "TC", "ET"))
        table.add_row(row["case"], *regions, f"{row['seconds']:.1f}", row["output"])
    results().print(table)
    for row in rows:
        if row["memory"] is not None:
            held = row["memory"]["peak_bytes"]
            if held is not None:
                console().print(f"{row['case']}: {in_words(held)} held")
        for warning in row["warnings"]:
            console().print(f"[yellow]{row['case']}: {warning}[/]")
