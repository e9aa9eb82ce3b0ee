"""Where a job's files lie. No name that came from outside is ever part of a path."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from minicube.server.jobs import DICOM, Job, OutputFile, Request, Role

__all__ = ["IDENTITY", "JobFolder", "Outputs", "is_identity"]

IDENTITY: Final = "^[0-9a-f]{32}$"
"""What a job's name, and so its folder's, looks like."""


def is_identity(name: str) -> bool:
    """Whether a folder of that name can be a job's."""
    return re.fullmatch(IDENTITY, name) is not None


class Outputs:
    """Names of what a job writes."""

    LABELS: Final = "labels.nii.gz"
    REFERENCE: Final = "reference.nii.gz"
    DIFFERENCES: Final = "differences.nii.gz"
    CORRECTION: Final = "correction.nii.gz"
    REPORT: Final = "report.html"
    SEGMENTATION: Final = "seg.dcm"  # as minicube.dicom calls them
    MEASUREMENTS: Final = "report.dcm"

    ALL: Final = (
        LABELS,
        REFERENCE,
        DIFFERENCES,
        CORRECTION,
        REPORT,
        SEGMENTATION,
        MEASUREMENTS,
    )


@dataclass(frozen=True)
class JobFolder:
    """The folder of one job.

    Args:
        root: Of all jobs.
        identity: Of this one: hexadecimal digits, drawn by us.
    """

    root: Path
    identity: str

    @property
    def path(self) -> Path:
        """The folder itself."""
        return self.root / self.identity

    @property
    def uploads(self) -> Path:
        """What came in, under names of ours."""
        return self.path / "uploads"

    @property
    def study(self) -> Path:
        """The images of a DICOM study that came in, likewise."""
        return self.uploads / DICOM

    @property
    def scans(self) -> Path:
        """What was chosen of a DICOM study, as NIfTI."""
        return self.path / "scans"

    @property
    def registered(self) -> Path:
        """Raw scans on the grid of the one that labels are drawn on, the brain alone."""
        return self.path / "registered"

    @property
    def outputs(self) -> Path:
        """What the job wrote for its users."""
        return self.path / "outputs"

    @property
    def request(self) -> Path:
        """What the job's process is to do."""
        return self.path / "request.json"

    @property
    def progress(self) -> Path:
        """How far it is."""
        return self.path / "progress.json"

    @property
    def result(self) -> Path:
        """What it found. Written last."""
        return self.path / "result.json"

    @property
    def problem(self) -> Path:
        """Why it could not."""
        return self.path / "problem.json"

    @property
    def log(self) -> Path:
        """What it had to say to developers."""
        return self.path / "worker.log"

    def files(self, job: Job) -> dict[str, Path]:
        """The files of a job that can be fetched, by the names that they are given."""
        request = job.request or Request()
        scans = {role: self.uploads / stored for role, stored in request.files.items()}
        scans |= {role: self.scans / f"{role.value}.nii.gz" for role in request.series}
        if request.phantom is not None:
            scans = {role: self.uploads / f"{role.value}.nii.gz" for role in Role}
        ready = {role: self.registered / f"{role.value}.nii.gz" for role in scans}
        scans |= {role: path for role, path in ready.items() if path.is_file()}
        named = {
            f"{role.value}.nii{'.gz' if path.suffix == '.gz' else ''}": path
            for role, path in scans.items()
            if role is not Role.REFERENCE
        }
        named |= {name: self.outputs / name for name in Outputs.ALL}
        return {name: path for name, path in named.items() if path.is_file()}

    def listed(self, job: Job) -> list[OutputFile]:
        """Names and sizes of :meth:`files`."""
        files = self.files(job)
        return [OutputFile(name=name, size=path.stat().st_size) for name, path in files.items()]

    def clear_outcome(self) -> None:
        """Take away what an earlier attempt left."""
        for path in (self.progress, self.result, self.problem):
            path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete all of it."""
        shutil.rmtree(self.path, ignore_errors=True)
