"""Which uploaded file is which sequence: a guess, for a person to confirm.

The one place that knows kinds of uploads. What is not NIfTI comes in here too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from os.path import commonprefix
from pathlib import Path
from typing import Final

from minicube._errors import InputError
from minicube.scans import Sequence, read_header, sequence_named, stated_scheme
from minicube.server.jobs import DICOM, Role, Series, Upload, UploadedCase
from minicube.server.studies import look_at

__all__ = ["recognise"]

_REFERENCE: Final = {"seg", "dseg", "label", "labels", "mask", "reference", "truth", "gt"}
_CONTRAST: Final = {"ce", "gd", "gad", "gadolinium", "contrast", "post"}
_ENDING: Final = re.compile(r"\.nii(\.gz)?$", re.IGNORECASE)


def recognise(folder: Path, uploads: Iterable[Upload]) -> UploadedCase:
    """Guess what each file, and each series of a DICOM study, is.

    Args:
        folder: Of the uploads.
        uploads: What lies in it.

    Raises:
        InputError: Nothing in it is a scan, or a study cannot be looked at.
        MissingExtra: There is a study, and what reads it is not installed.
    """
    files, left_out, case = [], [], UploadedCase()
    for upload in uploads:
        if upload.stored == DICOM:
            case = look_at(folder / DICOM)
            continue
        path = folder / upload.stored
        try:
            files.append(_series(path, upload))
        except InputError as error:
            left_out.append(f"{upload.name}: {error.problem.replace(str(path), 'it')}")
    if not files and not case.series:
        raise InputError(
            "No scan was recognised among the uploaded files.",
            expected="a DICOM study, or four NIfTI files (.nii or .nii.gz) – T1, T1 with "
            "contrast, T2 and FLAIR – or a zip of either",
            found="; ".join(left_out[:4]) or "nothing",
        )
    _judge(files)
    case.remarks += [f"left out – {words}" for words in left_out]
    case.title = case.title or _common_name([series.name for series in files])
    case.series += files
    for number, series in enumerate(case.series):
        series.key = str(number)
    return case


def _series(path: Path, upload: Upload) -> Series:
    header = read_header(path)
    if header.volumes > 1:
        raise InputError(f"it holds {header.volumes} volumes, not one sequence")
    role, grid = _role(path, upload.name), header.geometry.size_in_words()
    return Series(key="", name=upload.name, stored=upload.stored, grid=grid, role=role)


def _judge(files: list[Series]) -> None:
    """A guess that others share is uncertain, a grid that others do not share is told."""
    claims = Counter(series.role for series in files)
    shapes = Counter(series.grid for series in files)
    for series in files:
        series.certain = series.role is not None and claims[series.role] == 1
        usual = shapes.most_common(1)[0][0]
        if series.grid != usual:
            series.remark = f"its grid differs from the others' ({usual})"


def _common_name(names: list[str]) -> str:
    """The words that the names of a case's files begin with, to show it under; may be none."""
    letters = commonprefix([_ENDING.sub("", name) for name in names])  # noqa: RUF071 - they are meant
    return re.sub(r"[^-_. ]*$", "", letters).rstrip("-_. ")


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
