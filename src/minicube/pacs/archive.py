"""What every archive can be asked, whichever language it speaks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from minicube._errors import InputError

if TYPE_CHECKING:
    from minicube.pacs.intake import Intake

__all__ = [
    "MOST_ANSWERS",
    "Archive",
    "Broken",
    "Sent",
    "SeriesEntry",
    "Unreachable",
    "is_uid",
    "modality_in",
    "uid_in",
]

MOST_ANSWERS: Final = 200_000
"""Answers to one question; an archive that gives more is not listened to."""

_UID: Final = re.compile(r"[0-9]+(?:\.[0-9]+)*")  # leading noughts are wrong, and met with
_LONGEST_UID: Final = 64  # PS3.5, 9.1
_MODALITY: Final = re.compile(r"[A-Z0-9_ ]{1,16}")  # PS3.5, 6.2: CS


class Unreachable(InputError):
    """Nobody answers at an archive's address."""


class Broken(InputError):
    """An archive answered otherwise than it should, or stopped half-way."""


@dataclass(frozen=True)
class SeriesEntry:
    """A series, as an archive lists it.

    Args:
        uid: Its SeriesInstanceUID.
        modality: Such as MR or SEG; ``?`` where what the archive gave is none.
        instances: How many objects are in it; None where the archive does not say.
    """

    uid: str
    modality: str
    instances: int | None


@dataclass(frozen=True)
class Sent:
    """What became of a file that was sent.

    Args:
        path: The file.
        refused: Why the archive did not take it; empty where it did.
    """

    path: Path
    refused: str = ""


class Archive(Protocol):
    """An archive of images: a PACS.

    Every method may raise :class:`Unreachable` or :class:`Broken`, or ``InputError`` where the
    archive refuses whoever asks.
    """

    def echo(self) -> None:
        """Ask whether it is there and listens to us."""

    def studies(self, since: date) -> list[str]:
        """StudyInstanceUIDs of studies with MR made on that day or later; none that is no UID."""

    def series(self, study: str) -> list[SeriesEntry]:
        """The series of a study; none where the archive does not have it."""

    def instances(self, study: str, series: str) -> set[str]:
        """SOPInstanceUIDs of what is in a series."""

    def fetch(self, study: str, series: str, intake: Intake) -> None:
        """Have a series sent into an intake.

        Raises:
            InputError: As :meth:`Intake.take`, too.
        """

    def store(self, paths: Iterable[Path]) -> Iterator[Sent]:
        """Send DICOM files one after another."""

    def close(self) -> None:
        """Let go of the connection, if there is one."""


def is_uid(value: Any) -> bool:
    """Whether a value may be an identifier."""
    text = str(value or "")
    return len(text) <= _LONGEST_UID and _UID.fullmatch(text) is not None


def uid_in(value: Any) -> str:
    """An identifier that an archive gave: it goes into addresses, so it must be one.

    Raises:
        Broken: It is none.
    """
    if not is_uid(value):
        raise Broken("The archive gave an identifier that is none.")
    return str(value)


def modality_in(value: Any) -> str:
    """A modality that an archive gave: it is printed, so it must be one."""
    text = str(value or "")
    return text if _MODALITY.fullmatch(text) else "?"
