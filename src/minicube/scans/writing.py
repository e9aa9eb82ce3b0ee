"""From a Case to files, in any layout."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from minicube._errors import InputError
from minicube._files import read_json, write_json, write_text
from minicube.scans._case_files import Layout
from minicube.scans._dataset_json import DECATHLON_ORDER, scheme_described
from minicube.scans._named_files import nifti_files
from minicube.scans.absence import check_complete
from minicube.scans.case import Case, Sequence
from minicube.scans.geometry import Geometry
from minicube.scans.label_files import write_label_map
from minicube.scans.labels import LabelMap, LabelScheme
from minicube.scans.nifti import sidecar_of, stem_of, write_volume, write_volumes_4d

__all__ = ["FileCase", "bids_label", "describe_dataset", "write_case", "write_files"]

Volume = tuple[NDArray[np.float32], Geometry]

_NAMES: Final[dict[Layout, dict[Sequence, str]]] = {
    Layout.BRATS2021: {
        Sequence.T1N: "{case}/{case}_t1",
        Sequence.T1C: "{case}/{case}_t1ce",
        Sequence.T2W: "{case}/{case}_t2",
        Sequence.T2F: "{case}/{case}_flair",
    },
    Layout.BRATS2023: {s: f"{{case}}/{{case}}-{s.value}" for s in Sequence},
    Layout.PLAIN: {s: f"{{case}}/{s.value}" for s in Sequence},
    Layout.NNUNET: {s: f"{{images}}/{{case}}_{i:04d}" for i, s in enumerate(Sequence)},
    Layout.BIDS: {
        Sequence.T1N: "{sub}/anat/{sub}_T1w",
        Sequence.T1C: "{sub}/anat/{sub}_ce-gadolinium_T1w",
        Sequence.T2W: "{sub}/anat/{sub}_T2w",
        Sequence.T2F: "{sub}/anat/{sub}_FLAIR",
    },
}
_REFERENCES: Final[dict[Layout, str]] = {
    Layout.BRATS2021: "{case}/{case}_seg",
    Layout.BRATS2023: "{case}/{case}-seg",
    Layout.PLAIN: "{case}/seg",
    Layout.DECATHLON: "labelsTr/{case}",
    Layout.NNUNET: "labelsTr/{case}",
    Layout.BIDS: "derivatives/labels/{sub}/anat/{sub}_dseg",
}
_CHANNEL_NAMES: Final = {
    Sequence.T1N: "T1w",
    Sequence.T1C: "t1gd",
    Sequence.T2W: "T2w",
    Sequence.T2F: "FLAIR",
}
_BIDS_VERSION: Final = "1.9.0"


@dataclass(frozen=True, eq=False)
class FileCase:
    """A case as files hold it: every array in its own file's axis order.

    Args:
        identity: Name of the case; becomes part of file names.
        volumes: Intensities and grid of each sequence.
        reference: Labels and their grid, when there are any.
    """

    identity: str
    volumes: Mapping[Sequence, Volume]
    reference: tuple[LabelMap, Geometry] | None = None


def write_case(
    case: Case,
    folder: Path,
    layout: Layout,
    scheme: LabelScheme | None = None,
    *,
    lossy: bool = False,
) -> list[Path]:
    """Write a case into a data set, in the geometry of the files it came from.

    Args:
        case: The case; its identity names the files.
        folder: The data set, made when missing.
        layout: How to arrange and name the files.
        scheme: Label scheme to write; the reference's own when None.
        lossy: Accept that the scheme merges or drops tissues.

    Returns:
        The files written.

    Raises:
        InputError: The scheme would lose something, the name is no file name, a sequence is
            missing that the layout asks for, the data set holds labels of another scheme, or the
            folder cannot be written to.
    """
    geometry = case.geometry
    reference = None
    if case.reference is not None:
        labels = case.reference.to(scheme or case.reference.scheme, lossy=lossy)
        _stated_scheme(folder, layout, labels.scheme)
        reference = LabelMap(geometry.from_ras(labels.array), labels.scheme), geometry
    volumes = {s: (geometry.from_ras(case.images[s]), geometry) for s in case.images}
    written = write_files(FileCase(case.identity, volumes, reference), folder, layout)
    return [
        *written,
        *describe_dataset(folder, layout, None if reference is None else labels.scheme),
    ]


def write_files(case: FileCase, folder: Path, layout: Layout) -> list[Path]:
    """Write one case's images and labels; :func:`describe_dataset` completes the data set."""
    _check_name(case.identity)
    fields = {
        "case": case.identity,
        "images": "imagesTs" if case.reference is None else "imagesTr",
        "sub": f"sub-{bids_label(case.identity)}",
    }
    written = []
    if layout is Layout.DECATHLON:
        check_complete(case.identity, case.volumes, "which its dataset.json says are in one file")
        path = folder / "{images}/{case}.nii.gz".format(**fields)
        arrays = [case.volumes[s][0] for s in DECATHLON_ORDER]
        write_volumes_4d(path, arrays, case.volumes[DECATHLON_ORDER[0]][1])
        written.append(path)
    else:
        for sequence, (array, geometry) in case.volumes.items():
            path = folder / (_NAMES[layout][sequence].format(**fields) + ".nii.gz")
            write_volume(path, array, geometry)
            written.append(path)
    if case.reference is not None:
        labels, geometry = case.reference
        path = folder / (_REFERENCES[layout].format(**fields) + ".nii.gz")
        write_label_map(path, labels, geometry)
        written += [path, sidecar_of(path)]
        if layout is Layout.BIDS:
            table = path.with_name(f"{stem_of(path)}.tsv")
            rows = [f"{value}\t{tissue.value}" for value, tissue in labels.scheme.tissues.items()]
            write_text(table, "\n".join(["index\tname", *rows]) + "\n")
            written.append(table)
    return written


