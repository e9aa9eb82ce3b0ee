"""``minicube segment``: scans in, label maps out."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from minicube._errors import InputError
from minicube._preparing import PrepareName, read
from minicube.cli._dicom_study import given_study
from minicube.cli._segmenting import (
    Loaded,
    Request,
    Target,
    Work,
    cases_of,
    refuse_existing,
    targets_of,
)
from minicube.cli._shared import (
    JsonOption,
    PrecisionName,
    SchemeName,
    console,
    emit_json,
    measuring,
    progress,
    results,
)

if TYPE_CHECKING:
    from rich.progress import Progress

    from minicube.inference import MemoryPlan

__all__ = ["SOME_FAILED", "segment"]

SOME_FAILED = 3

InputArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="INPUT", help="A case folder, a 4-D file, a folder of cases, or a DICOM study."
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="Label map to write; a folder for several cases or DICOM."),
]
ModelOption = Annotated[
    list[Path] | None,
    typer.Option(help="A run or an exported file; several: their mean. By default the shipped."),
]
ReportOption = Annotated[
    Path | None, typer.Option(help="HTML report to write; a folder for several cases.")
]
ProbabilitiesOption = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Where to write maps of the probability of WT, TC, ET."),
]
UncertaintyOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Map of uncertainty to write; a folder for several cases."),
]
TtaOption = Annotated[
    bool, typer.Option("--tta", help="Mean with the head mirrored left to right; twice the time.")
]
LargestOption = Annotated[
    bool, typer.Option("--largest", help="Keep only the largest component of the tumour.")
]
DropBelowOption = Annotated[
    float, typer.Option(metavar="ML", help="Drop components of the tumour smaller than this.")
]
FillHolesOption = Annotated[
    bool, typer.Option("--fill-holes", help="Fill what tumour or core enclose on all sides.")
]
LeastEnhancingOption = Annotated[
    float | None,
    typer.Option(
        metavar="ML", help="Enhancing tumour of less in all becomes core; else as the model says."
    ),
]
MemoryOption = Annotated[
    str | None, typer.Option(help="Most that this process may hold, such as 1GB; or auto.")
]
EngineOption = Annotated[
    Literal["auto", "openvino", "onnxruntime", "torch"],
    typer.Option(help="What runs the network; runs that are not exported: torch."),
]
PrepareOption = Annotated[
    PrepareName,
    typer.Option(help="Raw scans: register them and take the skull off; auto: where it is needed."),
]
JobsOption = Annotated[
    int, typer.Option(min=1, help="Of several cases: computed at once. Each takes its memory.")
]


def segment(
    source: InputArgument = None,
    out: OutOption = None,
    t1: Annotated[
        Path | None, typer.Option(help="T1 without contrast; of DICOM a series' number.")
    ] = None,
    t1ce: Annotated[Path | None, typer.Option(help="T1 with contrast; likewise.")] = None,
    t2: Annotated[Path | None, typer.Option(help="T2; likewise.")] = None,
    flair: Annotated[Path | None, typer.Option(help="FLAIR; likewise.")] = None,
    model: ModelOption = None,
    labels: Annotated[
        SchemeName, typer.Option(help="Label scheme of what is written.")
    ] = "brats2023",
    report: ReportOption = None,
    probabilities: ProbabilitiesOption = None,
    uncertainty: UncertaintyOption = None,
    tta: TtaOption = False,
    largest: LargestOption = False,
    drop_below: DropBelowOption = 0.0,
    fill_holes: FillHolesOption = False,
    least_enhancing: LeastEnhancingOption = None,
    memory: MemoryOption = None,
    precision: Annotated[PrecisionName, typer.Option(help="Of the network's arithmetic.")] = "auto",
    engine: EngineOption = "auto",
    prepare: PrepareOption = "auto",
    jobs: JobsOption = 1,
    no_clobber: Annotated[
        bool, typer.Option("--no-clobber", help="Refuse to replace a file that exists.")
    ] = False,
    json: JsonOption = None,
) -> None:
    """Segment one case, or a folder of cases, which goes on where it was stopped.

    A sequence may be missing, which is a warning; T1 without contrast alone is too little.
    Raw scans – grids that differ, skull on – are prepared first, by the extra raw, and labels
    lie on the grid of T1 with contrast.

    Example: minicube segment patient_07/ -o patient_07_seg.nii.gz --report patient_07.html

    Example: minicube segment study.zip -o results/
    """
    if out is None:
        raise InputError("Where to write is missing.", hint="add -o OUT.nii.gz")
    if jobs > 1 and memory is not None:
        raise InputError(
            "--jobs and --memory contradict each other.",
            found="a budget, which holds for one case at a time",
            hint="leave one of them out",
        )
    from minicube.engines import EngineName, Precision
    from minicube.inference import Limits, PostProcessing, Refinements
    from minicube.planning import parse_memory
    from minicube.scans import LabelScheme, holds_dicom

    request = Request(
        models=model or [],
        scheme=LabelScheme(labels),
        limits=Limits(
            None if memory is None else parse_memory(memory),
            Precision(precision),
            EngineName(engine),
        ),
        refinements=Refinements(
            tta,
            probabilities is not None,
            uncertainty is not None,
            PostProcessing(largest, drop_below, fill_holes, least_enhancing),
        ),
        jobs=jobs,
        resumable=False,
        overwrite=not no_clobber,
        prepare=prepare,
    )
    files = {"t1n": t1, "t1c": t1ce, "t2w": t2, "t2f": flair}
    named = {name: path for name, path in files.items() if path is not None}
    if source is not None and holds_dicom(source):
        given = given_study(
            source,
            named,
            out,
            report=report,
            probabilities=probabilities,
            uncertainty=uncertainty,
            overwrite=not no_clobber,
        )
        with given as study:
            rows = [study.write_objects(_one_or_many(request, [study.target], out)[0])]
    else:
        cases = cases_of(source, named)
        targets = targets_of(cases, out, report, probabilities, uncertainty)
        rows = _one_or_many(request, targets, out)
    if json is not None:
        emit_json(rows[0] if len(rows) == 1 else rows, json)
    if json != "-":
        _tell(rows)
    if any("error" in row for row in rows):
        raise typer.Exit(SOME_FAILED)


def _one_or_many(request: Request, targets: list[Target], out: Path) -> list[dict[str, Any]]:
    """A row for each case."""
    if len(targets) > 1:
        jobs = min(request.jobs, len(targets))
        return _cohort(replace(request, jobs=jobs, resumable=True), targets, out)
    if not request.overwrite:
        refuse_existing(targets[0].outputs)
    return [_one(replace(request, jobs=1), targets[0])]


def _one(request: Request, target: Target) -> dict[str, Any]:
    with progress() as display, ThreadPoolExecutor(1) as pool:
        task = display.add_task("segmenting", total=1, note=target.case.identity)
        # Read while the engine is made ready; within a budget what is read stays on disk.
        frugal = request.limits.memory is not None
        reading = pool.submit(read, target.case, request.prepare, frugal=frugal)
        work = Work(request, _teller(display), measuring(display))
        row = work.write(target, work.compute(Loaded(*reading.result())))
        display.advance(task)
    return row


def _cohort(request: Request, targets: list[Target], out: Path) -> list[dict[str, Any]]:
    """A row for each case; one that failed has its error in it."""
    from minicube.inference import VOLUMES, Stages, one_by_one, overlapped, write_volumes

    with progress() as display:
        work = Work(request, _teller(display), measuring(display))
        made = {target.out: work.made_before(target) for target in targets}
        rows = {path: row for path, row in made.items() if row is not None}
        left = [target for target in targets if target.out not in rows]
        if not request.overwrite:
            table = [] if rows else [out / VOLUMES]  # of a cohort that goes on, it is ours
            refuse_existing([*table, *(path for target in left for path in target.outputs)])
        stages = Stages(work.read, work.compute, work.write)
        frugal = request.limits.memory is not None
        outcomes = one_by_one(left, stages) if frugal else overlapped(left, stages, request.jobs)
        there = f"{len(rows)} were there" if rows else ""
        task = display.add_task("segmenting", total=len(left), note=there)
        with closing(outcomes):
            for outcome in outcomes:
                identity = outcome.item.case.identity
                failed = {"case": identity, "error": outcome.error}
                rows[outcome.item.out] = failed if outcome.result is None else outcome.result
                display.update(task, advance=1, note=identity)
    table_rows = [rows[target.out] for target in targets]
    write_volumes(out / VOLUMES, table_rows)
    return table_rows


def _teller(display: Progress) -> Callable[[str, MemoryPlan], None]:
    """Says how a case is kept within the memory, above the bar."""
    return lambda case, plan: display.console.print(f"{case}: {plan.in_words()}")


def _tell(rows: list[dict[str, Any]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from minicube.planning import in_words

    table = Table(caption="Research use only – not a medical device.")
    for heading in ("case", "WT ml", "TC ml", "ET ml", "seconds", "written to"):
        table.add_column(heading, overflow="fold")
    failed = [row for row in rows if "error" in row]
    found = [row for row in rows if "error" not in row]
    for row in found:
        ml = row["volumes_ml"]
        regions = (_millilitres(ml[name]) for name in ("WT", "TC", "ET"))
        case, written = escape(row["case"]), escape(row["output"])
        table.add_row(case, *regions, f"{row['seconds']:.1f}", written)
    if found:
        results().print(table)
    for row in found:
        if row["memory"] is not None and row["memory"]["peak_bytes"] is not None:
            held = in_words(row["memory"]["peak_bytes"])
            console().print(f"{row['case']}: {held} held", markup=False)
        for warning in row["warnings"]:
            console().print(f"{row['case']}: {warning}", style="yellow", markup=False)
    there = sum("made_before" in row for row in found)
    if there:
        console().print(f"{there} of {len(rows)} were there already and would come out the same")
    for row in failed:
        console().print(f"{row['case']}: {row['error']}", style="red", markup=False)
    if failed:
        console().print(f"{len(failed)} of {len(rows)} cases failed", style="red")


def _millilitres(value: float | None) -> str:
    return "not determinable" if value is None else f"{value:.1f}"
