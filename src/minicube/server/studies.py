"""A DICOM study that was uploaded: looked at, and made a case.

Headers are a stranger's, and what they unpack to in memory is up to them. So they are looked at in
a process of its own, ``python -m minicube.server.studies FOLDER``, which may not hold or take more
than a study needs, and which tells the server what it found in JSON.
"""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel

from minicube._errors import InputError
from minicube._machine import allocating_at_most
from minicube.scans import Geometry, Sequence, require_dicom
from minicube.server.folders import JobFolder
from minicube.server.jobs import InStudy, Problem, Request, Role, Series, UploadedCase
from minicube.server.refusals import Refused

if TYPE_CHECKING:
    from minicube.dicom import Assignment, Converted, Recognised, Study

__all__ = ["MOST_MEMORY", "as_case", "convert_uploaded", "look_at", "main"]

MOST_MEMORY: Final = 2 << 30
"""Bytes that headers of a study may take; those of 20 000 images take a tenth."""

_MOST_SECONDS: Final = 300  # 20 000 headers take a minute
_MOST_SERIES: Final = 500
_LONGEST_NAME: Final = 100
_UNUSABLE: Final = 2

_log = logging.getLogger(__name__)


def look_at(folder: Path) -> UploadedCase:
    """Say what series there are in a folder, and what they may be.

    Raises:
        Refused: It holds no study, several, or one that cannot be looked at.
        MissingExtra: What reads DICOM is not installed.
    """
    require_dicom()
    command = [sys.executable, "-m", "minicube.server.studies", str(folder)]
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # it might quote values, and names of patients are values
            timeout=_MOST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _too_much() from None
    if ended.returncode == 0:
        return UploadedCase.model_validate_json(ended.stdout)
    if ended.returncode == _UNUSABLE:
        told = Problem.model_validate_json(ended.stdout)
        raise Refused(422, told.problem, found=told.found, hint=told.hint)
    _log.error("looking at a study ended with code %d", ended.returncode)
    raise _too_much()


def main(folder: Path) -> int:
    """Look at a study and write what is found; returns 0, or 2 when it cannot be used."""
    with contextlib.suppress(ImportError):  # Windows has no such limits
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (_MOST_SECONDS, _MOST_SECONDS))
    from minicube.dicom import open_studies

    try:
        with allocating_at_most(MOST_MEMORY), open_studies(folder) as studies:
            case = as_case(studies)
    except InputError as error:
        # In a page's words: no path of this machine, no command.
        problem = error.problem.replace(f" in {folder}", "").replace(str(folder), "This upload")
        _tell(Problem(problem=problem, found=error.found, hint="upload the files of one study"))
        return _UNUSABLE
    _tell(case)
    return 0


def as_case(studies: list[Study]) -> UploadedCase:
    """Say what is known of the series of a study, for a person to confirm.

    Raises:
        InputError: There are several studies, or too many series.
    """
    if len(studies) > 1:
        raise InputError("These files are of several studies.", found=f"{len(studies)} studies")
    (study,) = studies
    if len(study.found) > _MOST_SERIES:
        raise InputError("These are more series than a study has.", found=f"{len(study.found):,}")
    assignment, grids = study.choose(), _Grids()
    remarks = [*assignment.remarks]
    remarks += [f"{sequence.label}: no series was recognised" for sequence in assignment.missing]
    if unread := len(study.remarks):  # they say more, and might quote what is in the files
        files = "one DICOM file" if unread == 1 else f"{unread} DICOM files"
        remarks.append(f"left out – {files} that cannot be read")
    series = [_series(row, assignment, grids) for row in study.found]
    return UploadedCase(series=series, remarks=remarks, title=study.identity)


def convert_uploaded(place: JobFolder, request: Request) -> Converted:
    """Write the series that were chosen as NIfTI, as ``minicube segment`` does.

    Raises:
        InputError: The study cannot be used as it is.
    """
    require_dicom()
    from minicube.dicom import convert, open_study

    with allocating_at_most(MOST_MEMORY), open_study(place.study) as study:
        numbers = {row.series.digest: row.series.number for row in study.found}
    named = {
        Sequence(role.value): numbers[digest]
        for role, digest in request.series.items()
        if digest in numbers
    }
    if len(named) < len(request.series):
        raise InputError(
            "The images are not those that were looked at.", hint="upload the study again"
        )
    return convert(study, named, place.scans)


class _Grids:
    """Numbers for grids, equal for those that hold the same voxels."""

    def __init__(self) -> None:
        self._seen: list[Geometry] = []

    def number(self, geometry: Geometry) -> int:
        grid = geometry.ras_grid()
        for number, seen in enumerate(self._seen):
            if seen.matches(grid):
                return number
        self._seen.append(grid)
        return len(self._seen) - 1


def _series(row: Recognised, assignment: Assignment, grids: _Grids) -> Series:
    series, geometry = row.series, row.series.geometry
    sequence = next((s for s, one in assignment.chosen.items() if one is row), None)
    return Series(
        key="",
        name=_shown(series.facts.description) or "without a description",
        stored=series.digest,
        grid="no volume" if geometry is None else geometry.size_in_words(),
        role=None if sequence is None else Role(sequence.value),
        certain=sequence is not None and assignment.is_certain(sequence),
        remark=_rivalry(row, assignment),
        dicom=InStudy(
            number=series.number,
            images=len(series.frames),
            grid_number=None if geometry is None else grids.number(geometry),
            scores={Role(s.value): round(score, 2) for s, score in row.scores.items()},
            reasons=[_shown(reason) for reason in row.reasons],
            rejected=_shown(row.rejected),
        ),
    )


def _rivalry(row: Recognised, assignment: Assignment) -> str:
    """Of several series that would do for a sequence, each says which the others are."""
    for sequence, others in assignment.rivals.items():
        alike = (assignment.chosen[sequence], *others)
        if any(one is row for one in alike):
            numbers = ", ".join(str(one.series.number) for one in alike if one is not row)
            return f"for {sequence.label} series {numbers} would do as well"
    return ""


def _shown(text: str) -> str:
    return "".join(c for c in text if c.isprintable())[:_LONGEST_NAME]


def _tell(value: BaseModel) -> None:
    sys.stdout.buffer.write(value.model_dump_json().encode())


def _too_much() -> Refused:
    return Refused(
        422,
        "This DICOM study cannot be looked at within the time and memory that one is given.",
        hint="upload its four series alone",
    )


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
