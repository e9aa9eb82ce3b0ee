"""Files from outside: streamed to disk, counted, and never trusted with a name."""

from __future__ import annotations

import errno
import re
import secrets
import stat
import zipfile
import zlib
from collections.abc import AsyncIterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Final

from isal import igzip, isal_zlib

from minicube.planning import in_words
from minicube.scans import MAGIC_END, is_dicom_start
from minicube.server.jobs import Upload
from minicube.server.refusals import Refused
from minicube.server.settings import Allowance

__all__ = ["arriving", "cleaned_name", "receive", "take_back", "take_in"]

_BLOCK: Final = 1 << 20
_LONGEST_NAME: Final = 200
_ZIP: Final = b"PK\x03\x04"
_GZIP: Final = b"\x1f\x8b"
_HEADER_SIZES: Final = {348, 540}  # NIfTI-1 and -2, in the file's first four bytes
_PACKED: Final = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # LZMA takes memory as it likes
_LAST_RECORDS: Final = (1 << 16) + 64  # the end of an archive, its comment included
_LONGEST_DIRECTORY: Final = 16 << 20
_FREE_RATIO: Final = 1 << 20  # bytes that an archived file may have whatever its ratio


def cleaned_name(name: str) -> str:
    """A sender's name for a file, as it is shown: its end, printable, never a path of ours."""
    shown = "".join(c for c in name.replace("\\", "/").rsplit("/", 1)[-1] if c.isprintable())
    return shown[-_LONGEST_NAME:] or "file"


