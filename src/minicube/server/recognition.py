"""Which uploaded file is which sequence: a guess, for a person to confirm.

The one place that knows kinds of uploads. What is not NIfTI comes in here too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from os.path import commonprefix
from pathlib import Path
from typing import Final

import numpy as np

from minicube._errors import InputError
from minicube.scans import Geometry, Sequence, read_header, sequence_named, stated_scheme
from minicube.server.jobs import Role

__all__ = ["UploadedCase", "UploadedSeries", "common_name", "recognise"]

_REFERENCE: Final = {"seg", "dseg", "label", "labels", "mask", "reference", "truth", "gt"}
_CONTRAST: Final = {"ce", "gd", "gad", "gadolinium", "contrast", "post"}
_ENDING: Final = re.compile(r"\.nii(\.gz)?$", re.IGNORECASE)


@dataclass(frozen=True)
class UploadedSeries:
    """One volume.

    Args:
        path: NIfTI file, in the job's folder.
        name: As the sender calls it.
        grid: Size and spacing in words.
        role: What it looks like, if anything.
        certain: Whether its name alone says so, and no other claims the same.
        remark: What a person should know before confirming.
    """

    path: Path
    name: str
    grid: str
    role: Role | None
    certain: bool
    remark: str = ""


@dataclass(frozen=True)
class UploadedCase:
    """What lies in a folder of uploads.

    Args:
        series: Each volume that can be read.
        remarks: What else was found, in words.
    """

    series: tuple[UploadedSeries, ...]
    remarks: tuple[str, ...] = ()


def recognise(folder: Path, names: Mapping[str, str]) -> UploadedCase:
    """Guess what each file in a folder is.

    Args:
        folder: Of the uploads; files made from them (converted ones) may be written below it.
        names: Name in the folder to name as the sender has it.

    Raises:
        InputError: Nothing in it is a scan.
    """
    found, left_out = [], []
    for stored, name in names.items():
        path = folder / stored
        try:
            header = read_header(path)
        except InputError as error:
            left_out.append(f"{name}: {error.problem.replace(str(path), 'it')}")
            continue
        if header.volumes > 1:
            left_out.append(f"{name}: it holds {header.volumes} volumes, not one sequence")
            continue
        role = _role(path, name)
        found.append(UploadedSeries(path, name, _words(header.geometry), role, certain=True))
    if not found:
        raise InputError(
            "No scan was recognised among the uploaded files.",
            expected="four NIfTI files (.nii or .nii.gz) – T1, T1 with contrast, T2 and FLAIR – "
            "or a zip of them",
            found="; ".join(left_out[:4]) or "nothing",
        )
    claims = Counter(series.role for series in found)
    shapes = Counter(series.grid for series in found)
    usual = shapes.most_common(1)[0][0]
    return UploadedCase(
        tuple(_judged(series, claims[series.role] == 1, usual) for series in found),
        tuple(f"left out – {words}" for words in left_out),
    )


def common_name(names: list[str]) -> str:
    """The words that the names of a case's files begin with, to show it under; may be none."""
    letters = commonprefix([_ENDING.sub("", name) for name in names])  # noqa: RUF071 - they are meant
    return re.sub(r"[^-_. ]*$", "", letters).rstrip("-_. ")


def _judged(series: UploadedSeries, alone: bool, usual: str) -> UploadedSeries:
    """A guess that others share is uncertain, a grid that others do not share is told."""
    remark = "" if series.grid == usual else f"its grid differs from the others' ({usual})"
    return replace(series, certain=series.role is not None and alone, remark=remark)


def _role(path: Path, name: str) -> Role | None:
    if stated_scheme(path) is not None:
        return Role.REFERENCE
    stem = _ENDING.sub("", name.replace("\\", "/").rsplit("/", 1)[-1])
    tokens = [token for token in re.split(r"[^a-z0-9]+", stem.lower()) if token]
    if _REFERENCE.intersection(tokens):
        return Role.REFERENCE
    # Pairs first: "t1_ce" is no "t1"; from the end, where data sets put it.
    joined = [first + second for first, second in pairwise(tokens)]
    for token in (*reversed(joined), *reversed(tokens)):
        sequence = sequence_named(token)
        if sequence is Sequence.T1N and _CONTRAST.intersection(tokens):
            return Role.T1C
        if sequence is not None:
            return Role(sequence.value)
    return None


def _words(geometry: Geometry) -> str:
    shape = " × ".join(map(str, geometry.shape))
    spacing = " × ".join(f"{mm:.3g}" for mm in np.asarray(geometry.spacing))
    return f"{shape} voxels of {spacing} mm"
