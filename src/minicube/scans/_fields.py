"""The fields of NIfTI-1 and NIfTI-2 headers, and the two ways in which they give a place.

Reference: https://nifti.nimh.nih.gov/nifti-1/documentation/nifti1fields and
https://nifti.nimh.nih.gov/nifti-2, whose names these are.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["LAYOUTS", "affine_of", "empty_fields", "fields_of", "set_quaternion_form"]

_PLACE: Final = {
    **{f"quatern_{axis}": "f" for axis in "bcd"},
    **{f"qoffset_{axis}": "f" for axis in "xyz"},
    **{f"srow_{axis}": "4f" for axis in "xyz"},
}
_FIRST: Final = {
    **{"sizeof_hdr": "i4", "data_type": "S10", "db_name": "S18", "extents": "i4"},
    **{"session_error": "i2", "regular": "S1", "dim_info": "u1", "dim": "8i2"},
    **{"intent_p1": "f4", "intent_p2": "f4", "intent_p3": "f4", "intent_code": "i2"},
    **{"datatype": "i2", "bitpix": "i2", "slice_start": "i2", "pixdim": "8f4"},
    **{"vox_offset": "f4", "scl_slope": "f4", "scl_inter": "f4", "slice_end": "i2"},
    **{"slice_code": "u1", "xyzt_units": "u1", "cal_max": "f4", "cal_min": "f4"},
    **{"slice_duration": "f4", "toffset": "f4", "glmax": "i4", "glmin": "i4"},
    **{"descrip": "S80", "aux_file": "S24", "qform_code": "i2", "sform_code": "i2"},
    **{name: f"{kind}4" for name, kind in _PLACE.items()},
    **{"intent_name": "S16", "magic": "S4"},
}
_SECOND: Final = {
    **{"sizeof_hdr": "i4", "magic": "S8", "datatype": "i2", "bitpix": "i2", "dim": "8i8"},
    **{"intent_p1": "f8", "intent_p2": "f8", "intent_p3": "f8", "pixdim": "8f8"},
    **{"vox_offset": "i8", "scl_slope": "f8", "scl_inter": "f8", "cal_max": "f8"},
    **{"cal_min": "f8", "slice_duration": "f8", "toffset": "f8", "slice_start": "i8"},
    **{"slice_end": "i8", "descrip": "S80", "aux_file": "S24", "qform_code": "i4"},
    **{"sform_code": "i4"},
    **{name: f"{kind}8" for name, kind in _PLACE.items()},
    **{"slice_code": "i4", "xyzt_units": "i4", "intent_code": "i4", "intent_name": "S16"},
    **{"dim_info": "u1", "unused_str": "S15"},
}
LAYOUTS: Final = {348: np.dtype(list(_FIRST.items())), 540: np.dtype(list(_SECOND.items()))}
"""By the length of the header, little-endian."""

_ROUNDED: Final = {348: 3 * 2.0**-23, 540: 3 * 2.0**-52}
"""How far above 1 the squares of b, c, d may come by rounding."""


def fields_of(raw: bytes, size: int, order: str) -> NDArray[Any]:
    """Fields of a header, ``()`` structured.

    Args:
        raw: At least ``size`` bytes.
        size: 348 or 540.
        order: ``<`` or ``>``.
    """
    dtype: np.dtype[Any] = LAYOUTS[size].newbyteorder(order)  # type: ignore[arg-type]
    return np.ndarray((), dtype, bytearray(raw[:size]))


def empty_fields(size: int) -> NDArray[Any]:
    """Fields of a header of this size that says nothing yet."""
    fields: NDArray[Any] = np.zeros((), LAYOUTS[size])
    fields["sizeof_hdr"], fields["pixdim"] = size, 1
    fields["dim"][1:] = 1
    return fields


def affine_of(fields: NDArray[Any]) -> NDArray[np.float64]:
    """Voxel index to scanner coordinates, mm, ``(4, 4)``: by affine, by quaternion, or by size.

    Without either form voxel axes are taken to point left, anterior and superior, and the
    volume's middle to be the origin, as in Analyze files.

    Raises:
        ValueError: The quaternion form is none.
    """
    affine = np.eye(4)
    if fields["sform_code"] > 0:
        affine[:3] = [fields[f"srow_{axis}"] for axis in "xyz"]
        return affine
    spacing = fields["pixdim"][1:4].astype(np.float64)
    if fields["qform_code"] > 0:
        handed = float(fields["pixdim"][0]) or 1.0  # the standard reads 0 as 1
        if handed not in (-1.0, 1.0) or (spacing < 0).any():
            raise ValueError(f"pixdim {fields['pixdim'][:4]}")
        affine[:3, :3] = _rotation(fields) * spacing * (1, 1, handed)
        affine[:3, 3] = [fields[f"qoffset_{axis}"] for axis in "xyz"]
        return affine
    directed = spacing * (-1, 1, 1)
    affine[:3, :3] = np.diag(directed)
    affine[:3, 3] = -directed * (fields["dim"][1:4] - 1) / 2
    return affine


def _rotation(fields: NDArray[Any]) -> NDArray[np.float64]:
    """The rotation of a quaternion whose real part is not stored."""
    b, c, d = (float(fields[f"quatern_{axis}"]) for axis in "bcd")
    squared = 1 - (b * b + c * c + d * d)
    rounded = _ROUNDED[fields.dtype.itemsize]
    if squared < -rounded:
        raise ValueError(f"a quaternion of {b:g}, {c:g}, {d:g}")
    a = 0.0 if squared < rounded else squared**0.5
    # Of a quaternion of length 1; rounding of what was stored is divided out.
    s = 2 / (a * a + b * b + c * c + d * d)
    return np.array(
        [
            [1 - s * (c * c + d * d), s * (b * c - a * d), s * (b * d + a * c)],
            [s * (b * c + a * d), 1 - s * (b * b + d * d), s * (c * d - a * b)],
            [s * (b * d - a * c), s * (c * d + a * b), 1 - s * (b * b + c * c)],
        ]
    )


def set_quaternion_form(fields: NDArray[Any], affine: NDArray[np.float64]) -> None:
    """Write an affine ``(4, 4)`` as spacing, the nearest rotation, and offset.

    Reference: Bar-Itzhack, J. Guid. Control Dyn. 23 (2000) 1085–1087, for the quaternion.
    """
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    turned = affine[:3, :3] / spacing
    handed = 1.0 if np.linalg.det(turned) > 0 else -1.0
    turned[:, 2] *= handed
    left, _, right = np.linalg.svd(turned)
    r = left @ right
    k = np.array(
        [
            [r[0, 0] - r[1, 1] - r[2, 2], 0, 0, 0],
            [r[1, 0] + r[0, 1], r[1, 1] - r[0, 0] - r[2, 2], 0, 0],
            [r[2, 0] + r[0, 2], r[2, 1] + r[1, 2], r[2, 2] - r[0, 0] - r[1, 1], 0],
            [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], np.trace(r)],
        ]
    )
    b, c, d, a = np.linalg.eigh(k, UPLO="L")[1][:, -1]
    sign = -1.0 if a < 0 else 1.0
    fields["pixdim"][:4] = [handed, *spacing]
    for name, value in zip("bcd", (b, c, d), strict=True):
        fields[f"quatern_{name}"] = sign * value
    for name, value in zip("xyz", affine[:3, 3], strict=True):
        fields[f"qoffset_{name}"] = value
