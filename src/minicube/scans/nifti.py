"""NIfTI files: volumes in, and out again on the same grid."""

from __future__ import annotations

import contextlib
import gzip
import zlib
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import numpy as np
from isal import igzip, isal_zlib
from numpy.typing import NDArray

from minicube._errors import InputError
from minicube._files import replacing
from minicube.scans._header import Header, header_bytes, header_size, parse_header
from minicube.scans.geometry import Geometry

__all__ = [
    "check_volumes",
    "read_as",
    "read_header",
    "read_slabs",
    "read_volume",
    "read_volumes_4d",
    "sidecar_of",
    "stem_of",
    "write_file",
    "write_volume",
    "write_volumes_4d",
]

_ENDINGS: Final = (".nii.gz", ".nii")
_CHUNK: Final = 1 << 18  # voxels converted at a time: they stay in the processor's cache
_PACKING: Final = 2  # igzip's 3 takes five to fifteen times as long, and its files are larger

Convert = Callable[[Header, NDArray[Any]], NDArray[Any]]


def read_header(path: Path) -> Header:
    """Read and check the header alone.

    Raises:
        InputError: The file is missing, unreadable, or its header is damaged.
    """
    with _opened(path) as stream:
        return _header_of(path, stream)


def read_volume(path: Path) -> tuple[NDArray[np.float32], Geometry]:
    """Read a 3-D scan.

    Args:
        path: NIfTI-1 or -2, gzipped or not, of either byte order.

    Returns:
        Intensities in the file's axis order, scaled as its header says, and its grid.

    Raises:
        InputError: The file cannot be read, is damaged, or is not one 3-D volume.
    """
    volumes, geometry = read_volumes_4d(path, 1)
    return volumes[0], geometry


def read_volumes_4d(path: Path, count: int) -> tuple[list[NDArray[np.float32]], Geometry]:
    """Read a file that holds ``count`` volumes.

    Args:
        path: As for :func:`read_volume`.
        count: Volumes that must be in it.

    Returns:
        The volumes, each in the file's axis order, and their grid.

    Raises:
        InputError: The file cannot be read, is damaged, or holds another number of volumes.
    """

    arrays, header = read_as(path, count, np.dtype(np.float32), _to_intensities)
    return arrays, header.geometry


