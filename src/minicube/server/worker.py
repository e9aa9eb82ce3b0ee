"""A job's own process: ``python -m minicube.server.worker FOLDER``.

It reads ``request.json`` in the folder and writes ``progress.json`` at each stage, in the end
``result.json``, or ``problem.json`` when something given cannot be used. All are written whole or
not at all, so whoever looks sees the truth, however a process ended. Standard input is a pipe that
the server holds open and writes nothing to: when it ends the server is gone, and so is this.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from minicube._errors import InputError
from minicube._files import write_json
from minicube._machine import allocating_at_most, end_with_parent, peak_memory
from minicube._preparing import carried_back, pictured, read
from minicube.evaluation import BRATS_SURFACES, CaseScores, evaluate_case
from minicube.inference import DEFAULT_SCHEME, Limits, Segmentation, Segmenter
from minicube.planning import parse_memory
from minicube.reporting import as_hex, case_report, score_notes, write_report
from minicube.reporting.colours import COLOURS
from minicube.scans import (
    Case,
    CaseFiles,
    LabelMap,
    Layout,
    Region,
    Sequence,
    Tissue,
    volumes_ml,
    write_label_map,
    write_volume,
)
from minicube.server.folders import JobFolder, Outputs
from minicube.server.jobs import Problem, Request, Result, Role, ScoreRow, Stage, TissueRow
from minicube.server.studies import MOST_MEMORY, convert_uploaded

if TYPE_CHECKING:
    from minicube.dicom import Converted

__all__ = ["MISSED", "OTHER_CLASS", "OVERDRAWN", "main", "tissue_rows"]

MISSED, OVERDRAWN, OTHER_CLASS = 1, 2, 3
"""Values of the map of differences: tumour in the reference alone, in the labels alone, in both
but of another class."""

_POLITENESS: Final = 10


def main(folder: Path) -> int:
    """Do a job; returns 0 when it is done, 2 when something given cannot be used."""
    end_with_parent()
    with contextlib.suppress(OSError, AttributeError):  # Windows: the server set the priority
        os.nice(_POLITENESS)
    place = JobFolder(folder.parent, folder.name)
    request = Request.model_validate_json(place.request.read_text(encoding="utf-8"))
    clock = _Clock(place, _stages(request))
    try:
        result = _do(place, request, clock)
    except InputError as error:
        problem = Problem(
            problem=error.problem, expected=error.expected, found=error.found, hint=error.hint
        )
        write_json(place.problem, problem.model_dump())
        return 2
    result.stage_seconds = clock.seconds
    write_json(place.result, result.model_dump(mode="json"))
    return 0


class _Clock:
    """Tells the server what stage the job is at, and how long each took."""

    def __init__(self, place: JobFolder, stages: list[Stage]) -> None:
        self._place, self._stages = place, stages
        self._began = 0.0
        self._stage: Stage | None = None
        self.seconds: dict[Stage, float] = {}

    def begin(self, stage: Stage) -> None:
        """End the stage before, and begin one; one that was not foreseen comes next."""
        if stage not in self._stages:
            assert self._stage is not None
            self._stages.insert(self._stages.index(self._stage) + 1, stage)
        self.end()
        self._stage, self._began = stage, time.time()
        note = {"stage": stage, "stages": self._stages, "began": self._began}
        write_json(self._place.progress, note)

    def end(self) -> None:
        """Write down how long the stage took."""
        if self._stage is not None:
            self.seconds[self._stage] = round(time.time() - self._began, 3)


def _stages(request: Request) -> list[Stage]:
    first = [] if request.phantom is None else [Stage.PHANTOM]
    if request.series:
        first = [Stage.CONVERTING]
    last = [Stage.SCORING] if request.is_scored else []
    return [*first, Stage.READING, Stage.SEGMENTING, *last, Stage.WRITING]


def _do(place: JobFolder, request: Request, clock: _Clock) -> Result:
    files, study = _uploaded(place, request), None
    if request.phantom is not None:
        clock.begin(Stage.PHANTOM)
        files = _make_phantom(place, request)
    if request.series:
        clock.begin(Stage.CONVERTING)
        study = convert_uploaded(place, request)
        files = replace(study.case, identity=files.identity, reference=files.reference)
    clock.begin(Stage.READING)
    case, raw = read(
        files,
        "auto",
        frugal=request.memory is not None,
        with_reference=True,
        labels=request.reference_scheme,
        preparing=lambda: clock.begin(Stage.PREPARING),
    )
    clock.begin(Stage.SEGMENTING)
    memory = None if request.memory is None else parse_memory(request.memory)
    found = Segmenter(limits=Limits(memory=memory)).segment(case)
    if raw is not None:
        found = carried_back(found, raw)
    case, labels = found.case, found.labels.to(DEFAULT_SCHEME)  # with warnings of its quality
    scores = None
    if case.reference is not None:
        clock.begin(Stage.SCORING)
        scores = evaluate_case(
            labels,
            case.reference,
            identity=case.identity,
            spacing=case.spacing,
            surfaces=BRATS_SURFACES,
        )
    clock.begin(Stage.WRITING)
    if raw is not None:
        _write_scans(case, place.registered)
    found.save(place.outputs / Outputs.LABELS, scheme=DEFAULT_SCHEME)
    if study is not None:
        _write_objects(place, study, found)
    if case.reference is not None:
        _write_reference(place, case, labels, case.reference.to(DEFAULT_SCHEME, lossy=True))
    page = case_report(
        case,
        labels,
        scores=scores,
        provenance=found.provenance,
        preparation=None if raw is None else pictured(raw),
    )
    write_report(place.outputs / Outputs.REPORT, page)
    clock.end()
    return _result(found, scores)


def _uploaded(place: JobFolder, request: Request) -> CaseFiles:
    where = {role: place.uploads / stored for role, stored in request.files.items()}
    reference = where.pop(Role.REFERENCE, None)
    sequences = {Sequence(role.value): path for role, path in where.items()}
    return CaseFiles(_shown(place), Layout.PLAIN, sequences, reference)


def _make_phantom(place: JobFolder, request: Request) -> CaseFiles:
    from minicube.phantom import Family, PhantomSpec, make_phantom

    assert request.phantom is not None
    spec = PhantomSpec(seed=request.phantom.seed, family=Family(request.phantom.family))
    case = make_phantom(spec, 0)
    geometry = case.geometry
    paths = _write_scans(case, place.uploads)
    reference = place.uploads / f"{Role.REFERENCE.value}.nii.gz"
    assert case.reference is not None
    on_file = LabelMap(geometry.from_ras(case.reference.array), case.reference.scheme)
    write_label_map(reference, on_file, geometry)
    return CaseFiles(_shown(place), Layout.PLAIN, paths, reference)


def _write_scans(case: Case, folder: Path) -> dict[Sequence, Path]:
    geometry = case.geometry
    paths = {sequence: folder / f"{sequence.value}.nii.gz" for sequence in case.images}
    for sequence, path in paths.items():
        write_volume(path, geometry.from_ras(case.images[sequence]), geometry)
    return paths


def _shown(place: JobFolder) -> str:
    """The case's name on its report: names of files may be those of patients."""
    return f"case {place.identity[:8]}"


