"""Stopping when asked: what is at work finishes its step and saves before the process ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

__all__ = ["stoppable"]

# Ctrl-C, and what schedulers, containers and shutdowns send some seconds before they kill.
_REQUESTS: Final = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """Yield a question: whether this process was asked to stop since the block began.

    The first Ctrl-C or SIGTERM is only noted; a second one of the same kind does what it does
    elsewhere. Where signals cannot be heard, outside the main thread, the answer is always no.
    """
    heard: list[int] = []
    before: dict[int, Any] = {}

    def note(number: int, _: FrameType | None) -> None:
        heard.append(number)
        signal.signal(number, before[number])

    if threading.current_thread() is threading.main_thread():
        for number in _REQUESTS:
            # Ignored, as by what a shell started in the background; or not Python's to give back.
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, note)
    try:
        yield lambda: bool(heard)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
