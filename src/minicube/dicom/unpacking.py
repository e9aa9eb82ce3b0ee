"""A study in a folder or in a zip archive."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from minicube._archives import ArchiveLimits, unpack
from minicube._errors import InputError
from minicube.scans import is_dicom_start

__all__ = ["unpacked"]


@contextmanager
def unpacked(source: Path, limits: ArchiveLimits | None = None) -> Iterator[Path]:
    """Yield a folder of the study's files: ``source`` itself, or what was in the archive.

    Names in an archive are never used: files are numbered, in a temporary folder that goes
    afterwards. What does not start as a DICOM file is not written.

    Args:
        source: A folder or a zip archive.
        limits: Of the archive.

    Raises:
        InputError: There is no such file, or the archive is refused; see
            :func:`minicube._archives.unpack`.
    """
    if not source.exists():
        raise InputError(f"{source} does not exist.")
    if source.is_dir():
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="minicube-dicom-") as folder:
        numbers = count()

        def place(_: str, head: bytes) -> Path | None:
            path = Path(folder) / f"{next(numbers):06d}.dcm"
            return path if is_dicom_start(head) else None

        try:
            unpack(source, limits or ArchiveLimits(), place, called=str(source))
        except OSError as error:
            raise InputError(f"{source} cannot be unpacked.", found=str(error)) from error
        yield Path(folder)
