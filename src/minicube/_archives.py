"""Zip archives, unpacked as if a stranger had sent them.

No entry names a place: whoever unpacks says where each file goes. What an entry really unpacks to
counts, not what the archive says of it.
"""

from __future__ import annotations

import errno
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Final

from minicube._errors import InputError

__all__ = ["HEAD", "ArchiveLimits", "ArchiveRefused", "Unpacked", "unpack"]

HEAD: Final = 1 << 20
"""Bytes of a file that are looked at before it is written; any file may have as many."""

_PACKED: Final = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # LZMA takes memory as it likes
_LAST_RECORDS: Final = (1 << 16) + 128  # the end of an archive, its comment included
_LONGEST_DIRECTORY: Final = 16 << 20
_END, _END_64 = b"PK\x05\x06", b"PK\x06\x06"
_IN_END_64: Final = 0xFFFFFFFF
_BROKEN: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,  # a way of packing that Python does not know
    RuntimeError,  # a password is asked for
    ValueError,
)


@dataclass(frozen=True)
class ArchiveLimits:
    """What an archive may hold.

    Args:
        files: How many files.
        size: Bytes of all that is read of them, unpacked.
        ratio: How many times larger than packed a file may be, once it is over a megabyte.
    """

    files: int = 50_000
    size: int = 8 << 30
    ratio: int = 200


class ArchiveRefused(InputError):
    """An archive that is not unpacked.

    Args:
        problem: What is wrong, in one plain sentence.
        found: What was there.
        too_large: Whether that is its size or the number of its files.
    """

    def __init__(self, problem: str, *, found: str = "", too_large: bool = False) -> None:
        hint = "pack the files of one study alone" if too_large else "pack them again, plainly"
        super().__init__(problem, found=found, hint=hint)
        self.too_large = too_large


@dataclass(frozen=True)
class Unpacked:
    """A file that came out of an archive.

    Args:
        name: As the archive has it, never to be used as a path.
        path: Where it was put.
    """

    name: str
    path: Path


def unpack(
    archive: Path,
    limits: ArchiveLimits,
    place: Callable[[str, bytes], Path | None],
    *,
    called: str,
) -> list[Unpacked]:
    """Unpack an archive; when that fails nothing of it is left.

    Folders are passed over, and so is what file managers leave behind.

    Args:
        archive: The zip file.
        limits: Of what it holds.
        place: Given a file's name and its first :data:`HEAD` bytes, says where it goes; None
            leaves it out.
        called: The archive, at the beginning of a message.

    Raises:
        ArchiveRefused: It is damaged, too large, or holds what is no plain file, or is packed
            with a password or in an unusual way.
        OSError: It cannot be read, or a file not be written.
    """
    try:
        _check_directory(archive, called)
        with zipfile.ZipFile(archive) as packed, ExitStack() as undo:
            entries = [entry for entry in packed.infolist() if _is_wanted(entry)]
            if len(entries) > limits.files:
                raise _too_large(called, f"{len(entries):,} files, over {limits.files:,}")
            left, found = limits.size, []
            for entry in entries:
                _check_entry(entry, called)
                allowed = min(left, max(HEAD, entry.compress_size * limits.ratio))
                with packed.open(entry) as source:
                    head = source.read(HEAD)
                    size, path = len(head), place(entry.filename, head)
                    if path is not None:
                        undo.callback(path.unlink, missing_ok=True)
                        size = _write(head, source, path, allowed)
                if size > allowed:
                    raise _too_large(
                        called, "more" if allowed == left else "a file packed far too well"
                    )
                left -= size
                if path is not None:
                    found.append(Unpacked(entry.filename, path))
            undo.pop_all()
            return found
    except _BROKEN as error:
        raise ArchiveRefused(f"{called} cannot be unpacked.", found=str(error)) from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # a place before its beginning, in a damaged one
            raise
        raise ArchiveRefused(f"{called} cannot be unpacked.", found="damage") from error


def _write(head: bytes, source: IO[bytes], path: Path, allowed: int) -> int:
    """Write a file whole or not at all; returns its bytes, or more than may be."""
    part = path.with_name(f".part-{path.name}")
    try:
        with part.open("wb") as target:
            size = target.write(head)
            while size <= allowed and (block := source.read(HEAD)):
                size += target.write(block)
        if size <= allowed:
            part.replace(path)
        return size
    finally:
        part.unlink(missing_ok=True)


def _check_directory(archive: Path, called: str) -> None:
    """What reads archives holds their whole list of contents, so it must be short."""
    with archive.open("rb") as file:
        file.seek(max(0, archive.stat().st_size - _LAST_RECORDS))
        end = file.read()
    lengths = [*_numbers(end, _END, 12, 4), *_numbers(end, _END_64, 40, 8)]
    if _END_64 in end:  # else the largest number says that the list is that long
        lengths = [length for length in lengths if length != _IN_END_64]
    if max(lengths, default=0) > _LONGEST_DIRECTORY:
        raise _too_large(called, "a list of files that is far too long")


def _numbers(end: bytes, signature: bytes, offset: int, size: int) -> list[int]:
    starts = [found.start() + offset for found in re.finditer(re.escape(signature), end)]
    return [int.from_bytes(end[start : start + size], "little") for start in starts]


def _is_wanted(entry: zipfile.ZipInfo) -> bool:
    parts = PurePosixPath(entry.filename).parts
    hidden = any(part.startswith(".") and part != ".." for part in parts)
    folder = entry.filename.endswith("/")  # is_dir() cannot take an empty name
    return not (folder or hidden or "__MACOSX" in parts)


def _check_entry(entry: zipfile.ZipInfo, called: str) -> None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise ArchiveRefused(f"{called} holds a link or another thing that is no plain file.")
    if entry.compress_type not in _PACKED:
        raise ArchiveRefused(f"{called} is packed in an unusual way.")


def _too_large(called: str, found: str) -> ArchiveRefused:
    return ArchiveRefused(f"{called} is too large to be a study.", found=found, too_large=True)
