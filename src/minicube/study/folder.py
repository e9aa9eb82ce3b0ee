"""Where everything of a study lies.

study.json       what was asked, the cases and their folds, seconds a step
units/           of each training what it cost and how its losses went
predictions/     of each training the label maps it gave to cases it had not seen
results.json     every table
report.html      the same to read, with pictures
pictures/        the pictures
work/            prepared cases, checkpoints and weights; may be deleted when the study is done
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from minicube.scans import LabelScheme

__all__ = ["PREDICTION_SCHEME", "StudyFolder", "context_unit"]

PREDICTION_SCHEME: Final = LabelScheme.BRATS2023
"""What the values in a study's predictions mean."""


def context_unit(context: str) -> str:
    """Under which name predictions with another amount of context are kept."""
    return f"context/{context.replace(' ', '-')}"


@dataclass(frozen=True)
class StudyFolder:
    """Names of the files of a study."""

    path: Path

    @property
    def prepared(self) -> Path:
        """Folder of the prepared cases."""
        return self.path / "work" / "prepared"

    @property
    def timing(self) -> Path:
        """What the process that times steps is asked."""
        return self.path / "work" / "timing.json"

    @property
    def results(self) -> Path:
        """Every table, as JSON."""
        return self.path / "results.json"

    @property
    def report(self) -> Path:
        """Everything to read, one file."""
        return self.path / "report.html"

    @property
    def pictures(self) -> Path:
        """Folder of the pictures."""
        return self.path / "pictures"

    def run(self, unit: str) -> Path:
        """Run folder of a training."""
        return self.path / "work" / "runs" / unit

    def unit(self, unit: str) -> Path:
        """What a finished training wrote down; exists when it is done."""
        return self.path / "units" / f"{unit}.json"

    @property
    def predictions(self) -> Path:
        """Folder of the label maps."""
        return self.path / "predictions"

    def prediction(self, unit: str, case: str) -> Path:
        """Label map of a case, BraTS 2023 labels, in the scan's geometry."""
        return self.predictions / unit / f"{case}.nii.gz"
