"""A DICOM study on its way through ``minicube segment``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from minicube._errors import InputError
from minicube.cli._segmenting import Target, refuse_existing
from minicube.cli.dicom import require_dicom

if TYPE_CHECKING:
    from minicube.dicom import Series

__all__ = ["GivenStudy", "given_study"]

OBJECTS: Final = ("seg.dcm", "report.dcm")


@dataclass(frozen=True)
class GivenStudy:
    """A study, its series chosen and written as NIfTI.

    Args:
        target: Its case, and where results go.
        drawn_on: The series that the segmentation will refer to.
    """

    target: Target
    drawn_on: Series

    def write_objects(self, row: dict[str, Any]) -> dict[str, Any]:
        """Write what the archive gets, out of the label map that was written; returns the row."""
        from minicube.dicom import Findings, write_report, write_segmentation
        from minicube.reporting.colours import COLOURS
        from minicube.scans import LabelScheme, read_labels

        labels, grid = read_labels(self.target.out, LabelScheme(row["label_scheme"]))
        findings = Findings.on(self.drawn_on, labels, grid, model=row["model"], colours=COLOURS)
        paths = [self.target.out.with_name(name) for name in OBJECTS]
        write_report(findings, write_segmentation(findings, paths[0]), paths[1])
        return row | {"dicom": [str(path) for path in paths]}


@contextmanager
def given_study(
    source: Path,
    named: Mapping[str, Path],
    out: Path,
    *,
    report: Path | None,
    probabilities: Path | None,
    uncertainty: Path | None,
    overwrite: bool,
) -> Iterator[GivenStudy]:
    """Open a study, choose its series, and write them as NIfTI into ``out/scans``.

    Args:
        source: A folder or a zip archive.
        named: Numbers of series that the user has chosen, as options for files give them.
        out: Folder of all results.
        report: HTML page to write, if any.
        probabilities: Folder of probability maps, if any.
        uncertainty: Map of uncertainty, if any.
        overwrite: False refuses to go on when a result is there.

    Raises:
        InputError: ``out`` is one file, or the study cannot be used as it is.
    """
    require_dicom()
    from minicube.dicom import open_study, write_case_files
    from minicube.scans import Sequence

    if out.is_file() or out.suffix in (".nii", ".gz", ".dcm"):
        raise InputError(
            f"{source} is a DICOM study, whose results are several files.",
            expected="a folder for them",
            found=str(out),
            hint="give -o a folder",
        )
    if not overwrite:
        refuse_existing([out / name for name in ("seg.nii.gz", *OBJECTS, "scans/study.json")])
    with open_study(source) as study:
        assignment = study.choose({Sequence(name): _number(text) for name, text in named.items()})
        case = write_case_files(study, assignment, out / "scans")
        target = Target(case, out / "seg.nii.gz", report, probabilities, uncertainty)
        yield GivenStudy(target, assignment.chosen[Sequence.T1C].series)


def _number(text: Path) -> int:
    try:
        return int(str(text))
    except ValueError:
        raise InputError(
            "Both a DICOM study and single files were given.",
            found=str(text),
            hint="of a study, name a series by its number, as `minicube dicom list` shows it",
        ) from None
