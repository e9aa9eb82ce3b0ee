"""A budget that is kept: a command whose processes together never hold more."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Guarded", "run_within", "tree_memory"]

_EVERY = 0.005  # seconds between looks
_PAGE = 4096
_ALIKE = 16 * 2**20  # bytes; two looks are not at one time


@dataclass(frozen=True)
class Guarded:
    """How a guarded command ended.

    Args:
        code: Its exit code; negative for the signal that ended it.
        killed: Whether it was stopped because it held too much.
        peak: Most that its processes held together when looked at, bytes; and at least the
            kernel's own peak of the first process.
        output: What it wrote to standard output.
        errors: What it wrote to standard error.
    """

    code: int
    killed: bool
    peak: int
    output: str
    errors: str


def run_within(command: Sequence[str], budget: int) -> Guarded:
    """Run a command; kill it and its children when they hold more than ``budget`` bytes.

    Linux only: the kernel's tables are looked at every few milliseconds, the kernel's own peak of
    the command is asked for in the end, so that nothing is missed between two looks.

    Args:
        command: With its arguments.
        budget: Bytes of resident memory, of all processes together.
    """
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        peak, killed = 0, False
        reader = _Reader(process)
        while process.poll() is None:
            peak = max(peak, tree_memory(process.pid), _own_peak(process.pid))
            if peak > budget and not killed:
                os.killpg(process.pid, 9)
                killed = True
            time.sleep(_EVERY)
        output, errors = reader.join()
    return Guarded(process.returncode, killed, peak, output, errors)


def tree_memory(pid: int) -> int:
    """Resident memory of a process and all that it started, bytes; 0 when it is gone.

    A child between vfork and exec lives in its parent's memory and is not counted again.
    """
    total, parents = _resident(pid), [pid]
    for parent in parents:
        children = _children(parent)
        total += sum(_resident(child) for child in children if not _borrows(child, parent))
        parents += children
    return total


def _borrows(child: int, parent: int) -> bool:
    """Whether a child still runs its parent's program, and holds what the parent holds.

    Where a program's stack begins is drawn by lot each time one is begun.
    """
    if _stack(child) != _stack(parent):
        return False
    return abs(_resident(child) - _resident(parent)) < _ALIKE


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:  # it has ended meanwhile
        return found
    for thread in threads:
        children = thread / "children"
        with suppress(OSError):  # so has the thread
            found.extend(map(int, children.read_text(encoding="ascii").split()))
    return found


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def _stack(pid: int) -> str:
    try:
        line = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return line.rpartition(")")[2].split()[25]  # startstack; behind the name, which may be odd


def _own_peak(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


class _Reader:
    """Reads both streams of a process, so that it never waits for anybody to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        from concurrent.futures import ThreadPoolExecutor

        assert process.stdout is not None
        assert process.stderr is not None
        self._pool = ThreadPoolExecutor(max_workers=2)
        self._streams = [
            self._pool.submit(stream.read) for stream in (process.stdout, process.stderr)
        ]

    def join(self) -> tuple[str, str]:
        """What was written, once both are closed."""
        output, errors = (stream.result() for stream in self._streams)
        self._pool.shutdown()
        return output, errors
