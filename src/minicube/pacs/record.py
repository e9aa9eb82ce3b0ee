"""What a watch has done, in SQLite: whatever ends the process, the next one knows."""

from __future__ import annotations

import sqlite3
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from minicube._errors import InputError

__all__ = ["Entry", "Record", "State"]

_VERSION: Final = 1
_SETUP: Final = """
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS studies (
    study TEXT PRIMARY KEY, series TEXT NOT NULL, state TEXT NOT NULL, changed REAL NOT NULL,
    attempts INTEGER NOT NULL, made TEXT NOT NULL, stored TEXT NOT NULL, sentence TEXT NOT NULL
);
"""


class State(StrEnum):
    """How far a study is."""

    SETTLING = "settling"
    BEGUN = "begun"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True)
class Entry:
    """What is known of a study; nothing of its patient.

    Args:
        study: Its StudyInstanceUID.
        series: A digest of its MR series and how many objects each has.
        state: How far it is.
        changed: When it came to that, seconds since 1970.
        attempts: How often it was begun since its series changed.
        made: ``series``, once objects made of them lie on disk; else empty.
        stored: What the objects stored last were made from; empty if none were.
        sentence: What became of it, for people.
    """

    study: str
    series: str
    state: State
    changed: float
    attempts: int = 0
    made: str = ""
    stored: str = ""
    sentence: str = ""


class Record:
    """The studies that a watch has seen.

    Args:
        path: Its file; made when missing.

    Raises:
        InputError: It is no record of ours, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._db = sqlite3.connect(path)
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version not in (0, _VERSION):
                raise InputError(
                    f"{path} was written by another version of minicube.",
                    hint="use that, or another folder",
                )
            self._db.executescript(_SETUP + f"PRAGMA user_version = {_VERSION};")
        except sqlite3.Error as error:
            raise InputError(
                f"{path} is damaged, no record of studies, or cannot be written.",
                found=str(error),
            ) from error

    def get(self, study: str) -> Entry | None:
        """What is known of a study.

        Raises:
            InputError: It cannot be read.
        """
        columns = "study, series, state, changed, attempts, made, stored, sentence"
        query = f"SELECT {columns} FROM studies WHERE study = ?"
        try:
            row = self._db.execute(query, (study,)).fetchone()
        except sqlite3.Error as error:
            raise InputError("The record of studies cannot be read.", found=str(error)) from error
        if row is None:
            return None
        uid, series, state, changed, attempts, made, stored, sentence = row
        return Entry(uid, series, State(state), changed, attempts, made, stored, sentence)

    def put(self, entry: Entry) -> None:
        """Keep what is known of a study; on disk when this returns.

        Raises:
            InputError: It cannot be written.
        """
        columns = asdict(entry)
        names = ", ".join(columns)
        marks = ", ".join("?" * len(columns))
        command = f"REPLACE INTO studies ({names}) VALUES ({marks})"
        try:
            with self._db:
                self._db.execute(command, tuple(columns.values()))
        except sqlite3.Error as error:
            raise InputError(
                "The record of studies cannot be written.", found=str(error), hint="make space"
            ) from error

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()
