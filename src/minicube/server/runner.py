"""Jobs one after another, each in a process of its own that may die without harm."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import fmean
from typing import Final

from minicube._errors import InputError
from minicube._files import read_json, write_json
from minicube.server.folders import JobFolder, is_identity
from minicube.server.jobs import Job, Problem, Progress, Result, Stage, State
from minicube.server.store import Store

__all__ = ["Runner"]

_TICK: Final = 0.2  # seconds between looks at the process
_ATTEMPTS: Final = 3  # that a job is given when the server goes down under it
_SWEEP: Final = 600.0  # seconds between looks for jobs that have been kept long enough
_PAUSE: Final = 10.0  # seconds after a fault of the server
_REMEMBERED: Final = 20  # finished jobs that time left is told from, those alike
SERVER: Final = "server"  # in the audit log

_log = logging.getLogger(__name__)


class Runner:
    """Takes queued jobs from the store, the oldest first, and sees them through.

    Args:
        store: Of the jobs.
        root: Folder of their folders.
        keep_days: After which an idle job is deleted; 0: never.
    """

    def __init__(self, store: Store, root: Path, keep_days: float) -> None:
        self._store, self._root, self._keep_days = store, root, keep_days
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._work, name="jobs", daemon=True)

    def start(self) -> None:
        """Queue again what was running when the server last ended, and begin."""
        for job in self._store.jobs(State.RUNNING):
            with self._store.changing(job.id) as kept:
                _after_interruption(kept)
            self._store.note(SERVER, "found interrupted", job.id)
        self._clear_up()
        self._thread.start()

    def stop(self) -> None:
        """End the process of the job that runs; it is begun anew at the next start."""
        self._stopping.set()
        self._wake.set()
        self._thread.join()

    def wake(self) -> None:
        """Look for work now."""
        self._wake.set()

    def describe(self, job: Job) -> Job:
        """Add what is true only now: files, the place in the queue, how far it is."""
        job.files = JobFolder(self._root, job.id).listed(job)
        if job.state is State.QUEUED:
            waiting = self._store.jobs(State.QUEUED, State.RUNNING)
            job.ahead = sum(other.changed < job.changed for other in waiting)
        if job.state is State.RUNNING:
            job.progress = self._progress(job)
        return job

    def _progress(self, job: Job) -> Progress | None:
        try:
            note = read_json(JobFolder(self._root, job.id).progress)
        except InputError:  # its process has not begun to write
            return None
        stage, stages = Stage(note["stage"]), [Stage(name) for name in note["stages"]]
        now = time.time()
        usual = self._usual_seconds(job)
        left = None
        if all(name in usual for name in stages):
            here = max(0.0, usual[stage] - (now - note["began"]))
            left = here + sum(usual[name] for name in stages[stages.index(stage) + 1 :])
        elapsed = max(0.0, now - job.changed.timestamp())
        return Progress(stage=stage, stages=stages, elapsed=elapsed, left=left)

    def _usual_seconds(self, job: Job) -> dict[Stage, float]:
        """Mean seconds of each stage in the last jobs of the kind; a phantom reads as fast."""
        scored = _is_scored(job)
        alike = [
            done.result.stage_seconds
            for done in self._store.jobs(State.DONE, most=_REMEMBERED)
            if done.result is not None and _is_scored(done) == scored
        ]
        return {
            stage: fmean(seconds[stage] for seconds in alike if stage in seconds)
            for stage in Stage
            if any(stage in seconds for seconds in alike)
        }

    def _clear_up(self) -> None:
        """Delete what was half written when the server ended, and what no job has any more."""
        known = {job.id for job in self._store.jobs()}
        for path in self._root.iterdir() if self._root.is_dir() else ():
            if path.name in known:
                for part in path.rglob(".part-*"):
                    part.unlink(missing_ok=True)
            elif is_identity(path.name):  # deleted while something was still writing to it
                JobFolder(self._root, path.name).remove()

    def _work(self) -> None:
        swept = -_SWEEP
        while not self._stopping.is_set():
            try:
                if time.monotonic() - swept > _SWEEP:
                    swept = time.monotonic()
                    self._delete_old()
                if self._run_next():
                    continue
            except Exception:  # noqa: BLE001 - a full disk, say, must not end all jobs to come
                _log.exception("a fault of the server")
                self._stopping.wait(_PAUSE)
                continue
            self._wake.wait(_SWEEP)
            self._wake.clear()

    def _run_next(self) -> bool:
        """See the oldest job that waits through; False when none does."""
        waiting = self._store.jobs(State.QUEUED)
        if not waiting:
            return False
        try:
            self._run(waiting[-1])
        except Exception:  # noqa: BLE001 - one job must not end the others
            _log.exception("job %s: a fault of the server", waiting[-1].id)
            self._finish(waiting[-1].id, State.FAILED, error=_fault())
        return True

    def _delete_old(self) -> None:
        if self._keep_days == 0:
            return
        for job in self._store.finished_before(datetime.now(UTC) - timedelta(days=self._keep_days)):
            JobFolder(self._root, job.id).remove()
            self._store.remove(job.id)
            self._store.note(SERVER, "deleted: kept long enough", job.id)

    def _run(self, job: Job) -> None:
        place = JobFolder(self._root, job.id)
        with contextlib.suppress(InputError), self._store.changing(job.id, State.QUEUED) as kept:
            kept.state, kept.attempts = State.RUNNING, kept.attempts + 1
        if not self._is_wanted(job.id):  # cancelled a moment ago
            return
        _log.info("job %s runs", job.id)
        place.clear_outcome()
        assert job.request is not None
        write_json(place.request, job.request.model_dump(mode="json"))
        process = _start(place)
        try:
            while process.poll() is None and self._is_wanted(job.id):
                time.sleep(_TICK)
        finally:
            done = process.poll() is not None
            _end(process)
        if done:
            self._conclude(job.id, place, process.returncode)
        elif self._stopping.is_set():
            with (
                contextlib.suppress(InputError),
                self._store.changing(job.id, State.RUNNING) as kept,
            ):
                kept.state, kept.attempts = State.QUEUED, kept.attempts - 1
        if self._state_of(job.id) is None:  # deleted: it may have written a last file since
            place.remove()

    def _is_wanted(self, identity: str) -> bool:
        """Whether a job is to go on: neither cancelled nor deleted, and we are not to stop."""
        return not self._stopping.is_set() and self._state_of(identity) is State.RUNNING

    def _state_of(self, identity: str) -> State | None:
        try:
            return self._store.get(identity).state
        except InputError:
            return None

    def _conclude(self, identity: str, place: JobFolder, code: int) -> None:
        if place.result.is_file():
            result = Result.model_validate(read_json(place.result))
            self._finish(identity, State.DONE, result=result)
        elif place.problem.is_file():
            problem = Problem.model_validate(read_json(place.problem))
            self._finish(identity, State.FAILED, error=problem)
        else:
            _log.error("job %s: its process ended with code %d", identity, code)
            self._finish(identity, State.FAILED, error=_fault())

    def _finish(
        self,
        identity: str,
        state: State,
        *,
        result: Result | None = None,
        error: Problem | None = None,
    ) -> None:
        try:
            with self._store.changing(identity, State.RUNNING) as job:
                job.state, job.result = state, result
                job.error = None if error is None else _in_senders_words(error, job, self._root)
        except InputError:  # cancelled or deleted a moment ago
            return
        self._store.note(SERVER, state.value, identity)
        _log.info("job %s is %s", identity, state.value)


def _is_scored(job: Job) -> bool:
    return job.request is not None and job.request.is_scored


def _after_interruption(job: Job) -> None:
    if job.attempts < _ATTEMPTS:
        job.state = State.QUEUED
        return
    job.state = State.FAILED
    job.error = Problem(
        problem=f"The server went down {_ATTEMPTS} times while this job ran.",
        hint="it may need more memory than there is: start the server with --memory",
    )


def _fault() -> Problem:
    return Problem(
        problem="The job's process ended without a result.",
        hint="if it ran out of memory, start the server with --memory; "
        "worker.log in the job's folder says more",
    )


def _in_senders_words(problem: Problem, job: Job, root: Path) -> Problem:
    """Files under the names that their sender knows, and no path of this machine."""
    place = JobFolder(root, job.id)
    uploads = place.uploads
    known = {str(uploads / upload.stored): upload.name for upload in job.uploads}

    def renamed(text: str) -> str:
        for path, name in known.items():
            text = text.replace(path, name)
        for folder in (uploads, place.scans):
            text = text.replace(f"{folder}{os.sep}", "")
        return text.replace(str(root), "the data folder")

    return Problem(**{field: renamed(text) for field, text in problem.model_dump().items()})


def _start(place: JobFolder) -> subprocess.Popen[bytes]:
    """The job's process, at the head of a group of its own; it ends when our pipe to it does."""
    quiet = getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0)  # Windows
    words = [sys.executable, "-m", "minicube.server.worker", str(place.path)]
    with place.log.open("ab") as log:
        return subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
            creationflags=quiet,
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started."""
    if process.poll() is None:
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.wait()
    if process.stdin is not None:
        process.stdin.close()
