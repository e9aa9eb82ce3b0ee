"""A study: its series, what they are, and the way to a case."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from minicube._archives import ArchiveLimits
from minicube._errors import InputError
from minicube._files import write_json
from minicube.dicom.choice import Assignment, choose, told_apart_by_time
from minicube.dicom.recognition import Recognised, recognise
from minicube.dicom.series import Series, read_series, read_volume
from minicube.dicom.unpacking import unpacked
from minicube.scans import CONVERTED, CaseFiles, Layout, Sequence, write_volume

__all__ = [
    "NotRecognised",
    "Study",
    "open_studies",
    "open_study",
    "require_clear",
    "write_case_files",
]


class NotRecognised(InputError):
    """A study in which not all sequences were recognised, or more than one series would do."""


@dataclass(frozen=True, eq=False)
class Study:
    """A patient's visit to the scanner.

    Args:
        uid: Its StudyInstanceUID.
        found: Its series and what they may be, in order of number.
        remarks: On files that could not be read.
    """

    uid: str
    found: tuple[Recognised, ...]
    remarks: tuple[str, ...]

    @property
    def identity(self) -> str:
        """A name for the case, with nothing of the patient in it."""
        return f"study-{sha256(self.uid.encode()).hexdigest()[:8]}"

    def choose(self, named: Mapping[Sequence, int] | None = None) -> Assignment:
        """Choose a series for each sequence, as :func:`minicube.dicom.choose` does."""
        return choose(self.found, named)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "study_uid": self.uid,
            "case": self.identity,
            "series": [row.to_dict() for row in self.found],
            "assignment": self.choose().to_dict(),
            "remarks": list(self.remarks),
        }


@contextmanager
def open_studies(source: Path, limits: ArchiveLimits | None = None) -> Iterator[list[Study]]:
    """Yield the studies in a folder or a zip archive; what is unpacked goes afterwards.

    Args:
        source: A folder with DICOM files, at any depth, or an archive of one.
        limits: Of an archive.

    Raises:
        InputError: There is no image in it that can be read, or the archive is refused.
    """
    with unpacked(source, limits) as folder:
        series, remarks = read_series(folder)
        studies: dict[str, list[Series]] = {}
        for one in series:
            studies.setdefault(one.study, []).append(one)
        yield [
            Study(uid, tuple(told_apart_by_time(map(recognise, some))), tuple(remarks))
            for uid, some in studies.items()
        ]


@contextmanager
def open_study(source: Path, limits: ArchiveLimits | None = None) -> Iterator[Study]:
    """Yield the one study in a folder or a zip archive.

    Raises:
        InputError: As :func:`open_studies`, or there are several.
    """
    with open_studies(source, limits) as studies:
        if len(studies) > 1:
            raise InputError(
                f"{source} holds {len(studies)} studies.",
                expected="one",
                hint="give the folder of one; `minicube dicom list` shows them",
            )
        yield studies[0]


def write_case_files(study: Study, assignment: Assignment, folder: Path) -> CaseFiles:
    """Write the chosen series as NIfTI, beside a table of all series and what was chosen.

    Args:
        study: Open.
        assignment: Of its series.
        folder: For ``t1n.nii.gz``, ``t1c.nii.gz``, ``t2w.nii.gz``, ``t2f.nii.gz``, and
            ``study.json``.

    Returns:
        A case of these files.

    Raises:
        NotRecognised: Somebody has to choose first, or a sequence is missing.
        InputError: A file is damaged.
    """
    require_clear(study, assignment)
    paths = {}
    for sequence in Sequence:
        series = assignment.chosen[sequence].series
        assert series.geometry is not None
        paths[sequence] = folder / f"{sequence.value}.nii.gz"
        write_volume(paths[sequence], read_volume(series), series.geometry)
    chosen = {"assignment": assignment.to_dict()}
    write_json(folder / Path(CONVERTED).name, study.to_dict() | chosen)
    return CaseFiles(
        study.identity,
        Layout.PLAIN,
        paths,
        remarks=(*assignment.remarks, *_remark_on_files(len(study.remarks))),
    )


def _remark_on_files(unread: int) -> tuple[str, ...]:
    """How many could not be read; their names, which may be a patient's, stay out of reports."""
    if not unread:
        return ()
    files = "one file" if unread == 1 else f"{unread} files"
    return (f"{files} of the study could not be read: `minicube dicom list` says which",)


def require_clear(study: Study, assignment: Assignment) -> None:
    """Go on only where each sequence has its series and nobody has to choose.

    Raises:
        NotRecognised: It is otherwise.
    """
    if assignment.missing:
        raise NotRecognised(
            f"{study.identity}: not all sequences were recognised.",
            expected="T1, T1 with contrast, T2 and FLAIR",
            found=_in_words(assignment)
            + "; no "
            + ", no ".join(s.label for s in assignment.missing),
            hint="`minicube dicom list` shows all series and why they were passed over; "
            "name one by its number, as in --t1ce 5",
        )
    if assignment.rivals:
        found = "; ".join(
            f"{s.label}: series {assignment.chosen[s].series.number}, "
            + ", ".join(str(one.series.number) for one in others)
            for s, others in assignment.rivals.items()
        )
        raise NotRecognised(
            f"{study.identity}: more than one series would do.",
            found=found,
            hint="name one by its number, as in --t1ce 5; `minicube dicom list` shows them",
        )


def _in_words(assignment: Assignment) -> str:
    return ", ".join(
        f"{s.label}: series {row.series.number}" for s, row in assignment.chosen.items()
    )
