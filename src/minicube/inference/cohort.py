"""Many cases: the next one is read and the last one written while one is computed."""

from __future__ import annotations

import csv
import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from minicube._errors import MinicubeError
from minicube._files import replacing
from minicube.scans import Region, Tissue

__all__ = [
    "VOLUMES",
    "Outcome",
    "Stages",
    "one_by_one",
    "outcome_of",
    "overlapped",
    "write_volumes",
]

Item = TypeVar("Item")
Loaded = TypeVar("Loaded")
Found = TypeVar("Found")
Result = TypeVar("Result")

VOLUMES: Final = "volumes.csv"
_ML: Final = {f"{region.value}_ml": region.value for region in Region} | {
    "oedema_ml": Tissue.OEDEMA.value,
    "non_enhancing_ml": Tissue.CORE.value,
    "enhancing_ml": Tissue.ENHANCING.value,
}
_SPACED: Final = ("absent_sequences", "not_determinable")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stages(Generic[Item, Loaded, Found, Result]):
    """What is done with each case, one after another.

    Args:
        read: From files.
        compute: Called from as many threads at once as there are jobs.
        write: To files; called from one thread.
    """

    read: Callable[[Item], Loaded]
    compute: Callable[[Loaded], Found]
    write: Callable[[Item, Found], Result]


@dataclass(frozen=True)
class Outcome(Generic[Item, Result]):
    """What became of a case.

    Args:
        item: The case.
        result: Of its last stage; None where a stage failed.
        error: What went wrong, for people; empty where nothing did.
    """

    item: Item
    result: Result | None
    error: str = ""


def one_by_one(
    items: Iterable[Item], stages: Stages[Item, Loaded, Found, Result]
) -> Generator[Outcome[Item, Result]]:
    """Do one case after another, so that no more than one is in memory."""
    for item in items:
        yield outcome_of(item, partial(_through, item, stages))


def overlapped(
    items: Iterable[Item], stages: Stages[Item, Loaded, Found, Result], jobs: int = 1
) -> Generator[Outcome[Item, Result]]:
    """Compute cases while the next one is read and the last one written.

    At most ``jobs + 2`` cases are in memory. What is left when the iterator is closed is not
    begun; what is under way is finished.

    Args:
        items: The cases.
        stages: Of each.
        jobs: Cases computed at once.

    Yields:
        What became of each, in order.
    """
    pools = [ThreadPoolExecutor(workers) for workers in (1, jobs, 1)]
    readers, computers, writers = pools
    under_way: deque[tuple[Item, Future[Result]]] = deque()
    try:
        for item in items:
            if len(under_way) > jobs + 1:
                yield _finished(*under_way.popleft())
            # Every pool takes its cases in the same order, so none waits for one behind it.
            loaded = readers.submit(stages.read, item)
            found = computers.submit(_then, stages.compute, loaded)
            under_way.append((item, writers.submit(_write, stages, item, found)))
            del loaded, found  # what they hold goes when it has been written
        while under_way:
            yield _finished(*under_way.popleft())
    finally:
        for pool in pools:
            pool.shutdown(wait=False, cancel_futures=True)
        for pool in pools:
            pool.shutdown()


def outcome_of(item: Item, finish: Callable[[], Result]) -> Outcome[Item, Result]:
    """What becomes of a case, in words where it fails.

    Args:
        item: The case.
        finish: Its last stage, or what waits for it.
    """
    try:
        return Outcome(item, finish())
    except MinicubeError as error:
        return Outcome(item, None, str(error))
    except Exception as error:  # noqa: BLE001 - one case must not end the others; it is told
        _log.error("a fault of minicube", exc_info=error)
        return Outcome(item, None, f"minicube failed: {type(error).__name__}: {error}")


def write_volumes(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write a table of volumes as CSV, whole or not at all: a line for each case.

    Args:
        path: The file.
        rows: Each with ``case``; of what was segmented also ``volumes_ml`` by region and tissue
            (None leaves a cell empty), ``absent_sequences``, ``not_determinable``, ``seconds``
            and ``warnings``; of what failed ``error``.

    Raises:
        InputError: The file cannot be written.
    """
    heading = ["case", *_ML, *_SPACED, "seconds", "warnings", "error"]
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, heading, lineterminator="\n", extrasaction="ignore")
        table.writeheader()
        for row in rows:
            ml = row.get("volumes_ml", {})
            volumes = {column: ml.get(name, "") for column, name in _ML.items()}
            spaced = {column: " ".join(row.get(column, ())) for column in _SPACED}
            warnings = "; ".join(row.get("warnings", ()))
            error = " ".join(row.get("error", "").split())
            table.writerow({**row, **volumes, **spaced, "warnings": warnings, "error": error})


def _through(item: Item, stages: Stages[Item, Loaded, Found, Result]) -> Result:
    return stages.write(item, stages.compute(stages.read(item)))


def _then(stage: Callable[[Loaded], Found], before: Future[Loaded]) -> Found:
    return stage(before.result())


def _write(stages: Stages[Item, Loaded, Found, Result], item: Item, found: Future[Found]) -> Result:
    return stages.write(item, found.result())


def _finished(item: Item, last: Future[Result]) -> Outcome[Item, Result]:
    return outcome_of(item, last.result)
