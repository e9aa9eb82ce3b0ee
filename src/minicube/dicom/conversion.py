"""A study made a case of NIfTI files, and what was found in it written for an archive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from minicube.dicom.findings import Findings, MadeFrom
from minicube.dicom.report import write_report
from minicube.dicom.segmentation import write_segmentation
from minicube.dicom.series import Series
from minicube.dicom.study import Study, write_case_files
from minicube.scans import CaseFiles, LabelScheme, Sequence, Tissue, read_labels

__all__ = ["OBJECTS", "Converted", "convert"]

OBJECTS: Final = ("seg.dcm", "report.dcm")
"""Names of what an archive gets: the segmentation and the report."""


@dataclass(frozen=True, eq=False)
class Converted:
    """A study whose series were chosen and written as NIfTI.

    Args:
        case: Of these files.
        drawn_on: The series that the segmentation will refer to, T1 with contrast.
        scans: A name for exactly the images that were chosen.
    """

    case: CaseFiles
    drawn_on: Series
    scans: str

    def write_objects(
        self,
        labels: Path,
        scheme: LabelScheme,
        *,
        model: str,
        colours: Mapping[Tissue, tuple[int, int, int]],
        settings: str = "",
    ) -> tuple[Path, ...]:
        """Write :data:`OBJECTS` out of a label map, beside it.

        Args:
            labels: NIfTI file on the grid of the case.
            scheme: What its values mean.
            model: What found them, in words.
            colours: Of tissues, red, green, blue in 0–255.
            settings: A name for all but the scans that the labels depend on, if there is one.

        Returns:
            The files written.

        Raises:
            InputError: The labels lie on another grid, the source cannot be read, or a file not
                be written.
        """
        found, grid = read_labels(labels, scheme)
        findings = Findings.on(
            self.drawn_on,
            found,
            grid,
            model=model,
            colours=colours,
            made_from=MadeFrom(self.scans, settings),
        )
        segmentation, report = (labels.with_name(name) for name in OBJECTS)
        write_report(findings, write_segmentation(findings, segmentation), report)
        return segmentation, report


def convert(study: Study, named: Mapping[Sequence, int], folder: Path) -> Converted:
    """Choose a series for each sequence and write them as NIfTI.

    Args:
        study: Open.
        named: Numbers of series that somebody has chosen; the rest is recognised.
        folder: For what :func:`write_case_files` writes.

    Raises:
        InputError: As :meth:`Study.choose` and :func:`write_case_files`.
    """
    assignment = study.choose(named)
    case = write_case_files(study, assignment, folder)
    return Converted(case, assignment.chosen[Sequence.T1C].series, assignment.digest)
