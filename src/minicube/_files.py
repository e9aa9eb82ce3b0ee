"""Files are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from minicube._errors import InputError

__all__ = [
    "checksum",
    "filling",
    "locked",
    "make_folder",
    "read_json",
    "read_toml",
    "replacing",
    "sweep",
    "write_json",
    "write_text",
]

_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


@contextlib.contextmanager
def replacing(path: Path, *, overwrite: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that replaces it when the block succeeds.

    Args:
        path: The file to write. Its folder is made when missing.
        overwrite: False refuses to replace an existing file.

    Raises:
        InputError: The file exists and must not be replaced, its folder cannot be written to,
            or the disk is full.
    """
    if not overwrite and path.exists():
        raise InputError(
            f"{path} already exists.",
            hint="choose another output, or leave out --no-clobber to replace it",
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The full name comes last: writers choose the format by its ending.
        handle, name = tempfile.mkstemp(prefix=".part-", suffix=f"-{path.name}", dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise _cannot_write(path, error) from error
    temporary = Path(name)
    try:
        with _room_for(path):
            yield temporary
        _give_usual_permissions(temporary)
        try:
            _sync(temporary)
            temporary.replace(path)
        except OSError as error:
            raise _cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def filling(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``folder`` that takes its place when the block succeeds.

    Args:
        folder: To be made; may be there as long as nothing is in it.

    Raises:
        InputError: There is something in it, the place cannot be written to, or the disk is full.
    """
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(
                f"{folder} already exists.", hint="choose a folder that is new, or empty"
            )
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".part-", dir=folder.parent))
    except OSError as error:
        raise _cannot_write(folder, error) from error
    try:
        with _room_for(folder):
            yield temporary
        try:
            if folder.exists():
                folder.rmdir()
            _give_usual_permissions(temporary, 0o777)
            temporary.rename(folder)
        except OSError as error:
            raise _cannot_write(folder, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder; the lock goes when its owner does, however it ends.

    Raises:
        InputError: Another process is at work in the folder, or it cannot be written to.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".lock", blocking=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise InputError(
            f"Another process is at work in {folder}.", hint="wait for it, or stop it"
        ) from error
    except OSError as error:
        raise _cannot_write(folder, error) from error
    try:  # what goes wrong in the block is another matter
        yield
    finally:
        lock.release()


def sweep(folder: Path) -> None:
    """Remove what a killed process had begun to write in a folder that is :func:`locked`."""
    for left in [*folder.rglob(".part-*")]:
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def write_text(path: Path, text: str, *, overwrite: bool = True) -> None:
    """Write ``text`` as UTF-8 with plain line ends, whole or not at all."""
    with replacing(path, overwrite=overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any, *, overwrite: bool = True) -> None:
    """Write ``value`` as indented JSON; a NaN in it is an error, never a token."""
    text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False)
    write_text(path, text + "\n", overwrite=overwrite)


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: The file is missing, unreadable or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a readable JSON file.", found=str(error)) from error


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        InputError: The file is missing, unreadable or not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a readable TOML file.", found=str(error)) from error


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where they are missing.

    Raises:
        InputError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(folder, error) from error


def checksum(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal.

    Raises:
        InputError: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read.", found=error.strerror or str(error)) from error


@contextlib.contextmanager
def _room_for(path: Path) -> Iterator[None]:
    """Say in plain words that a disk is full; other faults of the block are not looked at."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise _cannot_write(path, error) from error
        raise


def _sync(path: Path) -> None:
    """Have the contents on the disk before the name: after a power cut the file is whole."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _give_usual_permissions(path: Path, most: int = 0o666) -> None:
    """Undo mkstemp's owner-only mode: an output is an ordinary file."""
    if os.name == "posix":
        mask = os.umask(0)
        os.umask(mask)
        path.chmod(most & ~mask)


def _cannot_write(path: Path, error: OSError) -> InputError:
    return InputError(
        f"{path} cannot be written.",
        found=error.strerror or str(error),
        hint="choose an output folder that exists, is yours to write to, and has space",
    )
