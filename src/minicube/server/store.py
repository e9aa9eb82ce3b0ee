"""Jobs and the audit log in SQLite: what a restart must find again."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from minicube._errors import InputError
from minicube.server.jobs import FINISHED, Job, State
from minicube.server.refusals import Refused

__all__ = ["AuditLine", "Store"]

# What was deleted is overwritten in the file, names of uploads included.
_SETUP: Final = """
PRAGMA secure_delete = ON;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, state TEXT NOT NULL, changed TEXT NOT NULL, document TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS audit (
    time TEXT NOT NULL, who TEXT NOT NULL, action TEXT NOT NULL, job TEXT NOT NULL
);
"""
_NOT_KEPT: Final = {"progress", "ahead", "files"}


@dataclass(frozen=True)
class AuditLine:
    """Who did what to which job, and when; never a name of a file or a patient."""

    time: str
    who: str
    action: str
    job: str


class Store:
    """The database of a server.

    Args:
        path: Its file.

    Raises:
        InputError: The file is no database of ours.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        try:
            self._db = sqlite3.connect(path, check_same_thread=False)
            self._db.executescript(_SETUP)
        except sqlite3.DatabaseError as error:
            raise InputError(f"{path} is damaged or no database.", found=str(error)) from error

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._db.close()

    def add(self, job: Job) -> None:
        """Keep a new job."""
        with self._lock, self._db:
            self._db.execute("INSERT INTO jobs VALUES (?, ?, ?, ?)", _row(job))

    def get(self, identity: str) -> Job:
        """Return a job.

        Raises:
            Refused: There is none of that name.
        """
        with self._lock:
            query = "SELECT document FROM jobs WHERE id = ?"
            found = self._db.execute(query, (identity,)).fetchone()
        if found is None:
            raise Refused(404, "There is no such job.", hint="it may have been deleted")
        return Job.model_validate_json(found[0])

    def jobs(self, *states: State, most: int = -1) -> list[Job]:
        """Return the jobs in any of these states, or all; the one changed last comes first.

        Args:
            states: Any of them; none: all.
            most: How many; −1: all.
        """
        wanted = states or tuple(State)
        marks = ", ".join("?" * len(wanted))
        query = f"SELECT document FROM jobs WHERE state IN ({marks}) ORDER BY changed DESC LIMIT ?"
        with self._lock:
            rows = self._db.execute(query, (*wanted, most)).fetchall()
        return [Job.model_validate_json(document) for (document,) in rows]

    @contextmanager
    def changing(self, identity: str, *states: State) -> Iterator[Job]:
        """Yield a job to be changed; it is kept, whole, when the block ends well.

        Args:
            identity: Of the job.
            states: In any of which it must be, if any are given.

        Raises:
            Refused: There is none, or it is in another state.
        """
        with self._lock:
            job = self.get(identity)
            if states and job.state not in states:
                raise Refused(
                    409, "This cannot be done to the job now.", found=f"it is {job.state.value}"
                )
            yield job
            job.changed = datetime.now(UTC)
            with self._db:
                self._db.execute("REPLACE INTO jobs VALUES (?, ?, ?, ?)", _row(job))

    def remove(self, identity: str) -> None:
        """Forget a job."""
        with self._lock, self._db:
            self._db.execute("DELETE FROM jobs WHERE id = ?", (identity,))

    def finished_before(self, moment: datetime) -> list[Job]:
        """Return jobs that nobody works at and nobody has touched since."""
        idle = (*FINISHED, State.OPEN, State.RECOGNISED)
        return [job for job in self.jobs(*idle) if job.changed < moment]

    def note(self, who: str, action: str, job: str = "") -> None:
        """Write a line into the audit log."""
        with self._lock, self._db:
            line = (datetime.now(UTC).isoformat(timespec="seconds"), who, action, job)
            self._db.execute("INSERT INTO audit VALUES (?, ?, ?, ?)", line)

    def audit(self, most: int) -> list[AuditLine]:
        """Return the last lines of the audit log, the newest first."""
        with self._lock:
            query = "SELECT time, who, action, job FROM audit ORDER BY rowid DESC LIMIT ?"
            return [AuditLine(*row) for row in self._db.execute(query, (most,))]


def _row(job: Job) -> tuple[str, str, str, str]:
    document = job.model_dump_json(exclude=_NOT_KEPT)
    return job.id, job.state.value, job.changed.isoformat(), document
