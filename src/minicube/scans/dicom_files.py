"""Whether something is DICOM; all that is known of it without the packages that read it."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from minicube._errors import MissingExtra, require

__all__ = [
    "CONVERTED",
    "MAGIC_END",
    "holds_dicom",
    "is_dicom_start",
    "reads_dicom",
    "require_dicom",
]

MAGIC_END: Final = 132
CONVERTED: Final = "scans/study.json"
"""Beside the results of a study: what its images were, written as NIfTI."""

_NIFTI: Final = (".nii", ".nii.gz")
_LOOKED_AT: Final = 64  # files; a study may have a few others in front


def require_dicom() -> None:
    """Go on only where the packages that read and write DICOM are installed.

    Raises:
        MissingExtra: One is not.
    """
    require("DICOM", "dicom", "pydicom", "highdicom", "gdcm")


def reads_dicom() -> bool:
    """Whether :func:`require_dicom` would let pass."""
    try:
        require_dicom()
    except MissingExtra:
        return False
    return True


def is_dicom_start(start: bytes) -> bool:
    """Whether a file that begins with these bytes is a DICOM file (PS3.10, 7.1)."""
    return start[128:MAGIC_END] == b"DICM"


def holds_dicom(source: Path) -> bool:
    """Whether a path is a DICOM study: a zip archive, or a folder with DICOM and no NIfTI.

    Names are not gone by, as scanners give files none or any; the first files' first bytes are.
    Results that an earlier segmentation left there do not count.
    """
    if source.is_file():  # what is looked for in a zip may stand in a packed scan by chance
        return not source.name.endswith(_NIFTI) and zipfile.is_zipfile(source)
    names = list(islice(_files(source), _LOOKED_AT))
    if any(path.name.endswith(_NIFTI) for path in names):
        return False
    return any(_starts_as_dicom(path) for path in names)


def _files(folder: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        home = Path(where)
        if (home / CONVERTED).is_file():
            folders.remove(Path(CONVERTED).parts[0])
            names = [name for name in names if not name.endswith(_NIFTI)]
        folders.sort()
        yield from (home / name for name in sorted(names) if name[0] != ".")


def _starts_as_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return is_dicom_start(file.read(MAGIC_END))
    except OSError:
        return False
