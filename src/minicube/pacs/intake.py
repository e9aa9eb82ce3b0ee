"""Where an archive's objects go: counted, numbered, and none but those asked for."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from minicube._errors import InputError
from minicube.pacs.archive import Broken
from minicube.pacs.objects import identifiers_of

__all__ = ["Intake", "IntakeLimits", "too_much"]

_MOST_OTHERS: Final = 1000  # that were not announced; a study may grow while it is fetched


@dataclass(frozen=True)
class IntakeLimits:
    """How much is taken of one study.

    Args:
        object: Bytes of one object.
        total: Bytes of all that is sent.
    """

    object: int = 512 << 20
    total: int = 8 << 30


class Intake:
    """Takes the objects of one study into a folder.

    Files are numbered as they come: nothing that an archive says becomes a name. What belongs to
    the study but was not announced, and what comes twice, is left out.

    Args:
        folder: There, and empty.
        study: StudyInstanceUID that was asked for.
        announced: SOPInstanceUIDs of what was asked for.
        limits: Of bytes.
    """

    def __init__(
        self,
        folder: Path,
        study: str,
        announced: Collection[str],
        limits: IntakeLimits | None = None,
    ) -> None:
        self.limits = limits or IntakeLimits()
        self.left_out = 0
        self._folder, self._study = folder, study
        self._missing = set(announced)
        self._taken: set[str] = set()
        self._bytes = 0
        self._lock = threading.Lock()  # an archive may send on several connections at once

    @property
    def taken(self) -> int:
        """How many objects are in the folder."""
        return len(self._taken)

    def take(self, chunks: Iterable[bytes]) -> None:
        """Write one object as it comes, preamble and all.

        Raises:
            Broken: It is too large, is damaged, or belongs to another study.
            InputError: It cannot be written.
        """
        with self._lock:
            path = self._folder / f"{self.taken + self.left_out + 1:06d}.dcm"
            try:
                self._write(path, chunks)
            except OSError as error:
                raise InputError(
                    f"What the archive sends cannot be written into {self._folder.parent}.",
                    found=error.strerror or "",
                    hint="make space, or choose another folder",
                ) from error
            if not self._wanted(path):
                path.unlink()
                self.left_out += 1
                if self.left_out > _MOST_OTHERS:
                    raise Broken("The archive sends far more than it announced.")

    def check_complete(self) -> None:
        """Go on only where all that was announced has come.

        Raises:
            Broken: Something has not.
        """
        if self._missing:
            raise Broken(
                "The archive did not send the whole study.",
                expected=f"{self.taken + len(self._missing)} objects",
                found=f"{self.taken}",
                hint="try again, or ask whoever looks after the archive",
            )

    def _write(self, path: Path, chunks: Iterable[bytes]) -> None:
        size = 0
        with path.open("xb") as file:
            for chunk in chunks:
                size += len(chunk)
                self._bytes += len(chunk)
                if size > self.limits.object or self._bytes > self.limits.total:
                    raise too_much(self.limits)
                file.write(chunk)

    def _wanted(self, path: Path) -> bool:
        try:
            found = identifiers_of(path)
        except InputError as error:  # without what it found: that may quote a value
            raise Broken("The archive sent something that is no whole DICOM object.") from error
        if found.study != self._study:
            raise Broken(
                "The archive sent an object of another study than the one asked for.",
                hint="tell whoever looks after the archive; nothing was kept",
            )
        if found.instance not in self._missing:
            return False
        self._missing.remove(found.instance)
        self._taken.add(found.instance)
        return True


def too_much(limits: IntakeLimits) -> Broken:
    """What is said when an archive sends more than is taken."""
    return Broken(
        "The archive sends more than is taken of one study.",
        expected=f"at most {limits.object >> 20} MB an object and {limits.total >> 30} GB in all",
    )
