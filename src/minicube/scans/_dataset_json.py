"""Data sets described by a ``dataset.json``: Medical Segmentation Decathlon and nnU-Net."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from minicube._errors import InputError
from minicube._files import read_json
from minicube.scans._case_files import CaseFiles, Layout, VolumeInFile, place, sequence_files
from minicube.scans._named_files import nifti_files, with_unique_names
from minicube.scans._names import scheme_named, sequence_named
from minicube.scans.case import Sequence
from minicube.scans.labels import LabelScheme
from minicube.scans.nifti import check_volumes, read_header, stem_of

__all__ = ["DECATHLON_ORDER", "find_described_cases", "find_single_file", "scheme_described"]

DECATHLON_ORDER: Final = (Sequence.T2F, Sequence.T1N, Sequence.T1C, Sequence.T2W)
_CHANNEL: Final = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")
_IMAGES: Final = {"imagesTr": "labelsTr", "imagesTs": "labelsTs"}


def find_described_cases(root: Path) -> list[CaseFiles]:
    """Return the cases of a folder that holds a ``dataset.json``.

    Raises:
        InputError: The description is damaged or does not name the four sequences.
    """
    description = _description(root / "dataset.json")
    channels = _channels(root / "dataset.json", description)
    scheme = scheme_described(description)
    found: list[tuple[Path, CaseFiles]] = []
    for images, labels in _IMAGES.items():
        folder = root / images
        if not folder.is_dir():
            continue
        files = nifti_files(folder)
        split = bool(files) and all(_CHANNEL.fullmatch(stem_of(path)) for path in files)
        read = _nnunet if split else _decathlon
        for identity, layout, sequences in read(files, channels):
            reference = _label_file(root / labels, identity)
            stated = None if reference is None else scheme
            case = CaseFiles(identity, layout, sequences, reference, stated)
            found.append((folder, case))
    return with_unique_names(root, found)


def find_single_file(path: Path) -> CaseFiles:
    """Return the case of one 4-D file.

    Its channels are those of the ``dataset.json`` in its folder or the one above; without
    one they are taken to be in the Decathlon's order, and a remark says so.

    Raises:
        InputError: The file cannot be read, or holds another number of volumes.
    """
    remarks: tuple[str, ...] = ()
    for folder in (path.parent.parent, path.parent):
        if (folder / "dataset.json").is_file():
            description = _description(folder / "dataset.json")
            channels = _channels(folder / "dataset.json", description)
            scheme = scheme_described(description)
            break
    else:
        folder, channels, scheme = path.parent, list(DECATHLON_ORDER), None
        remarks = (
            f"{path.name} comes without a dataset.json; its volumes are taken to be "
            "FLAIR, T1, T1 with contrast, T2, in this order",
        )
    check_volumes(path, read_header(path), len(channels))
    ((identity, layout, sequences),) = _decathlon([path], channels)
    labels = _IMAGES.get(path.parent.name)
    reference = None if labels is None else _label_file(folder / labels, identity)
    scheme = None if reference is None else scheme
    return CaseFiles(identity, layout, sequences, reference, scheme, remarks)


def scheme_described(description: Mapping[str, Any]) -> LabelScheme | None:
    """Return the label scheme that a ``dataset.json`` states, in its names or outright."""
    outright = description.get("label_scheme")
    if outright in list(LabelScheme):
        return LabelScheme(outright)
    return scheme_named(description.get("labels"))


def _description(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(f"{path} does not describe a data set.", found="no JSON object")
    return content


def _channels(path: Path, description: Mapping[str, Any]) -> list[Sequence | None]:
    names = description.get("channel_names", description.get("modality"))
    if not isinstance(names, dict) or set(names) != {str(i) for i in range(len(names))}:
        raise InputError(
            f"{path} does not say which sequence is which channel.",
            expected='an entry such as "modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", …}',
            found=repr(names),
        )
    channels = [sequence_named(str(names[str(i)])) for i in range(len(names))]
    known = [channel for channel in channels if channel is not None]
    if not known or len(set(known)) < len(known):
        raise InputError(
            f"{path} does not name MR sequences that can be told apart.",
            expected="each of T1, T1 with contrast, T2 and FLAIR at most once",
            found=", ".join(str(name) for name in names.values()),
        )
    return channels


def _decathlon(
    files: list[Path], channels: list[Sequence | None]
) -> list[tuple[str, Layout, dict[Sequence, Path | VolumeInFile]]]:
    cases = []
    for path in files:
        places: dict[Sequence, Path | VolumeInFile] = {
            sequence: VolumeInFile(path, channels.index(sequence), len(channels))
            for sequence in Sequence
            if sequence in channels
        }
        cases.append((stem_of(path), Layout.DECATHLON, places))
    return cases


def _nnunet(
    files: list[Path], channels: list[Sequence | None]
) -> list[tuple[str, Layout, dict[Sequence, Path | VolumeInFile]]]:
    groups: dict[str, dict[Any, Path]] = {}
    for path in files:
        match = _CHANNEL.fullmatch(stem_of(path))
        if match is None or int(match["channel"]) >= len(channels):
            continue
        sequence = channels[int(match["channel"])]
        if sequence is not None:
            place(groups.setdefault(match["case"], {}), sequence, path)
    return [
        (identity, Layout.NNUNET, dict(sequence_files(parts))) for identity, parts in groups.items()
    ]


def _label_file(folder: Path, identity: str) -> Path | None:
    for ending in (".nii.gz", ".nii"):
        path = folder / f"{identity}{ending}"
        if path.is_file():
            return path
    return None
