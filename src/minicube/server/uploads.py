"""Files from outside: streamed to disk, counted, and never trusted with a name."""

from __future__ import annotations

import errno
import io
import secrets
from collections.abc import AsyncIterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from isal import igzip, isal_zlib

from minicube._archives import HEAD, ArchiveLimits, ArchiveRefused, unpack
from minicube.planning import in_words
from minicube.scans import is_dicom_start, require_dicom
from minicube.server.jobs import DICOM, Upload
from minicube.server.refusals import Refused
from minicube.server.settings import Allowance

__all__ = ["arriving", "cleaned_name", "receive", "take_back", "take_in"]

_LONGEST_NAME: Final = 200
_ZIP: Final = b"PK\x03\x04"
_GZIP: Final = b"\x1f\x8b"
_DICOM_ENDING: Final = ".dcm"
_HEADER_SIZES: Final = {348, 540}  # NIfTI-1 and -2, in the file's first four bytes


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
        MissingExtra: It is DICOM, and what reads that is not installed.
    """
    with arrived.open("rb") as file:
        start = file.read(HEAD)
    if start.startswith(_ZIP):
        return _unpack(arrived, folder, allowance)
    if allowance.files < 1:
        raise _too_many()
    ending = _ending(start)
    if ending is None:
        raise Refused(
            415,
            "This is no file that can be used.",
            hint="upload a DICOM study, NIfTI files (.nii or .nii.gz), or a zip of either",
        )
    kept = arrived.replace(_own_place(folder, ending))
    return [_described(folder, kept, name)]


def take_back(folder: Path, taken: list[Upload]) -> None:
    """Delete what was taken in."""
    for upload in taken:
        (folder / upload.stored).unlink(missing_ok=True)


def _own_place(folder: Path, ending: str) -> Path:
    name = f"{secrets.token_hex(8)}{ending}"
    if ending != _DICOM_ENDING:
        return folder / name
    (folder / DICOM).mkdir(exist_ok=True)
    return folder / DICOM / name


def _described(folder: Path, path: Path, name: str) -> Upload:
    stored = path.relative_to(folder).as_posix()
    return Upload(name=cleaned_name(name), stored=stored, size=path.stat().st_size)


def _ending(head: bytes) -> str | None:
    """By what a file begins with, not by its name; None when it cannot be used."""
    if is_dicom_start(head):
        require_dicom()
        return _DICOM_ENDING
    if not head.startswith(_GZIP):
        return ".nii" if _begins_nifti(head) else None
    try:
        with igzip.open(io.BytesIO(head), "rb") as stream:  # type: ignore[no-untyped-call]
            return ".nii.gz" if _begins_nifti(stream.read(4)) else None
    except (OSError, EOFError, isal_zlib.error):  # type: ignore[misc]  # isal has no stub for it
        return None


def _begins_nifti(start: bytes) -> bool:
    orders = ("little", "big")
    return any(int.from_bytes(start[:4], order) in _HEADER_SIZES for order in orders)  # type: ignore[arg-type]


def _unpack(archive: Path, folder: Path, allowance: Allowance) -> list[Upload]:
    def place(name: str, head: bytes) -> Path | None:
        _check_name(name)
        ending = _ending(head)
        return None if ending is None else _own_place(folder, ending)

    limits = ArchiveLimits(allowance.files, allowance.total, allowance.ratio)
    try:
        taken = unpack(archive, limits, place, called="The zip file")
    except ArchiveRefused as error:
        status = 413 if error.too_large else 422
        raise Refused(status, error.problem, found=error.found, hint=error.hint) from error
    if not taken:
        raise Refused(
            415,
            "Nothing in the zip file can be used.",
            hint="put a DICOM study or NIfTI files into it",
        )
    return [_described(folder, one.path, one.name) for one in taken]


def _check_name(name: str) -> None:
    """No name is used as a path; one that leads elsewhere was not made in good faith."""
    parts = name.replace("\\", "/").split("/")
    if not parts[0] or ".." in parts or ":" in parts[0]:
        raise Refused(422, "The zip file holds a name that leads out of its folder.")


def _too_large(most: int) -> Refused:
    return Refused(
        413,
        "This is more than a job may hold.",
        found=f"over {in_words(max(most, 0))}",
        hint="upload only the four scans of one case",
    )


def _too_many() -> Refused:
    return Refused(413, "These are more files than a job may hold.")
