"""Cases sent to workers, and what became of each brought back."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import CancelledError
from functools import partial
from itertools import islice
from typing import Final, TypeVar
from uuid import uuid4

from distributed import Client, Future, as_completed, get_worker
from distributed.scheduler import KilledWorker

from minicube._errors import MinicubeError
from minicube.inference import Outcome, outcome_of

__all__ = ["spread", "worker_memory"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_RETRIES: Final = 2  # of what raised: shared folders have bad moments
_IN_HAND: Final = 10_000  # cases the scheduler knows of at a time, so that it stays small
_GONE: Final = "The scheduler went away before this case was done; the same command goes on."


def spread(
    items: Iterable[Item],
    work: Callable[[Item], Result],
    client: Client,
    named: Callable[[Item], str],
) -> Generator[Outcome[Item, Result]]:
    """Have each case worked on by some worker: one task a case.

    What a worker had in hand when it died is given to another one, up to three times. What
    raised is tried twice more. What is left when the iterator is closed is not begun.

    Args:
        items: The cases; they are pickled.
        work: What is done with each, by a function that a worker can import. May run more than
            once for a case, so it must end alike.
        client: Of a scheduler.
        named: The name of a case, for the dashboard.

    Yields:
        What became of each, as it comes.
    """
    run, numbered = uuid4().hex[:8], enumerate(items)
    under_way: dict[Future[Result], Item] = {}

    def hand_out(count: int) -> list[Future[Result]]:
        handed = {}
        for number, item in islice(numbered, count if client.status == "running" else 0):
            key = ("segment", named(item), f"{run}-{number}")
            future = client.submit(work, item, key=key, pure=False, retries=_RETRIES)
            handed[future] = item
        under_way.update(handed)
        return list(handed)

    finished = as_completed(hand_out(_IN_HAND), loop=client.loop)
    try:
        for future in finished:
            item = under_way.pop(future)
            yield outcome_of(item, partial(_result, future))
            del future  # so that the scheduler forgets it
            finished.update(hand_out(1))
        for _, item in numbered:
            yield Outcome(item, None, _GONE)
    finally:
        client.cancel(list(under_way))


def worker_memory() -> int | None:
    """Bytes that the worker which runs this may hold; None where it has no limit."""
    limit: int | None = get_worker().memory_manager.memory_limit
    return limit


def _result(future: Future[Result]) -> Result:
    try:
        return future.result()
    except CancelledError as error:
        raise MinicubeError(_GONE) from error
    except KilledWorker as error:
        raise MinicubeError(
            f"{error.allowed_failures + 1} workers died over this case, so it was given up; "
            "perhaps they had too little memory: give --memory auto"
        ) from error
