"""One case or many on their way through ``minicube segment``, on this machine."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minicube.cli._segmenting import Request, Work, loaded
from minicube.cli._shared import measuring, progress
from minicube.cli._targets import Target, refuse_existing

if TYPE_CHECKING:
    from rich.progress import Progress

    from minicube.inference import MemoryPlan, Outcome

__all__ = ["Rows", "collected", "one_or_many"]

Rows = dict[Path, dict[str, Any]]
"""What is told of each case, by its label map."""


def one_or_many(request: Request, targets: list[Target], out: Path) -> list[dict[str, Any]]:
    """A row for each case."""
    if len(targets) > 1:
        jobs = min(request.jobs, len(targets))
        return _cohort(replace(request, jobs=jobs), targets, out)
    if not request.overwrite:
        refuse_existing(targets[0].files)
    return [_one(replace(request, jobs=1), targets[0])]


def collected(
    outcomes: Generator[Outcome[Target, dict[str, Any]]], display: Progress, left: int, note: str
) -> Rows:
    """Rows of cases as they come; one that failed has its error in it.

    Args:
        outcomes: Closed in the end.
        display: Shows how far it is.
        left: How many there will be.
        note: Stands beside the bar at first.
    """
    rows: Rows = {}
    task = display.add_task("segmenting", total=left, note=note)
    with closing(outcomes):
        for outcome in outcomes:
            identity = outcome.item.case.identity
            failed = {"case": identity, "error": outcome.error}
            rows[outcome.item.out] = failed if outcome.result is None else outcome.result
            display.update(task, advance=1, note=identity)
    return rows


def _one(request: Request, target: Target) -> dict[str, Any]:
    with progress() as display, ThreadPoolExecutor(1) as pool:
        task = display.add_task("segmenting", total=1, note=target.case.identity)
        # Read while the engine is made ready; within a budget what is read stays on disk.
        frugal = request.limits.memory is not None
        models = request.load_models()
        reading = pool.submit(loaded, target, request, models, frugal=frugal)
        work = Work(request, models, _teller(display), measuring(display))
        row = work.write(target, work.compute(reading.result()))
        display.advance(task)
    return row


def _cohort(request: Request, targets: list[Target], out: Path) -> list[dict[str, Any]]:
    from minicube.inference import VOLUMES, Stages, one_by_one, overlapped, write_volumes

    with progress() as display:
        work = Work(request, request.load_models(), _teller(display), measuring(display))
        made = {target.out: work.made_before(target) for target in targets}
        rows = {path: row for path, row in made.items() if row is not None}
        left = [target for target in targets if target.out not in rows]
        if not request.overwrite:
            table = [] if rows else [out / VOLUMES]  # of a cohort that goes on, it is ours
            rows_file = targets[0].places.json  # which is not, even where nothing is left to do
            guarded = {*table, *([rows_file] if rows_file else [])}
            refuse_existing(sorted(guarded.union(*(target.files for target in left))))
        stages = Stages(work.read, work.compute, work.write)
        frugal = request.limits.memory is not None
        outcomes = one_by_one(left, stages) if frugal else overlapped(left, stages, request.jobs)
        there = f"{len(rows)} were there" if rows else ""
        rows |= collected(outcomes, display, len(left), there)
    table_rows = [rows[target.out] for target in targets]
    write_volumes(out / VOLUMES, table_rows)
    return table_rows


def _teller(display: Progress) -> Callable[[str, MemoryPlan], None]:
    """Says how a case is kept within the memory, above the bar."""
    return lambda case, plan: display.console.print(f"{case}: {plan.in_words()}")
