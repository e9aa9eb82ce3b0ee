"""Series: the volumes in a folder of DICOM files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.utils import iter_pixels

from minicube._errors import InputError
from minicube.dicom.facts import Facts, facts_of
from minicube.dicom.frames import Frame, frames_of, image_files, quietly, read_header
from minicube.dicom.stack import stacked
from minicube.scans import Geometry

__all__ = ["Series", "read_series", "read_volume"]

_SAME_DIRECTION: Final = 0.02  # cosines; localisers lie at right angles
_MOST_IMAGES: Final = 200_000  # of all series; what is kept of each takes a kilobyte


@dataclass(frozen=True, eq=False)
class Series:
    """One volume: a series, or the part of one that belongs together.

    Args:
        number: By which a user names it, from 1.
        study: Its StudyInstanceUID.
        uid: Its SeriesInstanceUID.
        facts: What its tags say of how it was made.
        frames: Its images; in order of place where they make a volume.
        geometry: Its grid, indexed by column, row and image; None where there is none.
        problem: Why there is none.
    """

    number: int
    study: str
    uid: str
    facts: Facts
    frames: tuple[Frame, ...]
    geometry: Geometry | None
    problem: str

    @property
    def files(self) -> tuple[Path, ...]:
        """The files it lies in, each once, in order."""
        return tuple(dict.fromkeys(frame.path for frame in self.frames))

    @property
    def digest(self) -> str:
        """A name for exactly these images in this order, wherever their files lie."""
        images = (f"{frame.instance} {frame.index}" for frame in self.frames)
        return sha256("\n".join(images).encode()).hexdigest()[:32]


@dataclass
class _Group:
    """Images that belong together, as they come; all that is kept of headers."""

    study: str
    series: str
    number: int
    facts: Facts
    orientation: NDArray[np.float64]
    frames: list[Frame]

    def takes(self, frame: Frame) -> bool:
        direction = np.array(frame.orientation or (0.0,) * 6)
        return bool(np.abs(direction - self.orientation).max() < _SAME_DIRECTION)


def read_series(folder: Path) -> tuple[list[Series], list[str]]:
    """Read the headers of all DICOM files in a folder and those below.

    Images belong together when they share study, series, size, spacing, direction, and what
    they show (echo time, b-value, inversion time, type of image).

    Args:
        folder: With DICOM files, and others, which are passed over.

    Returns:
        The series in order of time, and a remark on each file that could not be read.

    Raises:
        InputError: The folder holds too many files or images, or no image that can be read.
    """
    groups: dict[tuple[object, ...], list[_Group]] = {}
    remarks: list[str] = []
    seen: set[str] = set()
    images = 0
    for path in image_files(folder):
        try:
            header = read_header(path)
            frames = frames_of(path, header)
            if frames and frames[0].instance not in seen:  # else: the same image once more
                seen.add(frames[0].instance)
                with quietly(path):
                    _sort_in(groups, header, frames)
        except InputError as error:
            remarks.append(f"{path.relative_to(folder)}: {error.found or error.problem}")
            continue
        images += len(frames)
        if images > _MOST_IMAGES:
            raise InputError(
                f"{folder} holds more images than a study.",
                expected=f"at most {_MOST_IMAGES:,}",
                hint="give the folder of one study",
            )
    found = sorted(_each(groups), key=lambda group: (group.study, group.number, group.series))
    if not found:
        raise InputError(
            f"No DICOM image that can be read was found in {folder}.",
            found="; ".join(remarks[:3]) or "no file that starts as DICOM files do",
        )
    return [_series(number, group) for number, group in enumerate(found, start=1)], remarks


def read_volume(series: Series) -> NDArray[np.float32]:
    """Read the pixels of a series.

    Returns:
        Intensities – rescaled by each image's slope and intercept – of shape
        ``series.geometry.shape``: column, row, image.

    Raises:
        InputError: It makes no volume, a file is damaged, or its pixels are packed in a way
            that is not read.
    """
    if series.geometry is None:
        raise InputError(f"Series {series.number} makes no volume.", found=series.problem)
    volume = np.empty(series.geometry.shape, np.float32, order="F")
    by_file: dict[Path, dict[int, int]] = {}
    for place, frame in enumerate(series.frames):
        by_file.setdefault(frame.path, {})[frame.index] = place
    for path, places in by_file.items():
        with quietly(path):
            # One at a time: of a large file no more than an image is held beside the volume.
            for index, image in zip(places, iter_pixels(path, indices=list(places)), strict=True):
                frame = series.frames[places[index]]
                if image.shape != frame.shape:
                    raise ValueError(f"an image of {image.shape} where {frame.shape} was said")
                volume[:, :, places[index]] = image.T * frame.slope + frame.intercept
    return volume


def _sort_in(
    groups: dict[tuple[object, ...], list[_Group]], header: Dataset, frames: Iterable[Frame]
) -> None:
    unity = header.get("StudyInstanceUID"), header.get("SeriesInstanceUID")
    for frame in frames:
        spacing = tuple(round(mm, 3) for mm in frame.spacing or ())
        alike = groups.setdefault((*unity, frame.shape, spacing, frame.kind), [])
        for group in alike:
            if group.takes(frame):
                group.frames.append(frame)
                break
        else:
            direction = np.array(frame.orientation or (0.0,) * 6)
            study, series = map(str, unity)
            number = int(header.get("SeriesNumber") or 0)
            alike.append(_Group(study, series, number, facts_of(header, frame), direction, [frame]))


def _each(groups: dict[tuple[object, ...], list[_Group]]) -> Iterator[_Group]:
    for alike in groups.values():
        yield from alike


def _series(number: int, group: _Group) -> Series:
    geometry, problem = None, ""
    frames = tuple(sorted(group.frames, key=lambda frame: frame.turn))
    try:
        if not group.facts.frame_of_reference:
            raise InputError("does not say which frame of reference its places are in")
        frames, geometry = stacked(frames)
    except InputError as error:
        problem = error.problem
    return Series(
        number=number,
        study=group.study,
        uid=group.series,
        facts=group.facts,
        frames=frames,
        geometry=geometry,
        problem=problem,
    )
