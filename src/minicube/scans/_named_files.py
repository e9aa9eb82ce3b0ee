"""Layouts with one file a sequence, told apart by how the files are named."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from minicube.scans._case_files import CaseFiles, Layout, place, sequence_files
from minicube.scans._names import sequence_named
from minicube.scans.case import Sequence
from minicube.scans.labels import LabelScheme
from minicube.scans.nifti import stem_of

__all__ = [
    "REFERENCE",
    "find_named_cases",
    "names_a_sequence",
    "nifti_files",
    "with_unique_names",
]

REFERENCE: Final = "reference"
_DEPTH: Final = 4  # folders below the one given, e.g. TRAINING/HGG/case/

_BRATS2023: Final = re.compile(r"(?P<case>.+)-(?P<part>t1n|t1c|t2w|t2f|seg)", re.IGNORECASE)
_BRATS2021: Final = re.compile(r"(?P<case>.+)_(?P<part>t1|t1ce|t2|flair|seg)", re.IGNORECASE)
_PLAIN: Final = re.compile(r"(?P<part>t1n?|t1ce|t1c|t1gd|t2w?|t2f|flair|seg)", re.IGNORECASE)
_PATTERNS: Final = (
    (Layout.BRATS2023, _BRATS2023, LabelScheme.BRATS2023),
    (Layout.BRATS2021, _BRATS2021, LabelScheme.BRATS2021),
    (Layout.PLAIN, _PLAIN, None),
)
_SCHEMES: Final = {layout: scheme for layout, _, scheme in _PATTERNS}


def nifti_files(folder: Path) -> list[Path]:
    """Return the NIfTI files in a folder, sorted; without what file managers leave behind."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.name.endswith((".nii", ".nii.gz")) and path.name[0] != "." and path.is_file()
    )


def find_named_cases(root: Path) -> list[CaseFiles]:
    """Return the cases in BraTS 2017–2021, BraTS 2023–2024 and plain folders.

    Args:
        root: A data set or one case.

    Raises:
        InputError: Two files claim the same place.
    """
    found: list[tuple[Path, CaseFiles]] = []
    for folder in _folders(root, _DEPTH):
        groups: dict[tuple[Layout, str], dict[Any, Path]] = {}
        for path in nifti_files(folder):
            key = _part_of(path)
            if key is not None:
                layout, case, part = key
                place(groups.setdefault((layout, case), {}), part, path)
        for (layout, case), parts in groups.items():
            files = _case(layout, case, parts)
            if files is not None:
                found.append((folder, files))
    return with_unique_names(root, found)


def _folders(root: Path, depth: int) -> list[Path]:
    below = []
    if depth > 0:
        for path in sorted(root.iterdir()):
            if path.is_dir() and path.name[0] != ".":
                below += _folders(path, depth - 1)
    return [root, *below]


def _part_of(path: Path) -> tuple[Layout, str, Sequence | str] | None:
    stem = stem_of(path)
    for layout, pattern, _ in _PATTERNS:
        match = pattern.fullmatch(stem)
        if match:
            case = match["case"] if "case" in pattern.groupindex else path.parent.resolve().name
            return layout, case, sequence_named(match["part"]) or REFERENCE
    return None


def _case(layout: Layout, identity: str, parts: dict[Any, Path]) -> CaseFiles | None:
    sequences = sequence_files(parts)
    if not sequences:
        return None
    reference = parts.get(REFERENCE)
    scheme = None if reference is None else _SCHEMES[layout]
    return CaseFiles(identity, layout, sequences, reference, scheme)


def names_a_sequence(path: Path) -> bool:
    """Whether a file of that name would be read as a sequence of a case."""
    part = _part_of(path)
    return part is not None and isinstance(part[-1], Sequence)


def with_unique_names(root: Path, found: list[tuple[Path, CaseFiles]]) -> list[CaseFiles]:
    """Cases in different folders may share a name: then the whole way to them is it.

    Args:
        root: The data set.
        found: Each case with its folder.
    """
    names = [case.identity for _, case in found]
    unique = []
    for folder, case in found:
        identity = case.identity
        if names.count(identity) > 1:
            way = folder.relative_to(root).parts
            identity = "-".join((*way, identity) if identity not in way else way)
        unique.append(replace(case, identity=identity))
    return unique
