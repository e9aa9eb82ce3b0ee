"""What is real in a simulated case: expert tumour shapes and patches of real tumours.

Both are read from the user's own files at run time; nothing of them is part of the package. All
is turned to RAS+ and to :data:`NETWORK_SCHEME` as it is read. Patients who are to judge a model
later are named once, here, and none of their shapes or patches is kept.
"""

from __future__ import annotations

import csv
import zipfile
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from minicube._errors import InputError
from minicube.scans import NETWORK_SCHEME, LabelMap, LabelScheme, Sequence, Tissue

__all__ = [
    "ENHANCING",
    "FIELD",
    "Material",
    "Patch",
    "Shape",
    "cases_named",
    "load_material",
    "patients_of",
]

FIELD: Final = (240, 240, 155)
"""Extent of the BraTS grid, mm (voxels of 1 mm)."""

ENHANCING: Final = NETWORK_SCHEME.value_of(Tissue.ENHANCING)

_UNREADABLE: Final = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
)

_NOT_VOXELS: Final = ("patient", "origin128")

_PAD = 2  # voxels of background kept around a shape


@dataclass(frozen=True, eq=False)
class Shape:
    """The labels of one tumour.

    Args:
        patient: Whose; empty for a made-up one.
        labels: ``(a, b, c)`` uint8, RAS+, :data:`NETWORK_SCHEME`.
        corner: Centre of the first voxel on the BraTS grid, mm, RAS+, ``(3,)``.
        spacing: Of its voxels, mm, ``(3,)``.
        faithful: Whether the labels are as the expert drew them.
    """

    patient: str
    labels: NDArray[np.uint8]
    corner: NDArray[np.float64]
    spacing: NDArray[np.float64]
    faithful: bool = True

    @cached_property
    def whole(self) -> float:
        """Volume of the whole tumour, ml."""
        return float(np.count_nonzero(self.labels) * self.spacing.prod() / 1000)

    @cached_property
    def enhances(self) -> bool:
        """Whether more than a tenth of a millilitre of it takes up contrast agent."""
        voxels = np.count_nonzero(self.labels == ENHANCING)
        return bool(voxels * self.spacing.prod() > 100)


@dataclass(frozen=True, eq=False)
class Patch:
    """A piece of a real scan, in z-scores of its whole brain.

    Args:
        patient: Whose.
        codes: ``(4, a, b, c)`` uint8 in the order of :class:`minicube.scans.Sequence`, RAS+;
            a z-score is ``code / 15 - 5``; 0 is not known, or outside the brain.
        labels: ``(a, b, c)`` uint8, :data:`NETWORK_SCHEME`.
        corner: Centre of the first voxel on the BraTS grid, mm, RAS+, ``(3,)``.
        spacing: Of its voxels, mm, ``(3,)``.
    """

    patient: str
    codes: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    corner: NDArray[np.float64]
    spacing: NDArray[np.float64]

    @property
    def known(self) -> NDArray[np.bool_]:
        """Where all four sequences are known, ``(a, b, c)``."""
        return np.asarray((self.codes > 0).all(0), np.bool_)

    @property
    def scores(self) -> NDArray[np.float32]:
        """z-scores, ``(4, a, b, c)``."""
        return (self.codes / np.float32(15) - np.float32(5)).astype(np.float32, copy=False)


@dataclass(frozen=True, eq=False)
class Material:
    """What a simulation may draw from; empty is possible, then all is made up.

    Args:
        shapes: Expert label maps.
        patches: Pieces of real scans.
    """

    shapes: tuple[Shape, ...] = ()
    patches: tuple[Patch, ...] = ()


def load_material(
    shapes: Path | None, patches: Path | None, *, leave_out: Collection[str]
) -> Material:
    """Read shapes and patches, but nothing of the patients to leave out.

    Args:
        shapes: ``.npz`` with ``labels`` ``(n, a, b, c)``, BraTS ≤ 2021 values, whole BraTS grids
            resampled, LPS; and ``patient`` ``(n,)``.
        patches: ``.npz`` with ``image`` ``(n, 4, a, b, c)`` uint8 (t1, t1ce, t2, flair), ``seg``
            ``(n, a, b, c)``, ``patient`` ``(n,)`` and ``origin128`` ``(n, 3)``, the first
            voxel's place in a whole grid of 128³ voxels; LPS.
        leave_out: BraTS 2020 numbers (``"017"``) or whole names of patients.

    Raises:
        InputError: A file cannot be read, or is not what it should be.
    """
    refused = {_number(patient) for patient in leave_out}
    maps: list[Shape] = []
    if shapes is not None:
        held = _read(shapes, {"labels": 4, "patient": 1})
        spacing = np.array(FIELD) / held["labels"].shape[1:]
        for patient, labels in zip(_names(held), held["labels"], strict=True):
            if _number(patient) not in refused:
                maps.append(_shape(patient, _labels(labels, shapes), spacing))
    pieces: list[Patch] = []
    if patches is not None:
        held = _read(patches, {"image": 5, "seg": 4, "patient": 1, "origin128": 2})
        one = (len(Sequence), *held["seg"].shape[1:])
        if held["image"].shape[1:] != one or held["origin128"].shape[1:] != (3,):
            raise _unfit(patches, held)
        spacing = np.array(FIELD) / 128
        for patient, image, labels, first in zip(
            _names(held), held["image"], held["seg"], held["origin128"], strict=True
        ):
            if _number(patient) not in refused:
                corner = _corner(first, labels.shape, spacing)
                codes = np.ascontiguousarray(image[:, ::-1, ::-1])
                pieces.append(Patch(patient, codes, _labels(labels, patches), corner, spacing))
    return Material(tuple(maps), tuple(pieces))


