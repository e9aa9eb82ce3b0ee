"""Label maps as NIfTI files that say what their values stand for."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from minicube._errors import InputError
from minicube._files import read_json, write_json
from minicube.scans._header import LABEL_INTENT, Header, header_bytes
from minicube.scans.geometry import Geometry
from minicube.scans.labels import LabelMap, LabelScheme
from minicube.scans.nifti import read_as, read_header, sidecar_of, write_file

__all__ = ["read_labels", "stated_scheme", "write_label_map"]

_WRITTEN_BY: Final = "minicube labels; research use only"


def read_labels(path: Path, scheme: LabelScheme) -> tuple[LabelMap, Geometry]:
    """Read a label map.

    Args:
        path: As for :func:`minicube.scans.read_volume`.
        scheme: What its values stand for.

    Returns:
        Labels in the file's axis order, and their grid.

    Raises:
        InputError: The file cannot be read, holds fractions, or values outside the scheme.
    """

    def convert(header: Header, raw: NDArray[Any]) -> NDArray[np.uint8]:
        values = raw
        if header.slope != 1 or header.inter != 0:
            with np.errstate(over="ignore", invalid="ignore"):
                values = raw * np.float64(header.slope) + header.inter
        if values.dtype.kind == "f" and not (values == np.rint(values)).all():
            raise InputError(
                f"{path} is not a label map: it holds values that are not whole numbers.",
                expected=f"0 and {scheme.legend()}",
                hint="a label map must be resampled with nearest neighbours, "
                "never with interpolation",
            )
        low, high = values.min(), values.max()
        if low < 0 or high > 255:
            raise _outside(path, scheme, f"values from {low:g} to {high:g}")
        return values.astype(np.uint8)

    (array,), header = read_as(path, 1, np.dtype(np.uint8), convert)
    try:
        return LabelMap(array, scheme), header.geometry
    except InputError as error:
        raise _outside(path, scheme, error.found) from error


def stated_scheme(path: Path) -> LabelScheme | None:
    """Return the label scheme that a file or its JSON sidecar states, as those written here do.

    Args:
        path: A NIfTI file. One that cannot be read states nothing.

    Raises:
        InputError: The sidecar names a scheme that does not exist, or another than the header.
    """
    written = None
    with contextlib.suppress(InputError):
        header = read_header(path)
        if header.description == _WRITTEN_BY and header.intent[1] == LABEL_INTENT:
            written = header.intent[0]
    beside: Any = None
    sidecar = sidecar_of(path)
    if sidecar.is_file():
        with contextlib.suppress(InputError):
            content = read_json(sidecar)
            beside = content.get("label_scheme") if isinstance(content, dict) else None
    if written is not None and beside is not None and written != beside:
        raise InputError(
            f"{path} and {sidecar.name} state different label schemes.",
            found=f"{written} in the header, {beside} in {sidecar.name}",
            hint="delete the wrong statement, or name the scheme with a flag",
        )
    name = written or beside
    if name is None:
        return None
    if name not in list(LabelScheme):
        raise InputError(
            f"{path} states a label scheme that minicube does not know.",
            expected="one of " + ", ".join(LabelScheme),
            found=str(name),
        )
    return LabelScheme(name)


def write_label_map(
    path: Path,
    labels: LabelMap,
    geometry: Geometry,
    *,
    overwrite: bool = True,
    remarks: Mapping[str, Any] | None = None,
) -> None:
    """Write a label map whose scheme is stated in its header and in a JSON file beside it.

    Args:
        path: Ends in ``.nii`` or ``.nii.gz``.
        labels: In the file's axis order, of shape ``geometry.shape``.
        geometry: The grid, usually that of the scan the labels belong to.
        overwrite: False refuses to replace either file.
        remarks: What else the JSON file shall say; plain values.

    Raises:
        InputError: A file cannot be written or must not be replaced.
    """
    sidecar = sidecar_of(path)
    if not overwrite and sidecar.exists():
        raise InputError(
            f"{sidecar} already exists.",
            hint="choose another output, or leave out --no-clobber to replace it",
        )
    head = header_bytes(
        geometry,
        labels.array.dtype,
        intent=(labels.scheme.value, LABEL_INTENT),
        description=_WRITTEN_BY,
        companion=sidecar.name,
    )
    write_file(path, head, [labels.array], overwrite=overwrite)
    note = {
        "label_scheme": labels.scheme.value,
        "labels": {str(value): tissue.value for value, tissue in labels.scheme.tissues.items()},
        "note": "written by minicube; research use only, not a medical device",
        **(remarks or {}),
    }
    write_json(sidecar, note)


def _outside(path: Path, scheme: LabelScheme, found: str) -> InputError:
    hint = "name the scheme of this file with --labels (evaluate: --reference-labels)"
    if scheme is LabelScheme.BRATS2023:
        hint += "; post-treatment scans of BraTS 2024 are brats2024"
    return InputError(
        f"{path} holds label values that the scheme {scheme.value} does not have.",
        expected=f"0 and {scheme.legend()}",
        found=found,
        hint=hint,
    )
