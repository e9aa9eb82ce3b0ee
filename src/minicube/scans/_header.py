"""The header of a NIfTI file: read from its bytes, believed only after it was checked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from minicube._errors import InputError
from minicube.scans._fields import (
    LAYOUTS,
    affine_of,
    empty_fields,
    fields_of,
    set_quaternion_form,
)
from minicube.scans.geometry import Geometry, StoredForm

__all__ = ["LABEL_INTENT", "MAX_VOXELS", "Header", "header_bytes", "header_size", "parse_header"]

MAX_VOXELS: Final = 100_000_000
"""Of one volume: as many as 512 × 512 × 380. Four of them as float32 take 1.5 GB."""

LABEL_INTENT: Final = 1002  # NIFTI_INTENT_LABEL

_MAGIC: Final = {348: b"n+1\0", 540: b"n+2\0"}
_NUMBERS: Final = {
    **{2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8"},
    **{256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"},
}
_CODES: Final = {kind: code for code, kind in _NUMBERS.items()}
_MILLIMETRES: Final = 2
_NOT_NUMBERS: Final = {
    **dict.fromkeys((128, 2304), "colours, as in a screenshot"),
    **dict.fromkeys((32, 1792, 2048), "complex numbers, as before reconstruction"),
    **{1: "single bits", 1536: "128-bit numbers"},
}
_MAX_EXTENSION: Final = 1 << 24  # bytes between header and voxels
_SPACING_MM: Final = (0.1, 20.0)
_MAX_LITRES: Final = 100.0  # of the whole field of view; a head with neck has 30
_MAX_OFFSET_MM: Final = 10_000.0
_LARGEST_CODE: Final = 5


@dataclass(frozen=True, eq=False)
class Header:
    """What a NIfTI file says of itself, checked.

    Args:
        size: Bytes it takes.
        geometry: Of each volume.
        volumes: How many there are; 1 for a 3-D file.
        dtype: Of the voxels on disk, byte order included.
        offset: Bytes before the first voxel.
        slope: Stored values are multiplied by it …
        inter: … and this is added.
        intent: Name and code that say what the values mean.
        description: The free text.
    """

    size: int
    geometry: Geometry
    volumes: int
    dtype: np.dtype[Any]
    offset: int
    slope: float
    inter: float
    intent: tuple[str, int]
    description: str

    @property
    def voxels(self) -> int:
        """Of one volume."""
        return math.prod(self.geometry.shape)


def header_size(path: Path, start: bytes) -> int:
    """Return the length of the header that begins with ``start`` (at least four bytes).

    Raises:
        InputError: No NIfTI header begins so.
    """
    for order in ("little", "big"):
        size = int.from_bytes(start[:4], order)
        if size in LAYOUTS and len(start) >= 4:
            return size
    raise InputError(
        f"{path} is not a NIfTI file.",
        expected="a NIfTI scan (.nii or .nii.gz)",
        found=f"a file that begins with the bytes {start[:4].hex(' ')}" if start else "no data",
        hint="export the scan again, or convert it to NIfTI first",
    )


def parse_header(path: Path, raw: bytes) -> Header:
    """Read a NIfTI-1 or -2 header of either byte order.

    Args:
        path: For messages.
        raw: As many bytes as :func:`header_size` says.

    Raises:
        InputError: A field contradicts the format, or no scan of a head can have it.
    """
    size = header_size(path, raw)
    if len(raw) < size:
        raise _damaged(path, f"the file ends after {len(raw)} bytes, inside its header")
    order = "<" if int.from_bytes(raw[:4], "little") == size else ">"
    fields = fields_of(raw, size, order)
    if fields["magic"].tobytes() != _MAGIC[size][: fields["magic"].itemsize]:
        _check_magic(path, fields["magic"].tobytes(), _MAGIC[size])
    shape, volumes = _dimensions(path, fields)
    slope, inter = _scaling(path, fields)
    return Header(
        size=size,
        geometry=_geometry(path, fields, shape, version=1 if size == 348 else 2),
        volumes=volumes,
        dtype=_number_type(path, fields).newbyteorder(order),  # type: ignore[arg-type]
        offset=_offset(path, fields, size),
        slope=slope,
        inter=inter,
        intent=(_text(fields["intent_name"]), int(fields["intent_code"])),
        description=_text(fields["descrip"]),
    )


def header_bytes(
    geometry: Geometry,
    dtype: np.dtype[Any],
    volumes: int = 1,
    *,
    slope: float = 1,
    intent: tuple[str, int] = ("", 0),
    description: str = "minicube",
    companion: str = "",
) -> bytes:
    """Return header and padding of a single NIfTI file with this geometry.

    Args:
        geometry: Of each volume; what its file's header stored goes back as it was.
        dtype: Of the voxels, little-endian.
        volumes: 1 makes a 3-D file.
        slope: What a stored voxel is multiplied with when it is read.
        intent: Name, up to 15 letters, and NIfTI intent code.
        description: Free text, up to 79 letters.
        companion: Name of a file that belongs to this one, up to 23 letters.
    """
    stored = geometry.stored
    second = (stored is not None and stored.version == 2) or max(geometry.shape) > 32767
    size = 540 if second else 348
    fields = empty_fields(size)
    dims = geometry.shape if volumes == 1 else (*geometry.shape, volumes)
    fields["dim"][: len(dims) + 1] = len(dims), *dims
    fields["datatype"], fields["bitpix"] = _CODES[dtype.str[1:]], dtype.itemsize * 8
    fields["magic"], fields["vox_offset"] = _MAGIC[size].rstrip(b"\0"), size + 4
    if second:
        fields["magic"] = b"n+2\0\r\n\x1a\n"
    fields["scl_slope"], fields["scl_inter"] = slope, 0
    sform_code = geometry.sform_code
    if stored is None:
        set_quaternion_form(fields, geometry.affine)
        fields["xyzt_units"] = _MILLIMETRES
        # An affine that no code vouches for would be lost.
        sform_code = sform_code or int(geometry.qform_code == 0)
    else:
        fields["pixdim"][:4] = stored.pixdim
        for name, value in zip(("b", "c", "d"), stored.quaternion, strict=True):
            fields[f"quatern_{name}"] = value
        for name, value in zip(("x", "y", "z"), stored.offset, strict=True):
            fields[f"qoffset_{name}"] = value
        fields["xyzt_units"] = stored.units
    fields["qform_code"], fields["sform_code"] = geometry.qform_code, sform_code
    if sform_code:
        for name, row in zip(("x", "y", "z"), geometry.affine, strict=False):
            fields[f"srow_{name}"] = row
    fields["intent_name"], fields["intent_code"] = intent[0].encode(), intent[1]
    fields["descrip"] = description.encode()[:79]
    fields["aux_file"] = companion.encode()[:23]
    return fields.tobytes() + bytes(4)


def _check_magic(path: Path, magic: bytes, wanted: bytes) -> None:
    """NIfTI-2 has four bytes more, which catch line-end mangling; only the first four matter."""
    if magic[:4] == wanted:
        return
    if magic[:2] == b"ni":
        raise InputError(
            f"{path} is only half of a scan: its voxels lie in a second file (.img).",
            hint="convert the pair to a single .nii or .nii.gz file",
        )
    raise InputError(
        f"{path} is not a NIfTI file.",
        found=f"the mark {magic!r} where NIfTI has {wanted!r}; Analyze 7.5 files look like this",
        hint="export the scan again as NIfTI",
    )


def _dimensions(path: Path, fields: NDArray[Any]) -> tuple[tuple[int, int, int], int]:
    count, *dims = (int(n) for n in fields["dim"])
    if not 1 <= count <= 7:
        raise _damaged(path, f"{count} dimensions, where NIfTI has 1 to 7")
    dims = dims[:count]
    if min(dims) < 1:
        raise _damaged(path, f"a size of {' × '.join(map(str, dims))}, with a side below one voxel")
    if count < 3:
        raise InputError(
            f"{path} is a flat picture, not a volume.",
            expected="three dimensions, or four with the sequences in one file",
            found=" × ".join(map(str, dims)),
        )
    x, y, z, *more = dims
    if x * y * z > MAX_VOXELS:
        raise InputError(
            f"{path} says that it is far larger than a scan of a head.",
            expected=f"at most {MAX_VOXELS:,} voxels a volume",
            found=f"{x} × {y} × {z} = {x * y * z:,} voxels",
            hint="if the scan really is this large, resample it to about 1 mm first",
        )
    return (x, y, z), math.prod(more)


def _number_type(path: Path, fields: NDArray[Any]) -> np.dtype[Any]:
    code, bits = int(fields["datatype"]), int(fields["bitpix"])
    if code in _NOT_NUMBERS:
        raise InputError(
            f"{path} does not hold grey values.",
            expected="whole or decimal numbers",
            found=_NOT_NUMBERS[code],
            hint="export the magnitude image of the sequence itself",
        )
    if code not in _NUMBERS:
        raise _damaged(path, f"the number type {code}, which NIfTI does not have")
    dtype = np.dtype(_NUMBERS[code])
    if bits != dtype.itemsize * 8:
        raise _damaged(
            path, f"{bits} bits a voxel, but its number type has {dtype.itemsize * 8} bits"
        )
    return dtype


def _offset(path: Path, fields: NDArray[Any], size: int) -> int:
    offset = float(fields["vox_offset"])
    if not size + 4 <= offset <= size + _MAX_EXTENSION or offset != int(offset):
        raise _damaged(path, f"voxels said to begin at byte {offset:g}")
    return int(offset)


def _scaling(path: Path, fields: NDArray[Any]) -> tuple[float, float]:
    slope, inter = float(fields["scl_slope"]), float(fields["scl_inter"])
    if slope == 0 or math.isnan(slope):  # both mean: stored as they are
        return 1.0, 0.0
    if not (math.isfinite(slope) and math.isfinite(inter)):
        raise _damaged(path, f"an intensity scale of {slope:g} and an offset of {inter:g}")
    return slope, inter


def _geometry(
    path: Path, fields: NDArray[Any], shape: tuple[int, int, int], *, version: int
) -> Geometry:
    codes = int(fields["qform_code"]), int(fields["sform_code"])
    if not all(0 <= code <= _LARGEST_CODE for code in codes):
        raise _damaged(path, f"the coordinate codes {codes[0]} and {codes[1]}")
    stored = StoredForm(
        version=version,
        pixdim=tuple(float(v) for v in fields["pixdim"][:4]),
        quaternion=tuple(float(fields[f"quatern_{axis}"]) for axis in "bcd"),
        offset=tuple(float(fields[f"qoffset_{axis}"]) for axis in "xyz"),
        units=int(fields["xyzt_units"]),
    )
    try:
        with np.errstate(all="ignore"):
            affine = affine_of(fields)
    except ValueError as error:
        raise _bad_affine(path, "a rotation that is none", str(error)) from error
    _check_affine(path, affine, shape)
    return Geometry(shape, affine, *codes, stored=stored)


def _check_affine(path: Path, affine: NDArray[np.float64], shape: tuple[int, int, int]) -> None:
    rows = "; ".join(" ".join(f"{value:.4g}" for value in row) for row in affine[:3])
    if not np.isfinite(affine).all():
        raise _bad_affine(path, "numbers that are not finite", rows)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    small, large = _SPACING_MM
    if spacing.min() < small or spacing.max() > large:
        sizes = " × ".join(f"{mm:.3g}" for mm in spacing)
        raise _bad_affine(path, f"voxels of {sizes} mm (allowed: {small:g} to {large:g})", rows)
    volume = abs(float(np.linalg.det(affine[:3, :3])))
    if volume < 0.1 * float(spacing.prod()):
        raise _bad_affine(path, "axes that lie in one plane (a singular matrix)", rows)
    litres = volume * math.prod(shape) / 1e6
    if litres > _MAX_LITRES:
        raise _bad_affine(path, f"a field of view of {litres:.0f} litres", rows)
    if np.abs(affine[:3, 3]).max() > _MAX_OFFSET_MM:
        raise _bad_affine(path, "a place more than ten metres from the scanner's centre", rows)


def _bad_affine(path: Path, what: str, details: str) -> InputError:
    return InputError(
        f"{path} does not say where its voxels lie: its affine matrix has {what}.",
        expected="finite numbers that turn voxels into millimetres",
        found=details,
        hint="export the scan again, or repair its header",
    )


def _damaged(path: Path, what: str) -> InputError:
    return InputError(
        f"{path} has a damaged header.",
        found=what,
        hint="copy or export the file again",
    )


def _text(field: Any) -> str:
    return bytes(field.item()).split(b"\0")[0].decode("utf-8", "replace")
