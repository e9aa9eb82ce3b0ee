"""The Brain Imaging Data Structure, as far as one session's anatomy and lesion labels go."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any, Final

from minicube._errors import InputError
from minicube._files import read_json
from minicube.scans._case_files import CaseFiles, Layout, place, sequence_files
from minicube.scans._dataset_json import scheme_described
from minicube.scans._named_files import REFERENCE, nifti_files
from minicube.scans._names import scheme_named
from minicube.scans.case import Sequence
from minicube.scans.labels import LabelScheme
from minicube.scans.nifti import stem_of

__all__ = ["find_bids_cases", "is_bids"]

_NAME: Final = re.compile(r"(?P<entities>sub-[A-Za-z0-9]+(_[a-z]+-[A-Za-z0-9]+)*)_(?P<suffix>\w+)")
_NOT_RAW: Final = {"derivatives", "sourcedata"}  # the same heads again
_SUFFIXES: Final = {"T2w": Sequence.T2W, "FLAIR": Sequence.T2F, "T1w": Sequence.T1N}


def is_bids(root: Path) -> bool:
    """Whether a folder is a BIDS data set, or one subject or session of one."""
    if root.name.startswith(("sub-", "ses-")) and any(root.glob("**/anat")):
        return True
    return _holds_subjects(root)


def find_bids_cases(root: Path) -> list[CaseFiles]:
    """Return one case for each subject and session with anatomy.

    Args:
        root: The data set, or one subject or session of it.

    Raises:
        InputError: Two files claim the same place.
    """
    top = _top(root)
    cases = []
    for anat in sorted(root.glob("**/anat")):
        if not _NOT_RAW.isdisjoint(anat.relative_to(root).parts):
            continue
        parts: dict[Any, Path] = {}
        for path in nifti_files(anat):
            part = _part_of(path)
            if part is not None:
                place(parts, part, path)
        if not sequence_files(parts):
            continue
        for path in _derived(top, anat):
            place(parts, REFERENCE, path)
        reference = parts.get(REFERENCE)
        scheme = None if reference is None else _scheme(top, reference)
        identity = "_".join(
            part for part in anat.relative_to(top).parts if part.startswith(("sub-", "ses-"))
        )
        cases.append(CaseFiles(identity, Layout.BIDS, sequence_files(parts), reference, scheme))
    return cases


def _top(root: Path) -> Path:
    """The data set that a folder is, or is a subject or session of; others may be called so too."""
    if _holds_subjects(root):
        return root
    if root.name.startswith("sub-"):
        return root.parent
    of_subject = root.name.startswith("ses-") and root.parent.name.startswith("sub-")
    return root.parent.parent if of_subject else root


def _holds_subjects(root: Path) -> bool:
    return any((sub / "anat").is_dir() or any(sub.glob("ses-*/anat")) for sub in root.glob("sub-*"))


def _part_of(path: Path) -> Sequence | None:
    match = _NAME.fullmatch(stem_of(path))
    sequence = _SUFFIXES.get(match["suffix"]) if match else None
    if match and sequence is Sequence.T1N and "_ce-" in match["entities"]:
        return Sequence.T1C
    return sequence


def _derived(top: Path, anat: Path) -> list[Path]:
    """The label maps that derivatives hold for this subject and session."""
    pattern = f"*/{anat.relative_to(top).as_posix()}/*_dseg.nii*"
    found = (top / "derivatives").glob(pattern) if (top / "derivatives").is_dir() else []
    return sorted(path for path in found if path.name[0] != "." and path.is_file())


def _scheme(top: Path, reference: Path) -> LabelScheme | None:
    """From the table of labels that BIDS puts beside a label map or above it."""
    beside = reference.with_name(f"{stem_of(reference)}.json")
    if beside.is_file():
        content = read_json(beside)
        found = scheme_described(content) if isinstance(content, dict) else None
        if found is not None:
            return found
    folder = reference.parent
    tables = [reference.with_name(f"{stem_of(reference)}.tsv")]
    while folder != top and folder != folder.parent:
        tables.append(folder / "dseg.tsv")
        folder = folder.parent
    for table in (*tables, top / "dseg.tsv"):
        if table.is_file():
            return scheme_named(_read_table(table))
    return None


def _read_table(path: Path) -> dict[str, str]:
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines, delimiter="\t"))
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path} is not a readable table.", found=str(error)) from error
    return {str(row.get("index")): str(row.get("name")) for row in rows}
