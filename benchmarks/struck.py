"""Processes that ``faults.py`` strikes, and what of their results must not change."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import multiprocessing
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FORKS = multiprocessing.get_context("forkserver")
PATIENCE: Final = 900.0  # seconds that anything may take


class Process:
    """One command of the program, at the head of a session of its own."""

    def __init__(self, words: list[str], log: Path) -> None:
        self.log = log
        self._process = FORKS.Process(target=_command, args=(words, str(log)))
        self._process.start()

    @property
    def number(self) -> int:
        """That it is known by."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Exit code; None while it runs."""
        return self._process.exitcode

    def send(self, blow: signal.Signals, whole: bool = False) -> None:
        """Strike it, or all that it started too."""
        if self.code is None:
            (os.killpg if whole else os.kill)(self.number, blow)

    def wait(self) -> int:
        """Its exit code."""
        self._process.join(PATIENCE)
        if self.code is None:
            self.send(signal.SIGKILL, whole=True)
            raise TimeoutError(f"see {self.log}")
        return self.code


def _command(words: list[str], log: str) -> None:
    """What a fork does: the command line, as if it had been typed."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(out, 1)
    os.dup2(out, 2)
    from minicube.cli import main

    main(words)


def sums(folder: Path, *patterns: str) -> dict[str, str]:
    """SHA-256 of files, by their paths below a folder; not of what was half written when killed."""
    found = {path for pattern in patterns for path in folder.glob(pattern)}
    paths = sorted(path for path in found if not path.name.startswith(".part-"))
    return {
        str(path.relative_to(folder)): hashlib.sha256(_comparable(path)).hexdigest()
        for path in paths
    }


def _comparable(path: Path) -> bytes:
    """A file's bytes, without the seconds that something took and the bytes it held."""
    if path.suffix == ".csv":
        rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
        return repr([{**row, "seconds": ""} for row in rows]).encode()
    if path.suffix == ".json":
        return json.dumps(_timeless(json.loads(path.read_text(encoding="utf-8")))).encode()
    return path.read_bytes()


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _timeless(inner)
            for key, inner in value.items()
            if not {"seconds", "bytes", "cost", "output", "commit"} & {*key.split("_")}
        }
    return [_timeless(inner) for inner in value] if isinstance(value, list) else value


@dataclass
class Kind:
    """Something that takes long, and what of it must not be lost.

    Args:
        name: In the table.
        words: The command, given the folder that it fills.
        again: What is added to go on, given that folder.
        results: Patterns of the files that are compared.
        ended: Whether what is struck is done, given the folder; a kill after that did not land.
        where: What it is at, given the folder.
        ready: Done to a new folder first.
    """

    name: str
    words: Callable[[Path], list[str]]
    again: Callable[[Path], list[str]]
    results: tuple[str, ...]
    ended: Callable[[Path], bool]
    where: Callable[[Path], str]
    ready: Callable[[Path], None] = lambda _: None

    def start(self, folder: Path, log: Path) -> Process:
        """Begin, or go on."""
        return Process([*self.words(folder), *self.again(folder)], log)

    def sums(self, folder: Path) -> dict[str, str]:
        """What must be the same in the end."""
        return sums(folder, *self.results)


class Disk:
    """A small disk in memory, where such may be mounted."""

    def __init__(self, path: Path, options: str) -> None:
        self.path, self._options = path, options

    def __enter__(self) -> Disk:
        self.path.mkdir(exist_ok=True)
        words = ["mount", "-t", "tmpfs", "-o", self._options, "none", str(self.path)]
        subprocess.run(words, check=True)
        return self

    def again(self, options: str) -> None:
        """Mount it otherwise; what lies on it stays."""
        words = ["mount", "-o", f"remount,{options}", str(self.path)]
        subprocess.run(words, check=True)

    def forbid(self, process: Process) -> None:
        """Make it read-only as soon as nothing is open for writing."""
        while process.code is None:
            words = ["mount", "-o", "remount,ro", str(self.path)]
            if subprocess.run(words, check=False, stderr=subprocess.DEVNULL).returncode == 0:
                return
            time.sleep(0.01)

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "-l", str(self.path)], check=True)


def children(number: int) -> list[int]:
    """Processes that a process started."""
    listed = Path(f"/proc/{number}/task").glob("*/children")
    return [int(word) for path in listed for word in path.read_text(encoding="utf-8").split()]


def _files(folder: Path) -> dict[Path, int]:
    found = {}
    for path in folder.rglob("*"):
        try:
            found[path] = path.lstat().st_mtime_ns
        except FileNotFoundError:  # renamed meanwhile
            continue
    return found


def wait_for_work(process: Process, folder: Path) -> bool:
    """Wait until a process changes something in its folder; False where it ended first."""
    before, deadline = _files(folder), time.monotonic() + PATIENCE
    while _files(folder) == before:
        if process.code is not None:
            return False
        assert time.monotonic() < deadline, process.log
        time.sleep(0.005)
    return True
