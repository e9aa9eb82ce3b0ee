"""Cases that are made while a training goes on, so that it never sees the same volume twice.

A rolling window over endlessly many numbered cases: at step s a training draws from numbers
s // every … s // every + pool − 1. Which they are depends on the step alone, and each is a pure
function of its number, so a resumed run draws what an uninterrupted one would have drawn.
"""

from __future__ import annotations

import multiprocessing
import shutil
import signal
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import Protocol, Self

from minicube._machine import end_with_parent
from minicube.volumes.origin import Origin
from minicube.volumes.prepare import Prepared
from minicube.volumes.store import StoredCase, open_stored, store_one

__all__ = ["Maker", "Stream", "made"]


class Maker(Protocol):
    """Makes numbered cases; pickled to other processes."""

    @property
    def origin(self) -> Origin:
        """What its cases are made from."""

    def begin(self) -> None:
        """Get ready, once in each process."""

    def __call__(self, number: int) -> Prepared:
        """Make a case; the same one for the same number."""


@dataclass
class Stream:
    """Makes, keeps and throws away cases; a context manager.

    Args:
        maker: Makes them.
        folder: Where cases are kept for as long as they are drawn from.
        pool: How many are drawn from at a time, at least 1.
        every: Steps after which the oldest gives way to a new one, at least 1.
        jobs: Processes that make them in the background.
        ahead: How many are made before they are needed.
    """

    maker: Maker
    folder: Path
    pool: int = 12
    every: int = 8
    jobs: int = 1
    ahead: int = 2
    _work: dict[int, Future[StoredCase]] = field(default_factory=dict, init=False)
    _first: int = field(default=-1, init=False)
    _workers: ProcessPoolExecutor | None = field(default=None, init=False)

    def at(self, step: int) -> list[StoredCase]:
        """Return the cases of a step, oldest first; waits for those that are not ready."""
        first = step // self.every
        for number in range(first, first + self.pool + self.ahead):
            self._ask_for(number)
        self._forget_before(first)
        return [self._work[n].result() for n in range(first, first + self.pool)]

    def close(self) -> None:
        """Stop making cases; those that lie ready stay for a resumed run."""
        if self._workers is not None:
            self._workers.shutdown(wait=True, cancel_futures=True)
        self._workers = None
        self._work.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _forget_before(self, first: int) -> None:
        if first == self._first:
            return
        self._first = first
        for number in [n for n in self._work if n < first]:
            old = self._work.pop(number)
            if not old.cancel():
                old.result()
        for home in self.folder.iterdir() if self.folder.exists() else ():
            if home.name.isdecimal() and int(home.name) < first:
                shutil.rmtree(home, ignore_errors=True)

    def _ask_for(self, number: int) -> None:
        if number in self._work:
            return
        if self._workers is None:
            # Not forked: a process with a network's threads in it must not be.
            fresh = multiprocessing.get_context("spawn")
            self._workers = ProcessPoolExecutor(
                self.jobs, fresh, initializer=_begin, initargs=(self.maker,)
            )
        self._work[number] = self._workers.submit(made, self.maker, number, self.folder)


def _begin(maker: Maker) -> None:
    """Get ready in a process of its own, which ends with the training, however that ends."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    watched = parent.sentinel
    end_with_parent(lambda: wait([watched]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the training's to answer
    maker.begin()


def made(maker: Maker, number: int, folder: Path) -> StoredCase:
    """Make one case below a folder, unless it lies there already."""
    home = folder / f"{number:08d}"
    origin = {**maker.origin, "number": str(number)}
    for child in home.iterdir() if home.exists() else ():
        ready = open_stored(home, child.name, origin)
        if ready is not None:
            return ready
    return store_one(maker(number), home, origin)