def _write_reference(place: JobFolder, case: Case, labels: LabelMap, reference: LabelMap) -> None:
    geometry = case.geometry
    on_file = LabelMap(geometry.from_ras(reference.array), DEFAULT_SCHEME)
    write_label_map(place.outputs / Outputs.REFERENCE, on_file, geometry)
    found, truth = labels.array, reference.array
    apart = np.zeros(found.shape, np.float32)
    apart[(truth > 0) & (found == 0)] = MISSED
    apart[(truth == 0) & (found > 0)] = OVERDRAWN
    apart[(truth > 0) & (found > 0) & (truth != found)] = OTHER_CLASS
    write_volume(place.outputs / Outputs.DIFFERENCES, geometry.from_ras(apart), geometry)


def _write_objects(place: JobFolder, study: Converted, found: Segmentation) -> None:
    model = " + ".join(model.description.name for model in found.models)
    with allocating_at_most(MOST_MEMORY):  # all headers of a series at once
        study.write_objects(
            place.outputs / Outputs.LABELS, DEFAULT_SCHEME, model=model, colours=COLOURS
        )


def tissue_rows(volumes: Mapping[Tissue | Region, float | None]) -> list[TissueRow]:
    """Each class of a map in the scheme written, with its colour and millilitres."""
    return [
        TissueRow(
            value=value, name=tissue.value, colour=as_hex(tissue), ml=_rounded(volumes[tissue])
        )
        for value, tissue in DEFAULT_SCHEME.tissues.items()
    ]


def _result(found: Segmentation, scores: CaseScores | None) -> Result:
    case, grid = found.case, found.case.geometry
    volumes = volumes_ml(found.labels, grid, case.images)
    return Result(
        tissues=tissue_rows(volumes),
        regions_ml={region.value: _rounded(volumes[region]) for region in Region},
        scheme=DEFAULT_SCHEME,
        scores=[] if scores is None else _score_rows(scores, grid.voxel_ml),
        score_notes=[] if scores is None else [*score_notes(case, scores)],
        model=found.provenance["model"],
        seconds=round(found.seconds, 2),
        warnings=list(case.warnings),
        peak_bytes=peak_memory(),
        stage_seconds={},
    )


def _score_rows(scores: CaseScores, voxel_ml: float) -> list[ScoreRow]:
    return [
        ScoreRow(
            region=region.value,
            title=region.title,
            dice=score.dice,
            hd95_mm=None if score.surface is None else score.surface.hd95,
            reference_ml=_rounded(score.counts.reference * voxel_ml),
            found_ml=_rounded(score.counts.predicted * voxel_ml),
        )
        for region, score in scores.regions.items()
    ]


def _rounded(ml: float | None) -> float | None:
    return None if ml is None else round(ml, 3)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