def describe_dataset(
    folder: Path, layout: Layout, scheme: LabelScheme | None, name: str = ""
) -> list[Path]:
    """Write the files that describe a data set as a whole, for layouts that have them.

    Args:
        folder: The data set; what is described is what lies in it now.
        layout: Its layout.
        scheme: Of its labels; None when none were written.
        name: Of the data set; else its folder's.

    Returns:
        The files written.

    Raises:
        InputError: The data set's labels already have another scheme.
    """
    name = name or folder.resolve().name
    if layout is Layout.BIDS:
        return _describe_bids(folder, name)
    if layout not in (Layout.DECATHLON, Layout.NNUNET):
        return []
    path = folder / "dataset.json"
    scheme = _stated_scheme(folder, layout, scheme) or scheme
    if layout is Layout.DECATHLON:
        write_json(path, {"name": name, **_decathlon_json(folder, scheme)})
    else:
        write_json(path, _nnunet_json(folder, scheme))
    return [path]


def _stated_scheme(folder: Path, layout: Layout, scheme: LabelScheme | None) -> LabelScheme | None:
    """What a data set says of the labels in it, which new ones must not contradict."""
    path = folder / "dataset.json"
    if layout not in (Layout.DECATHLON, Layout.NNUNET) or not path.is_file():
        return None
    stated = scheme_described(read_json(path))
    if stated and scheme and stated is not scheme:
        raise InputError(
            f"{folder} holds labels of another scheme.",
            expected=f"{stated.value}, as its dataset.json states",
            found=scheme.value,
            hint="write to another folder, or in the same scheme",
        )
    return stated


def bids_label(identity: str) -> str:
    """Return a case's name as a BIDS label, which has letters and digits only."""
    return re.sub(r"[^A-Za-z0-9]", "", identity.removeprefix("sub-"))


def _decathlon_json(folder: Path, scheme: LabelScheme | None) -> dict[str, Any]:
    names = {} if scheme is None else {str(v): t.value for v, t in scheme.tissues.items()}
    train, test = _cases_in(folder / "imagesTr"), _cases_in(folder / "imagesTs")
    return {
        "description": "written by minicube; research use only",
        "tensorImageSize": "4D",
        "modality": {str(i): _CHANNEL_NAMES[s] for i, s in enumerate(DECATHLON_ORDER)},
        "labels": {"0": "background", **names},
        **({} if scheme is None else {"label_scheme": scheme.value}),
        "numTraining": len(train),
        "numTest": len(test),
        "training": [
            {"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"}
            for name in train
        ],
        "test": [f"./imagesTs/{name}.nii.gz" for name in test],
    }


def _nnunet_json(folder: Path, scheme: LabelScheme | None) -> dict[str, Any]:
    names = {} if scheme is None else {t.value: v for v, t in scheme.tissues.items()}
    return {
        "channel_names": {str(i): _CHANNEL_NAMES[s] for i, s in enumerate(Sequence)},
        "labels": {"background": 0, **names},
        **({} if scheme is None else {"label_scheme": scheme.value}),
        "numTraining": len(_cases_in(folder / "labelsTr")),
        "file_ending": ".nii.gz",
    }


def _cases_in(folder: Path) -> list[str]:
    return [stem_of(path) for path in nifti_files(folder)] if folder.is_dir() else []


def _describe_bids(folder: Path, name: str) -> list[Path]:
    raw = folder / "dataset_description.json"
    content = {"Name": name, "BIDSVersion": _BIDS_VERSION}
    write_json(raw, {**content, "DatasetType": "raw"})
    labels = folder / "derivatives" / "labels"
    if not labels.is_dir():
        return [raw]
    derived = labels / "dataset_description.json"
    origin = {"GeneratedBy": [{"Name": "minicube"}], "SourceDatasets": [{"URL": "../.."}]}
    write_json(derived, {**content, "DatasetType": "derivative", **origin})
    return [raw, derived]


def _check_name(identity: str) -> None:
    if not re.fullmatch(r"\w[\w.+-]*", identity):
        raise InputError(
            f"{identity!r} cannot name a file.",
            expected="letters, digits, '-', '_', '+' and '.'",
            hint="rename the case's folder",
        )
