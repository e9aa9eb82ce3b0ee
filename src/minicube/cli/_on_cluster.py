"""A cohort on a cluster: a worker does with a case what ``minicube segment`` does here."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from minicube._errors import InputError, MinicubeError, require
from minicube._version import __version__
from minicube.cli._cohort import collected
from minicube.cli._segmenting import Request, Work
from minicube.cli._shared import measuring, progress
from minicube.cli._targets import Target
from minicube.cli.plan import BRAIN

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["LOCAL", "Cluster", "Job", "segment_case", "spread_cohort"]

LOCAL: Final = "local"
_FILLED: Final = 0.8  # of a worker's memory by what is foreseen; it is what "auto" takes
_one_case = Lock()


@dataclass(frozen=True)
class Cluster:
    """Where a cohort goes.

    Args:
        scheduler: Its address, or ``local``: one is started, with its workers.
        workers: Of a local one; None for as many as there are cores and memory for.
        auto: Whether each worker keeps to the memory that it was started with.
    """

    scheduler: str
    workers: int | None = None
    auto: bool = False


@dataclass(frozen=True)
class Job:
    """What a worker has to know beside the case.

    Args:
        request: What was asked for.
        auto: As for :class:`Cluster`.
        settings: What the request comes to, as :meth:`Request.settings` says it where it
            was made; a worker for which it is something else would make other files.
    """

    request: Request
    auto: bool
    settings: str


def segment_case(job: Job, target: Target) -> dict[str, Any]:
    """Do all of a case, unless that needs not be; runs on a worker and returns the case's row.

    Raises:
        MinicubeError: In words alone, which every client can read.
    """
    try:
        with _one_case:  # should a worker have several threads
            return _work(job).whole(target)
    except MinicubeError as error:
        raise MinicubeError(str(error)) from None


def spread_cohort(
    request: Request, targets: list[Target], out: Path, cluster: Cluster
) -> list[dict[str, Any]]:
    """Have workers segment the cases; a row for each.

    Args:
        request: What is asked for; paths are absolute, and the same on every machine.
        targets: The cases, likewise.
        out: Folder for the table.
        cluster: Where the workers are.

    Raises:
        InputError: Models or scheduler cannot be used.
    """
    require("Segmenting on a cluster", "cluster", "distributed", "cryptography")
    from minicube.cluster import dashboard_of, spread
    from minicube.inference import VOLUMES, write_volumes

    request = replace(request, jobs=1)
    job = Job(request, cluster.auto, request.settings(request.load_models()))
    with progress() as display:
        told = measuring(display)
        with _opened(cluster, request, len(targets), told) as client:
            workers = len(client.nthreads())
            there = f"workers: {workers}" if workers else "no worker yet; cases wait for one"
            display.console.print(f"{there}; dashboard: {dashboard_of(client)}", soft_wrap=True)
            outcomes = spread(
                targets, partial(segment_case, job), client, lambda target: target.case.identity
            )
            rows = collected(outcomes, display, len(targets), "")
    table_rows = [rows[target.out] for target in targets]
    write_volumes(out / VOLUMES, table_rows)
    return table_rows


def _opened(
    cluster: Cluster, request: Request, cases: int, told: Callable[[int, int], None]
) -> AbstractContextManager[Client]:
    from minicube.cluster import connected, local_cluster

    if cluster.scheduler != LOCAL:
        return connected(cluster.scheduler)
    return local_cluster(*_local_size(cluster, request, cases, told))


def _local_size(
    cluster: Cluster, request: Request, cases: int, told: Callable[[int, int], None]
) -> tuple[int, int | None]:
    """How many workers, and the most bytes of each, None where the planner holds them to less."""
    from minicube._machine import available_memory
    from minicube.cluster import cores
    from minicube.engines import load_model
    from minicube.inference import Segmenter
    from minicube.planning import parse_memory

    count, spare = min(cluster.workers or cores(), cases), available_memory()
    if spare is None:
        return count, None
    budget, fixed = parse_memory("auto", spare), request.limits.memory
    if cluster.workers is None:
        if fixed is None:
            limits = replace(request.limits, memory=budget, threads=1)
            models = [load_model(path) for path in request.models]
            plan = Segmenter(models, limits, request.refinements, told).foresee(BRAIN)
            assert plan is not None
            count = min(count, int(budget * _FILLED) // plan.predicted)
        else:
            count = min(count, budget // fixed)
        count = max(1, count)
    return count, budget // count if fixed is None else None


@lru_cache(maxsize=1)
def _work(job: Job) -> Work:
    """Made ready once on each worker."""
    from minicube.cluster import worker_memory
    from minicube.planning import parse_memory

    memory = parse_memory("auto", worker_memory()) if job.auto else job.request.limits.memory
    limits = replace(job.request.limits, memory=memory, threads=1)
    request = replace(job.request, limits=limits)
    work = Work(request, request.load_models(), lambda *_: None, lambda *_: None)
    if work.settings != job.settings:
        raise InputError(
            "This worker would make something else than what was asked for.",
            expected="the minicube and the models of whoever asked, on every machine",
            found=f"minicube {__version__} on the worker, with "
            + (" + ".join(map(str, job.request.models)) or "the model inside it"),
        )
    return work