def patients_of(manifest: Path) -> frozenset[str]:
    """BraTS 2020 numbers in a table of cases: its column ``BraTS20 id``, tab-separated.

    Raises:
        InputError: There is no such table, column or number.
    """
    numbers = frozenset(_column(manifest, "BraTS20 id"))
    for number in numbers:
        _number(number)
    return numbers


def cases_named(manifest: Path) -> frozenset[str]:
    """Names of the cases in such a table: its column ``case``.

    Raises:
        InputError: There is no such table or column.
    """
    return frozenset(_column(manifest, "case"))


def _column(manifest: Path, name: str) -> list[str]:
    try:
        with manifest.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file, delimiter="\t")
            if name not in (rows.fieldnames or ()):
                raise KeyError(name)
            return [row[name].strip() for row in rows]
    except (OSError, UnicodeDecodeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{manifest} does not say which patients to leave out.",
            expected=f"a tab-separated table with a column `{name}`",
            found=str(error) if isinstance(error, OSError) else "another table, or none",
        ) from error


def _number(patient: str) -> int:
    last = patient.rsplit("_", 1)[-1]
    if not last.isdecimal():
        raise InputError(
            f"{patient!r} names no BraTS 2020 patient.", expected="017, or BraTS20_Training_017"
        )
    return int(last)


def _read(path: Path, wanted: Mapping[str, int]) -> dict[str, NDArray[Any]]:
    """Arrays of an ``.npz`` by name, each with as many axes as wanted and all equally long."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in wanted}
    except _UNREADABLE as error:
        raise InputError(
            f"{path} cannot be used.",
            expected=f"an .npz with the arrays {', '.join(wanted)}",
            found="something else" if isinstance(error, ValueError) else str(error),
        ) from error
    whole = all(arrays[name].dtype.kind in "iu" for name in wanted if name not in _NOT_VOXELS)
    fits = all(arrays[name].ndim == axes for name, axes in wanted.items())
    if not whole or not fits or len({len(array) for array in arrays.values()}) != 1:
        raise _unfit(path, arrays)
    return arrays


def _unfit(path: Path, arrays: Mapping[str, NDArray[Any]]) -> InputError:
    found = ", ".join(f"{name} {array.shape} {array.dtype}" for name, array in arrays.items())
    return InputError(
        f"{path} cannot be used: its arrays do not fit together.",
        expected="images and labels in whole numbers, as many of the one as of the other",
        found=found,
    )


def _names(held: Mapping[str, NDArray[Any]]) -> list[str]:
    return [str(patient) for patient in held["patient"].tolist()]


def _labels(labels: NDArray[np.uint8], path: Path) -> NDArray[np.uint8]:
    try:
        found = LabelMap(labels.astype(np.uint8), LabelScheme.BRATS2021).to(NETWORK_SCHEME).array
    except InputError as error:
        raise InputError(f"{path} cannot be used.", found=error.found) from error
    return np.ascontiguousarray(found[::-1, ::-1])


def _corner(
    first: NDArray[Any], shape: tuple[int, ...], spacing: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Place of the first voxel in RAS+, of an array whose first voxel in LPS is ``first``."""
    start = np.array(first, np.float64)
    start[:2] = (np.array(FIELD) / spacing)[:2] - start[:2] - shape[:2]
    return (start + 0.5) * spacing - 0.5


def _shape(patient: str, labels: NDArray[np.uint8], spacing: NDArray[np.float64]) -> Shape:
    places = np.nonzero(labels)
    if not places[0].size:
        raise InputError(f"The label map of {patient} is empty.")
    start = [max(0, int(axis.min()) - _PAD) for axis in places]
    stop = [int(axis.max()) + 1 + _PAD for axis in places]
    cut = labels[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))].copy()
    return Shape(patient, cut, (np.array(start) + 0.5) * spacing - 0.5, spacing)
