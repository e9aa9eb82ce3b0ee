"""A DICOM study on its way through ``minicube segment``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from minicube._errors import InputError
from minicube.cli._targets import Places, Target, is_a_file, refuse_existing, refuse_impossible

if TYPE_CHECKING:
    from minicube.dicom import Converted, Study

__all__ = ["GivenStudy", "converted", "given_study"]

LABELS: Final = "seg.nii.gz"


@dataclass(frozen=True)
class GivenStudy:
    """A study, its series chosen and written as NIfTI.

    Args:
        study: Its case, and the series that the segmentation will refer to.
        target: The case, and where results go.
    """

    study: Converted
    target: Target

    def write_objects(self, row: dict[str, Any]) -> dict[str, Any]:
        """Write what the archive gets, out of the label map that was written; returns the row."""
        from minicube.reporting.colours import COLOURS
        from minicube.scans import LabelScheme

        paths = self.study.write_objects(
            self.target.out,
            LabelScheme(row["label_scheme"]),
            model=row["model"],
            colours=COLOURS,
            settings=row["settings"],
        )
        return row | {"dicom": [str(path) for path in paths]}


@contextmanager
def given_study(
    source: Path,
    named: Mapping[str, Path],
    places: Places,
    *,
    overwrite: bool,
) -> Iterator[GivenStudy]:
    """Open a study, choose its series, and write them as NIfTI into ``scans`` of the output.

    Args:
        source: A folder or a zip archive.
        named: Numbers of series that the user has chosen, as options for files give them.
        places: The output is a folder for all results.
        overwrite: False refuses to go on when a result is there.

    Raises:
        InputError: The output is one file, or the study cannot be used as it is.
    """
    from minicube.scans import CONVERTED, require_dicom

    require_dicom()
    from minicube.dicom import OBJECTS, open_study

    out = places.out
    if is_a_file(out):
        raise InputError(
            f"{source} is a DICOM study, whose results are several files.",
            expected="a folder for them",
            found=str(out),
            hint="give -o a folder",
        )
    places = replace(places, out=out / LABELS)
    places.of_case("study", one=True)  # a wrong name is said before anything is read
    if not overwrite:
        refuse_existing([out / name for name in (LABELS, *OBJECTS, CONVERTED)])
    with open_study(source) as study:
        given = converted(study, named, out)
        case = given.target.case
        target = Target(case, places.of_case(case.identity, one=True))
        refuse_impossible(target)
        yield replace(given, target=target)


def converted(study: Study, named: Mapping[str, Path], out: Path) -> GivenStudy:
    """Choose the series of an open study, and write them as NIfTI into ``out/scans``.

    Args:
        study: Open.
        named: Numbers of series that the user has chosen.
        out: Folder of all results.

    Raises:
        InputError: The study cannot be used as it is.
    """
    from minicube.dicom import convert
    from minicube.scans import CONVERTED, Sequence

    numbers = {Sequence(name): _number(text) for name, text in named.items()}
    case = convert(study, numbers, (out / CONVERTED).parent)
    return GivenStudy(case, Target(case.case, Places(out / LABELS)))


def _number(text: Path) -> int:
    try:
        return int(str(text))
    except ValueError:
        raise InputError(
            "Both a DICOM study and single files were given.",
            found=str(text),
            hint="of a study, name a series by its number, as `minicube dicom list` shows it",
        ) from None
