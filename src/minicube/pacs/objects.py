"""DICOM objects as files: which they are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydicom import dcmread
from pydicom.filereader import read_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian

from minicube._errors import InputError
from minicube.dicom.frames import quietly
from minicube.scans import MAGIC_END, is_dicom_start

__all__ = ["Identifiers", "identifiers_of", "objects_in"]

_WANTED: Final = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")


@dataclass(frozen=True)
class Identifiers:
    """Which object a file holds.

    Args:
        study: Its StudyInstanceUID.
        series: Its SeriesInstanceUID.
        instance: Its SOPInstanceUID.
        kind: Its SOPClassUID.
        syntax: The transfer syntax it is stored in.
    """

    study: str
    series: str
    instance: str
    kind: str
    syntax: str


def identifiers_of(path: Path) -> Identifiers:
    """Read a file's identifiers and nothing else, however large its other values are.

    Raises:
        InputError: It is damaged, lacks one, or is packed as a whole (deflated).
    """
    with quietly(path):
        syntax = str(read_file_meta_info(path).TransferSyntaxUID)
        if syntax == DeflatedExplicitVRLittleEndian:
            raise InputError(f"{path} is deflated as a whole, which is not read.")
        header = dcmread(path, stop_before_pixels=True, specific_tags=list(_WANTED))
        kind, instance, study, series = (str(header[name].value or "") for name in _WANTED)
    if not (kind and instance and study and series):
        raise InputError(f"{path} does not say which object it is.")
    return Identifiers(study, series, instance, kind, syntax)


def objects_in(sources: Iterable[Path]) -> list[Path]:
    """The DICOM files among files and in folders, at any depth, in order of name.

    Raises:
        InputError: One does not exist or is no DICOM file, or a folder holds none.
    """
    found: list[Path] = []
    for source in sources:
        if not source.exists():
            raise InputError(f"{source} does not exist.")
        files = sorted(source.rglob("*")) if source.is_dir() else [source]
        objects = [path for path in files if path.is_file() and _is_object(path)]
        if not objects:
            raise InputError(
                f"{source} {'holds no DICOM file' if source.is_dir() else 'is no DICOM file'}.",
                expected="files that start as DICOM files do (PS3.10)",
            )
        found += objects
    return found


def _is_object(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return is_dicom_start(file.read(MAGIC_END))
    except OSError as error:
        raise InputError(f"{path} cannot be read.", found=error.strerror or "") from error
