"""``minicube segment``: scans in, label maps out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from minicube._errors import InputError
from minicube._preparing import PrepareName
from minicube.cli._cohort import one_or_many
from minicube.cli._dicom_study import given_study
from minicube.cli._on_cluster import LOCAL, Cluster, spread_cohort
from minicube.cli._segmenting import Request, limits_of
from minicube.cli._shared import (
    JsonOption,
    PrecisionName,
    console,
    emit_json,
    results,
)
from minicube.cli._targets import Places, cases_of, targets_of

__all__ = ["SOME_FAILED", "WrittenScheme", "segment"]

SOME_FAILED = 3

# The schemes that have all that a network tells apart; necrosis alone is nothing it knows.
WrittenScheme = Literal["decathlon", "brats2021", "brats2023", "brats2024"]

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
    typer.Option(
        help="A run, an exported file, or a model inside, default or tiny; several: their mean. "
        "Left out, default."
    ),
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
EvenOption = Annotated[
    bool, typer.Option("--even", help="Mean with coil shading taken out; twice the time.")
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
    int | None,
    typer.Option(min=1, help="Of several cases: computed at once. Each takes its memory."),
]
SchedulerOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Spread a cohort over the workers of a Dask scheduler; local starts one here.",
    ),
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
        WrittenScheme, typer.Option(help="Label scheme of what is written.")
    ] = "brats2023",
    report: ReportOption = None,
    probabilities: ProbabilitiesOption = None,
    uncertainty: UncertaintyOption = None,
    tta: TtaOption = False,
    even: EvenOption = False,
    largest: LargestOption = False,
    drop_below: DropBelowOption = 0.0,
    fill_holes: FillHolesOption = False,
    least_enhancing: LeastEnhancingOption = None,
    memory: MemoryOption = None,
    precision: Annotated[PrecisionName, typer.Option(help="Of the network's arithmetic.")] = "auto",
    engine: EngineOption = "auto",
    prepare: PrepareOption = "auto",
    jobs: JobsOption = None,
    scheduler: SchedulerOption = None,
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
    from minicube.inference import PostProcessing, Refinements, model_place
    from minicube.planning import is_auto
    from minicube.scans import LabelScheme

    _check_together(scheduler, jobs, memory, no_clobber=no_clobber)
    auto = scheduler is not None and memory is not None and is_auto(memory)
    cluster = None if scheduler is None else Cluster(scheduler, jobs, auto)
    request = Request(
        models=tuple(map(model_place, model or ())),
        scheme=LabelScheme(labels),
        limits=limits_of(None if auto else memory, precision, engine),
        refinements=Refinements(
            tta,
            even,
            probabilities is not None,
            uncertainty is not None,
            PostProcessing(largest, drop_below, fill_holes, least_enhancing),
        ),
        jobs=jobs or 1,
        overwrite=not no_clobber,
        prepare=prepare,
    )
    files = {"t1n": t1, "t1c": t1ce, "t2w": t2, "t2f": flair}
    named = {name: path for name, path in files.items() if path is not None}
    file = None if json in (None, "-") else Path(json)
    places = Places(out, report, probabilities, uncertainty, file)
    rows = _segmented(request, source, named, places, cluster)
    if json != "-":
        _tell(rows)
    if json is not None:
        emit_json(rows[0] if len(rows) == 1 else rows, json)
    if any("error" in row for row in rows):
        raise typer.Exit(SOME_FAILED)


def _check_together(
    scheduler: str | None, jobs: int | None, memory: str | None, *, no_clobber: bool
) -> None:
    """Refuse options that contradict each other."""
    if scheduler is None:
        if (jobs or 1) > 1 and memory is not None:
            raise InputError(
                "--jobs and --memory contradict each other.",
                found="a budget, which holds for one case at a time",
                hint="leave one of them out",
            )
        return
    if jobs is not None and scheduler != LOCAL:
        raise InputError(
            "--jobs and --scheduler contradict each other.",
            found="a scheduler whose workers are there already",
            hint="leave out --jobs; it says how many workers --scheduler local starts",
        )
    if no_clobber:
        raise InputError(
            "--no-clobber and --scheduler contradict each other.",
            found="workers, which do a case again when one of them died over it",
            hint="leave out --no-clobber: what is there and would come out the same is kept",
        )


def _segmented(
    request: Request,
    source: Path | None,
    named: dict[str, Path],
    places: Places,
    cluster: Cluster | None,
) -> list[dict[str, Any]]:
    """A row for each case."""
    from minicube.scans import holds_dicom

    if cluster is not None:
        return _spread(request, source, named, places.absolute, cluster)
    if source is not None and holds_dicom(source):
        with given_study(source, named, places, overwrite=request.overwrite) as study:
            (row,) = one_or_many(request, [study.target], places.out)
            return [study.write_objects(row)]
    targets = targets_of(cases_of(source, named), places)
    return one_or_many(request, targets, places.out)


def _spread(
    request: Request,
    source: Path | None,
    named: dict[str, Path],
    places: Places,
    cluster: Cluster,
) -> list[dict[str, Any]]:
    """A row for each case, by workers, which may stand in another folder."""
    from minicube.scans import holds_dicom

    if source is None or holds_dicom(source):
        raise InputError("--scheduler is for a folder of cases.", hint="leave it out")
    targets = targets_of(cases_of(source.absolute(), named), places)
    if len(targets) == 1:
        raise InputError("--scheduler is for several cases, and there is one.", hint="leave it out")
    models = tuple(path.absolute() for path in request.models)
    return spread_cohort(replace(request, models=models), targets, places.out, cluster)


def _tell(rows: list[dict[str, Any]]) -> None:
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
        case, written = row["case"], row["output"]
        table.add_row(case, *regions, f"{row['seconds']:.1f}", written)
    if found:
        results().print(table)
    for row in found:
        if row["memory"] is not None and row["memory"]["peak_bytes"] is not None:
            held = in_words(row["memory"]["peak_bytes"])
            console().print(f"{row['case']}: {held} held")
        for warning in row["warnings"]:
            console().print(f"{row['case']}: {warning}", style="yellow")
    there = sum("made_before" in row for row in found)
    if there:
        console().print(f"{there} of {len(rows)} were there already and would come out the same")
    for row in failed:
        console().print(f"{row['case']}: {row['error']}", style="red")
    if failed:
        console().print(f"{len(failed)} of {len(rows)} cases failed", style="red")


def _millilitres(value: float | None) -> str:
    return "not determinable" if value is None else f"{value:.1f}"
