"""Data sets, recognised by how their folders and files are named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from minicube._errors import InputError
from minicube.scans._bids import find_bids_cases, is_bids
from minicube.scans._case_files import CaseFiles, Layout, VolumeInFile
from minicube.scans._dataset_json import find_described_cases, find_single_file
from minicube.scans._named_files import find_named_cases
from minicube.scans.dicom_files import holds_dicom
from minicube.scans.label_files import stated_scheme

__all__ = ["CaseFiles", "Layout", "VolumeInFile", "find_cases"]

_SHOWN = 8


def find_cases(source: Path) -> list[CaseFiles]:
    """Return the cases in a folder, in order of name.

    Nothing is read but names, ``dataset.json``, and the headers of label maps and single files.

    Args:
        source: A data set, one case's folder, or a 4-D NIfTI file.

    Raises:
        InputError: Nothing is there, or nothing in it is recognised.
    """
    if not source.exists():
        raise InputError(f"{source} does not exist.")
    if source.is_file():
        cases = [find_single_file(source)]
    else:
        try:
            cases = _in_folder(source)
        except OSError as error:
            raise InputError(
                f"{source} cannot be read.", found=error.strerror or str(error)
            ) from error
    if not cases:
        raise _nothing_recognised(source)
    return sorted((_with_stated_scheme(case) for case in cases), key=lambda case: case.identity)


def _in_folder(folder: Path) -> list[CaseFiles]:
    if (folder / "dataset.json").is_file():
        return find_described_cases(folder)
    if is_bids(folder.resolve()):
        return find_bids_cases(folder.resolve())
    return find_named_cases(folder)


def _with_stated_scheme(case: CaseFiles) -> CaseFiles:
    """What a label map says of itself counts more than what its layout usually has."""
    if case.reference is None:
        return case
    try:
        stated = stated_scheme(case.reference)
    except InputError:  # for whoever reads it to say: a flag settles it, segmenting never asks
        return case
    return replace(case, scheme=stated or case.scheme)


def _nothing_recognised(folder: Path) -> InputError:
    if holds_dicom(folder):
        return InputError(
            f"{folder} holds DICOM.",
            expected="NIfTI",
            hint="`minicube dicom list` shows what is in it; `minicube segment` takes it as it is",
        )
    names = sorted(path.name for path in folder.iterdir() if path.name[0] != ".")
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return InputError(
        f"No scans were recognised in {folder}.",
        expected="for instance a folder with t1.nii.gz, t1ce.nii.gz, t2.nii.gz and flair.nii.gz; "
        "BraTS names (X_t1ce.nii.gz or X-t1c.nii.gz); a dataset.json; or BIDS",
        found=", ".join(names[:_SHOWN]) + more if names else "an empty folder",
        hint="docs/layouts.md shows every layout that is understood",
    )
