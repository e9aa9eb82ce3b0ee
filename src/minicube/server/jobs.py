"""What a job is: from an upload to its results."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from minicube.scans import LabelScheme

__all__ = [
    "DICOM",
    "FINISHED",
    "Correction",
    "InStudy",
    "Job",
    "OutputFile",
    "Phantom",
    "Problem",
    "Progress",
    "Request",
    "Result",
    "Role",
    "ScoreRow",
    "Series",
    "Stage",
    "State",
    "TissueRow",
    "Upload",
    "UploadedCase",
]

DICOM: Final = "dicom"
"""Folder, among the uploads, of the images of a DICOM study."""


class State(StrEnum):
    """Where a job stands."""

    OPEN = "open"  # files are being uploaded
    RECOGNISED = "recognised"  # waits for somebody to confirm which file is which
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINISHED = (State.DONE, State.FAILED, State.CANCELLED)


class Role(StrEnum):
    """What an uploaded volume is in a case."""

    T1N = "t1n"
    T1C = "t1c"
    T2W = "t2w"
    T2F = "t2f"
    REFERENCE = "reference"


class Stage(StrEnum):
    """What a job's process is at."""

    PHANTOM = "making the phantom"
    CONVERTING = "converting the DICOM series"
    READING = "reading the scans"
    PREPARING = "registering the scans and finding the brain"
    SEGMENTING = "segmenting"
    SCORING = "comparing with the reference"
    WRITING = "writing labels and report"


class _Value(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Problem(_Value):
    """What went wrong, in plain words."""

    problem: str
    expected: str = ""
    found: str = ""
    hint: str = ""


class Upload(_Value):
    """A file that came in: its name as the sender has it, and the one that we gave it.

    The images of a DICOM study are one entry: they are many, and their names may be a patient's.
    """

    name: str
    stored: str
    size: int
    files: int = 1


class InStudy(_Value):
    """What is known of a series of a DICOM study."""

    number: int
    images: int
    grid_number: int | None = Field(
        description="The same for series on one grid; null: no volume, which cannot be chosen."
    )
    scores: dict[Role, float] = Field(description="0 to 1: how far what is known speaks for each.")
    reasons: list[str]
    rejected: str = Field("", description="Why it is none of the sequences; empty: it may be one.")

    @property
    def is_volume(self) -> bool:
        """Whether it can be chosen."""
        return self.grid_number is not None


class Series(_Value):
    """A volume that could be one of the sequences, or the reference."""

    key: str
    name: str = Field(description="Of the file; of a DICOM series its description.")
    stored: str = Field(description="Name of ours; of a DICOM series a digest of its images.")
    grid: str
    role: Role | None = Field(None, description="What it is taken for; null: for nothing.")
    certain: bool = Field(False, description="False: better look again.")
    remark: str = ""
    dicom: InStudy | None = Field(None, description="Null of a file.")


class UploadedCase(_Value):
    """What lies among the uploads of a job: volumes, other things in words, and a title."""

    series: list[Series] = Field(default_factory=list)
    remarks: list[str] = Field(default_factory=list)
    title: str = ""


class Phantom(_Value):
    """A made-up head to segment: the same numbers give the same head."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 7
    family: Literal["a", "b"] = "b"


class Request(_Value):
    """What is to be segmented: files or series of a DICOM study by role, or a phantom."""

    files: dict[Role, str] = Field(default_factory=dict)
    series: dict[Role, str] = Field(default_factory=dict, description="Their digests.")
    reference_scheme: LabelScheme | None = None
    phantom: Phantom | None = None
    memory: str | None = None

    @property
    def is_scored(self) -> bool:
        """Whether there is a reference to compare with."""
        return self.phantom is not None or Role.REFERENCE in self.files


class Progress(_Value):
    """How far a job's process is. Seconds left come from earlier jobs on this machine."""

    stage: Stage
    stages: list[Stage]
    elapsed: float
    left: float | None = None


class TissueRow(_Value):
    """A class of the label map."""

    value: int
    name: str
    colour: str
    ml: float | None = Field(description="Null where not determinable.")


class ScoreRow(_Value):
    """How well a region agrees with the reference."""

    region: str
    title: str
    dice: float | None
    hd95_mm: float | None
    reference_ml: float
    found_ml: float


class Correction(_Value):
    """A label map that a reader corrected; kept beside the one that was found."""

    saved: datetime
    changed_voxels: int
    tissues: list[TissueRow]


class Result(_Value):
    """What a job found."""

    tissues: list[TissueRow]
    regions_ml: dict[str, float | None]
    scheme: LabelScheme
    scores: list[ScoreRow] = Field(default_factory=list)
    score_notes: list[str] = Field(default_factory=list)
    model: str
    seconds: float
    warnings: list[str]
    peak_bytes: int | None
    stage_seconds: dict[Stage, float]


class OutputFile(_Value):
    """A file that can be fetched."""

    name: str
    size: int


class Job(_Value):
    """A case on its way from upload to result."""

    id: str
    state: State = State.OPEN
    title: str = ""
    created: datetime
    changed: datetime
    uploads: list[Upload] = Field(default_factory=list)
    series: list[Series] = Field(default_factory=list)
    remarks: list[str] = Field(default_factory=list)
    request: Request | None = None
    attempts: int = 0
    result: Result | None = None
    correction: Correction | None = None
    error: Problem | None = None
    # Said anew with every answer, not kept:
    progress: Progress | None = None
    ahead: int | None = Field(None, description="Jobs that come before this one.")
    files: list[OutputFile] = Field(default_factory=list)

    @property
    def bytes(self) -> int:
        """Of all that was uploaded, unpacked."""
        return sum(upload.size for upload in self.uploads)

    @property
    def file_count(self) -> int:
        """Of all that was uploaded, unpacked."""
        return sum(upload.files for upload in self.uploads)

    def take(self, uploads: Iterable[Upload]) -> None:
        """Add what came in; images of a study to those that are there."""
        study = [one for one in self.uploads if one.stored == DICOM]
        others = [one for one in self.uploads if one.stored != DICOM]
        for one in uploads:
            (study if one.stored.startswith(f"{DICOM}/") else others).append(one)
        if study:
            size, files = sum(one.size for one in study), sum(one.files for one in study)
            others.append(Upload(name="DICOM study", stored=DICOM, size=size, files=files))
        self.uploads = others
