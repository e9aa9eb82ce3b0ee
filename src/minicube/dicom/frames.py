"""DICOM files as frames: one image each, wherever and however it is stored."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydicom import Dataset, config, dcmread
from pydicom.filereader import read_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian

from minicube._errors import InputError
from minicube.scans import MAGIC_END, is_dicom_start

__all__ = ["Frame", "first_group", "frames_of", "image_files", "number", "quietly", "read_header"]

# Its warnings quote values, and names of patients are values.
logging.getLogger("pydicom").setLevel(logging.ERROR)

_MOST_FILES: Final = 200_000
_LARGEST_SIDE: Final = 4096
_MOST_FRAMES: Final = 20_000


@dataclass(frozen=True)
class Frame:
    """One image of a file.

    Args:
        path: The file.
        index: Which of its images, from 0.
        instance: Its SOPInstanceUID.
        shape: Rows and columns.
        position: Centre of the first pixel, mm, patient coordinates (LPS+); None if not said.
        orientation: Direction of a row and of a column, LPS+; None if not said.
        spacing: Between rows, and between columns, mm; None if not said.
        slope: Stored values to intensities, with the next.
        intercept: See above.
        kind: All that tells images of different volumes in one series apart, place apart.
        turn: When it was taken among those of its place.
    """

    path: Path
    index: int
    instance: str
    shape: tuple[int, int]
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, ...] | None
    slope: float
    intercept: float
    kind: tuple[object, ...]
    turn: tuple[float, ...]


def image_files(folder: Path) -> Iterator[Path]:
    """The DICOM files in a folder and those below, in order of name.

    Raises:
        InputError: There are more files than any study has.
    """
    seen = 0
    for where, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            seen += 1
            if seen > _MOST_FILES:
                raise InputError(
                    f"{folder} holds more files than a study.",
                    expected=f"at most {_MOST_FILES:,}",
                    hint="give the folder of one study",
                )
            path = Path(where) / name
            if path.is_file() and _may_be_dicom(path):
                yield path


def _may_be_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return is_dicom_start(file.read(MAGIC_END))
    except OSError:  # whoever reads it will be told
        return True


@contextmanager
def quietly(path: Path) -> Iterator[None]:
    """Read leniently; whatever goes wrong is the file's fault, and said to be.

    Raises:
        InputError: Anything went wrong.
    """
    try:
        with warnings.catch_warnings(), config.disable_value_validation():
            warnings.simplefilter("ignore")
            yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{path} cannot be read.",
            expected="a DICOM file that is whole",
            found=f"{error}" or type(error).__name__,
        ) from error


def read_header(path: Path) -> Dataset:
    """Read all of a file but its pixels.

    Raises:
        InputError: The file is damaged, or is packed as a whole (deflated).
    """
    with quietly(path):
        # Unpacked without any limit by those who read it: a few kilobytes could fill the memory.
        if read_file_meta_info(path).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            raise InputError(f"{path} is deflated as a whole, which is not read.")
        return dcmread(path, stop_before_pixels=True)


def frames_of(path: Path, header: Dataset) -> list[Frame]:
    """The images in a file; none if it holds no image.

    Raises:
        InputError: Its header is damaged.
    """
    with quietly(path):
        if header.get("Rows") is None or header.get("Columns") is None:
            return []
        count = int(header.get("NumberOfFrames") or 1)
        shape = int(header.Rows), int(header.Columns)
        if not (min(shape) > 0 and max(shape) <= _LARGEST_SIDE and 0 < count <= _MOST_FRAMES):
            raise InputError(
                f"{path} holds an image of no sensible size.",
                found=f"{count:,} images of {shape[0]} × {shape[1]}",
            )
        return [_frame(path, header, shape, index) for index in range(count)]


def first_group(header: Dataset, index: int, sequence: str, keyword: str) -> Any:
    """A value of a functional group: of the frame, else shared by all; None if not there."""
    places = (("PerFrameFunctionalGroupsSequence", index), ("SharedFunctionalGroupsSequence", 0))
    for groups, place in places:
        items = header.get(groups) or []
        found = (items[place].get(sequence) or []) if place < len(items) else []
        if len(found) and found[0].get(keyword) is not None:
            return found[0][keyword].value
    return None


def _frame(path: Path, header: Dataset, shape: tuple[int, int], index: int) -> Frame:
    def value(sequence: str, keyword: str) -> Any:
        """Of an enhanced file from its groups, of a classic one from the top."""
        found = first_group(header, index, sequence, keyword)
        return header.get(keyword) if found is None else found

    slope = value("PixelValueTransformationSequence", "RescaleSlope")
    echo = first_group(header, index, "MREchoSequence", "EffectiveEchoTime")
    kind = value("MRImageFrameTypeSequence", "FrameType") or header.get("ImageType") or ()
    return Frame(
        path=path,
        index=index,
        instance=str(header.SOPInstanceUID),
        shape=shape,
        position=_numbers(value("PlanePositionSequence", "ImagePositionPatient"), 3),
        orientation=_numbers(value("PlaneOrientationSequence", "ImageOrientationPatient"), 6),
        spacing=_numbers(value("PixelMeasuresSequence", "PixelSpacing"), 2),
        slope=1.0 if slope is None else float(slope),
        intercept=float(value("PixelValueTransformationSequence", "RescaleIntercept") or 0),
        kind=(
            number(header.get("EchoTime") if echo is None else echo),
            number(value("MRDiffusionSequence", "DiffusionBValue")),
            number(header.get("InversionTime")),
            tuple(map(str, [kind] if isinstance(kind, str) else kind)),
        ),
        turn=tuple(
            number(turn) or 0.0
            for turn in (
                value("FrameContentSequence", "TemporalPositionIndex"),
                header.get("TemporalPositionIdentifier"),
                header.get("AcquisitionNumber"),
                header.get("InstanceNumber"),
            )
        ),
    )


def _numbers(value: Any, count: int) -> tuple[float, ...] | None:
    if value is None or isinstance(value, str) or len(value) != count:
        return None
    return tuple(float(part) for part in value)


def number(value: Any) -> float | None:
    """A header's number, the first where it has several; None where it has none."""
    if value is None or value == "":
        return None
    if not isinstance(value, str | int | float):
        value = value[0] if len(value) else None
    return None if value is None else float(value)