@contextmanager
def arriving(folder: Path) -> Iterator[Path]:
    """Yield a path for a file on its way in; what is left of it goes with the block.

    Raises:
        Refused: The disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".part-{secrets.token_hex(8)}"
    try:
        yield path
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Refused(507, "The server's disk is full.", hint="delete old jobs") from error
        raise
    finally:
        path.unlink(missing_ok=True)


async def receive(chunks: AsyncIterable[bytes], path: Path, most: int) -> int:
    """Write what comes in to a file; returns its bytes.

    Raises:
        Refused: More comes than may.
    """
    size = 0
    with path.open("wb") as file:
        async for chunk in chunks:
            size += len(chunk)
            if size > most:
                raise _too_large(most)
            file.write(chunk)
    if size == 0:
        raise Refused(400, "The file is empty.")
    return size


def take_in(arrived: Path, name: str, folder: Path, allowance: Allowance) -> list[Upload]:
    """Put a file, or those in an archive, into a folder under names of our own.

    Args:
        arrived: Where it was received; moved away unless it is an archive.
        name: As its sender has it.
        folder: To keep it in.
        allowance: What there is still room for.

    Raises:
        Refused: It is of no kind that can be used, or an archive that cannot be trusted.
    """
    with arrived.open("rb") as file:
        start = file.read(MAGIC_END)
    if start.startswith(_ZIP):
        return _unpack(arrived, folder, allowance)
    if allowance.files < 1:
        raise _too_many()
    ending = _ending(arrived, start)
    if ending is None:
        raise Refused(
            415,
            "This is no file that can be used.",
            found="DICOM, which this server does not read" if is_dicom_start(start) else "",
            hint="upload NIfTI files (.nii or .nii.gz), or a zip of them",
        )
    return [_settled(arrived, name, folder, ending)]


def take_back(folder: Path, taken: list[Upload]) -> None:
    """Delete what was taken in."""
    for upload in taken:
        (folder / upload.stored).unlink(missing_ok=True)


def _settled(path: Path, name: str, folder: Path, ending: str) -> Upload:
    stored = f"{secrets.token_hex(8)}{ending}"
    size = path.stat().st_size
    path.replace(folder / stored)
    return Upload(name=cleaned_name(name), stored=stored, size=size)


def _ending(path: Path, start: bytes) -> str | None:
    """``.nii`` or ``.nii.gz`` by what the file begins with; None when it is something else."""
    if not start.startswith(_GZIP):
        return ".nii" if _begins_nifti(start) else None
    try:
        with igzip.open(path, "rb") as stream:  # type: ignore[no-untyped-call]
            return ".nii.gz" if _begins_nifti(stream.read(4)) else None
    except (OSError, EOFError, isal_zlib.error):  # type: ignore[misc]  # isal has no stub for it
        return None


def _begins_nifti(start: bytes) -> bool:
    orders = ("little", "big")
    return any(int.from_bytes(start[:4], order) in _HEADER_SIZES for order in orders)  # type: ignore[arg-type]


def _unpack(archive: Path, folder: Path, allowance: Allowance) -> list[Upload]:
    _check_directory(archive)
    taken: list[Upload] = []
    try:
        with zipfile.ZipFile(archive) as packed:
            entries = [entry for entry in packed.infolist() if _is_wanted(entry)]
            if len(entries) > allowance.files:
                raise _too_many()
            left = allowance.total
            for entry in entries:
                _check_entry(entry)
                size, upload = _unpack_one(packed, entry, folder, left, allowance)
                left -= size  # of what is of no use, too: it had to be written to see
                if upload is not None:
                    taken.append(upload)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        take_back(folder, taken)
        raise Refused(
            422, "The zip file is damaged, or packed in a way that is not understood."
        ) from error
    except BaseException:
        take_back(folder, taken)
        raise
    if not taken:
        raise Refused(415, "Nothing in the zip file can be used.", hint="put NIfTI files into it")
    return taken


def _unpack_one(
    packed: zipfile.ZipFile,
    entry: zipfile.ZipInfo,
    folder: Path,
    left: int,
    allowance: Allowance,
) -> tuple[int, Upload | None]:
    """What an entry really unpacks to counts, not what the archive says of it."""
    most = min(left, max(_FREE_RATIO, entry.compress_size * allowance.ratio))
    with arriving(folder) as path:
        with packed.open(entry) as source, path.open("wb") as target:
            size = _copy(source, target, most)
        if size is None:
            if most == left:
                raise _too_large(allowance.total)
            raise Refused(413, "A file in the zip is packed far too well to be a scan.")
        with path.open("rb") as file:
            ending = _ending(path, file.read(MAGIC_END))
        return size, None if ending is None else _settled(path, entry.filename, folder, ending)


def _copy(source: IO[bytes], target: IO[bytes], most: int) -> int | None:
    """Copy up to ``most`` bytes; None when there are more."""
    size = 0
    while block := source.read(_BLOCK):
        size += len(block)
        if size > most:
            return None
        target.write(block)
    return size


def _check_directory(archive: Path) -> None:
    """What reads archives holds their whole list of contents, so it must be short."""
    with archive.open("rb") as file:
        file.seek(max(0, archive.stat().st_size - _LAST_RECORDS))
        end = file.read()
    lengths = [
        int.from_bytes(end[found.start() + 12 : found.start() + 16], "little")
        for found in re.finditer(b"PK\x05\x06", end)
    ]
    if max(lengths, default=0) > _LONGEST_DIRECTORY or b"PK\x06\x07" in end:
        raise _too_many()


def _is_wanted(entry: zipfile.ZipInfo) -> bool:
    """No folders, and not what file managers leave behind."""
    parts = PurePosixPath(entry.filename).parts
    hidden = any(part.startswith(".") and part != ".." for part in parts)
    return not (entry.is_dir() or hidden or "__MACOSX" in parts)


def _check_entry(entry: zipfile.ZipInfo) -> None:
    name = entry.filename.replace("\\", "/")
    if name.startswith("/") or ".." in name.split("/") or ":" in name.split("/")[0]:
        raise Refused(422, "The zip file holds a name that leads out of its folder.")
    mode = entry.external_attr >> 16
    if mode and not stat.S_ISREG(mode) and stat.S_IFMT(mode):
        raise Refused(422, "The zip file holds a link or another thing that is no plain file.")
    if entry.flag_bits & 1:
        raise Refused(422, "The zip file asks for a password.", hint="pack it without one")
    if entry.compress_type not in _PACKED:
        raise Refused(422, "The zip file is packed in an unusual way.", hint="pack it plainly")


def _too_large(most: int) -> Refused:
    return Refused(
        413,
        "This is more than a job may hold.",
        found=f"over {in_words(max(most, 0))}",
        hint="upload only the four scans of one case",
    )


def _too_many() -> Refused:
    return Refused(413, "These are more files than a job may hold.")