def read_slabs(
    path: Path, count: int = 1, wanted: Container[int] = (0,)
) -> Iterator[tuple[int, int, NDArray[np.float32]]]:
    """Read volumes of a file a few slices at a time; no more than one slab is held.

    Args:
        path: As for :func:`read_volume`.
        count: Volumes that must be in it.
        wanted: Which of them, from 0.

    Yields:
        A volume, the first slice of a slab along its last axis, and the slab in the file's axis
        order; what :func:`read_volumes_4d` gives, in pieces.

    Raises:
        InputError: As for :func:`read_volumes_4d`.
    """
    with _opened(path) as stream:
        header = _header_with(path, stream, count)
        x, y, z = header.geometry.shape
        for volume in range(count):
            thickness = max(1, _CHUNK // (x * y))
            for start in range(0, z, thickness):
                raw = np.empty(x * y * min(thickness, z - start), header.dtype)
                _fill(path, stream, raw.view(np.uint8).data)
                if volume in wanted:
                    slab = _to_intensities(header, raw)
                    yield volume, start, slab.reshape((x, y, -1), order="F")
        _check_at_end(path, stream)


def _to_intensities(header: Header, raw: NDArray[Any]) -> NDArray[np.float32]:
    # Values too large for 32 bits become infinite and are complained about as such.
    with np.errstate(over="ignore", invalid="ignore"):
        if header.slope == 1 and header.inter == 0:
            return raw.astype(np.float32)
        return (raw * np.float64(header.slope) + header.inter).astype(np.float32)


def write_volume(
    path: Path, array: NDArray[np.float32], geometry: Geometry, *, overwrite: bool = True
) -> None:
    """Write a 3-D scan: as whole numbers when it holds nothing else, else as float32.

    Args:
        path: Ends in ``.nii`` or ``.nii.gz``.
        array: Intensities in the file's axis order, of shape ``geometry.shape``.
        geometry: The grid.
        overwrite: False refuses to replace an existing file.

    Raises:
        InputError: The file cannot be written or must not be replaced.
    """
    write_volumes_4d(path, [array], geometry, overwrite=overwrite)


def write_volumes_4d(
    path: Path, arrays: list[NDArray[np.float32]], geometry: Geometry, *, overwrite: bool = True
) -> None:
    """Write several volumes of one grid into one 4-D file (one volume: 3-D).

    Args:
        path: Ends in ``.nii`` or ``.nii.gz``.
        arrays: In the order they shall have, each as for :func:`write_volume`.
        geometry: The grid of all.
        overwrite: False refuses to replace an existing file.

    Raises:
        InputError: The file cannot be written or must not be replaced.
    """
    dtype = np.result_type(*(_smallest_type(array) for array in arrays))
    head = header_bytes(geometry, dtype, len(arrays))
    write_file(path, head, [array.astype(dtype) for array in arrays], overwrite=overwrite)


def stem_of(path: Path) -> str:
    """The file's name without ``.nii`` or ``.nii.gz``."""
    return path.name.removesuffix(".gz").removesuffix(".nii")


def sidecar_of(path: Path) -> Path:
    """The JSON file beside a NIfTI file."""
    return path.with_name(f"{stem_of(path)}.json")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file, unpacked when it is packed, whatever its name says."""
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing there"
        raise InputError(f"{path} is not a file.", found=found)
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if not packed:
                yield raw
                return
            with igzip.IGzipFile(fileobj=raw, mode="rb") as stream:  # type: ignore[no-untyped-call]
                yield cast(BinaryIO, stream)
    except EOFError as error:
        raise InputError(
            f"{path} breaks off: the compressed file is not whole.",
            hint="copy or download it again",
        ) from error
    except (isal_zlib.error, zlib.error, gzip.BadGzipFile) as error:  # type: ignore[misc]  # isal has no stub for it
        raise InputError(
            f"{path} is damaged: it cannot be unpacked (gzip).",
            found=str(error),
            hint="copy or download it again",
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read.", found=error.strerror or str(error)) from error


def _header_of(path: Path, stream: BinaryIO) -> Header:
    start = stream.read(4)
    return parse_header(path, start + stream.read(header_size(path, start) - len(start)))


def read_as(
    path: Path,
    count: int,
    dtype: np.dtype[Any],
    convert: Convert,
) -> tuple[list[NDArray[Any]], Header]:
    """Read, convert and check as many volumes as the file must have.

    Args:
        path: As for :func:`read_volume`.
        count: Volumes that must be in it.
        dtype: Of what ``convert`` gives.
        convert: Takes the header and raw values ``(n,)``, some at a time.

    Returns:
        The volumes, each in the file's axis order, and the header.

    Raises:
        InputError: As for :func:`read_volumes_4d`, or from ``convert``.
    """
    with _opened(path) as stream:
        header = _header_with(path, stream, count)
        arrays = []
        for _ in range(count):
            flat = np.empty(header.voxels, dtype)
            _read_volume_into(path, stream, header, flat, convert)
            arrays.append(flat.reshape(header.geometry.shape, order="F"))
        _check_at_end(path, stream)
    return arrays, header


def _header_with(path: Path, stream: BinaryIO, count: int) -> Header:
    """The header of a file of so many volumes; the stream stands where the first begins."""
    header = _header_of(path, stream)
    check_volumes(path, header, count)
    _fill(path, stream, memoryview(bytearray(header.offset - header.size)))
    return header


def check_volumes(path: Path, header: Header, count: int) -> None:
    """Refuse a file that does not hold so many volumes.

    Raises:
        InputError: It holds more, or fewer.
    """
    if header.volumes != count:
        raise InputError(
            f"{path} does not hold the number of volumes it should.",
            expected="one 3-D volume" if count == 1 else f"{count} volumes, one a sequence",
            found=f"{header.volumes} volume" + "s" * (header.volumes != 1),
            hint="give a folder with one file a sequence, or a 4-D file with all of them",
        )


def _check_at_end(path: Path, stream: BinaryIO) -> None:
    if stream.read(1):
        raise InputError(
            f"{path} holds more data than its header declares.",
            hint="header and voxels do not belong together: export the scan again",
        )


def _read_volume_into(
    path: Path,
    stream: BinaryIO,
    header: Header,
    flat: NDArray[Any],
    convert: Convert,
) -> None:
    raw = np.empty(min(_CHUNK, header.voxels), header.dtype)
    for start in range(0, header.voxels, _CHUNK):
        part = raw[: min(_CHUNK, header.voxels - start)]
        _fill(path, stream, part.view(np.uint8).data)
        flat[start : start + len(part)] = convert(header, part)


def _fill(path: Path, stream: BinaryIO, buffer: memoryview) -> None:
    """Read until the buffer is full."""
    position = 0
    while position < len(buffer):
        got = stream.readinto(buffer[position:])  # type: ignore[attr-defined]
        if not got:
            raise InputError(
                f"{path} breaks off: it holds fewer voxels than its header declares.",
                hint="copy or export the file again",
            )
        position += got


def _smallest_type(array: NDArray[np.float32]) -> np.dtype[Any]:
    with np.errstate(invalid="ignore"):
        whole = bool((array == np.rint(array)).all()) and bool(np.isfinite(array).all())
    if whole:
        low, high = float(array.min()), float(array.max())
        for name in ("<i2", "<i4"):
            limits = np.iinfo(name)
            if limits.min <= low and high <= limits.max:
                return np.dtype(name)
    return np.dtype("<f4")


def write_file(path: Path, head: bytes, arrays: list[NDArray[Any]], *, overwrite: bool) -> None:
    """Write a header and what it announces, packed when the name says so."""
    if not path.name.endswith(_ENDINGS):
        raise InputError(
            f"{path} is no name for a NIfTI file.", expected="a name that ends in .nii.gz or .nii"
        )
    data = b"".join([head, *(array.tobytes(order="F") for array in arrays)])
    if path.name.endswith(".gz"):
        # No time and no name inside: equal content gives equal files.
        data = igzip.compress(data, _PACKING, mtime=0)
    with replacing(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(data)
