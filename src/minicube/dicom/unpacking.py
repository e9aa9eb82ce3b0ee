"""A zip archive of a study, unpacked as if a stranger had sent it."""

from __future__ import annotations

import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from minicube._errors import InputError
from minicube.scans import MAGIC_END, is_dicom_start

__all__ = ["UnpackingLimits", "unpacked"]

_CHUNK: Final = 1 << 20
_PACKED: Final = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # LZMA takes memory as it likes
_BROKEN: Final = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,  # a way of packing that Python does not know
    RuntimeError,  # a password is asked for
    OSError,
    ValueError,
)


@dataclass(frozen=True)
class UnpackingLimits:
    """What an archive may hold.

    Args:
        files: Entries, folders included.
        size: Bytes of all DICOM files together, unpacked.
        ratio: How many times larger a file may become, once it is larger than a megabyte.
    """

    files: int = 50_000
    size: int = 8 << 30
    ratio: int = 200


@contextmanager
def unpacked(source: Path, limits: UnpackingLimits | None = None) -> Iterator[Path]:
    """Yield a folder of the study's files: ``source`` itself, or what was in the archive.

    Names in an archive are never used: files are numbered, in a temporary folder that goes
    afterwards. So no entry can name a place outside. Links are refused; what does not start as
    a DICOM file is not written.

    Args:
        source: A folder or a zip archive.
        limits: Of the archive; counted while it is unpacked, whatever it says of itself.

    Raises:
        InputError: The archive is damaged, packed with a password, holds a link, or is too large.
    """
    if source.is_dir():
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="minicube-dicom-") as folder:
        try:
            with zipfile.ZipFile(source) as archive:
                _unpack(archive, source, Path(folder), limits or UnpackingLimits())
        except _BROKEN as error:
            raise InputError(
                f"{source} cannot be unpacked.",
                expected="a zip archive that is whole and has no password",
                found=str(error),
            ) from error
        yield Path(folder)


def _unpack(archive: zipfile.ZipFile, source: Path, folder: Path, limits: UnpackingLimits) -> None:
    entries = archive.infolist()
    if len(entries) > limits.files:
        raise _too_much(source, f"{len(entries):,} entries", f"at most {limits.files:,}")
    left = limits.size
    for number, entry in enumerate(entries):
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise InputError(
                f"{source} holds a link.",
                expected="plain files",
                hint="pack the files themselves",
            )
        if entry.compress_type not in _PACKED:
            raise InputError(
                f"{source} is packed in an unusual way.",
                expected="a zip archive, stored or deflated",
            )
        if not entry.is_dir():
            with archive.open(entry) as packed:
                allowed = min(left, max(_CHUNK, entry.compress_size * limits.ratio))
                written = _write(packed, folder / f"{number:06d}.dcm", allowed)
            if written > allowed:
                raise _too_much(
                    source,
                    "a file that grows beyond all measure" if allowed < left else "more",
                    f"at most {limits.size >> 20:,} MB in all, and {limits.ratio} times its "
                    "packed size each",
                )
            left -= written


def _write(packed: IO[bytes], target: Path, allowed: int) -> int:
    """Unpack a DICOM file, no more than a chunk over what is allowed; returns bytes written."""
    start = packed.read(MAGIC_END)
    if not is_dicom_start(start):
        return 0
    written = len(start)
    with target.open("wb") as file:
        file.write(start)
        while written <= allowed and (piece := packed.read(_CHUNK)):
            file.write(piece)
            written += len(piece)
    return written


def _too_much(source: Path, found: str, expected: str) -> InputError:
    return InputError(f"{source} is too large to be a study.", expected=expected, found=found)
