"""What a job is: from an upload to its results."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from minicube.scans import LabelScheme

__all__ = [
    "FINISHED",
    "Correction",
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
]


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
    READING = "reading the scans"
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
    """A file that came in: its name as the sender has it, and the one that we gave it."""

    name: str
    stored: str
    size: int


class Series(_Value):
    """A volume that could be one of the sequences, or the reference."""

    key: str
    name: str
    stored: str
    grid: str
    role: Role | None = Field(None, description="What it looks like; null: nothing known.")
    certain: bool = Field(False, description="False: better look again.")
    remark: str = ""


class Phantom(_Value):
    """A made-up head to segment: the same numbers give the same head."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 7
    family: Literal["a", "b"] = "b"


class Request(_Value):
    """What is to be segmented: files by role, or a phantom."""

    files: dict[Role, str] = Field(default_factory=dict)
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
