"""What a case costs, and what handing it to a worker does: processor time and bytes.

    python benchmarks/scale.py CASES [--model MODEL] [--json FILE]

Processor time, not time on the clock, so that other work on the machine matters little; the
engine has one thread, as on a worker. Means over the cases but the first, which warms up.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import psutil
from distributed import Client

from minicube._machine import peak_memory, processor_name, resident_memory
from minicube.cli._segmenting import Request, Work
from minicube.cli._targets import Places, Target, cases_of, targets_of
from minicube.cluster import spread
from minicube.inference import Limits, Refinements, write_volumes
from minicube.scans import LabelScheme, find_cases
from minicube.scans.nifti import sidecar_of

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from cluster_processes import cluster

FOLDERS = 10_000
TASKS = 4_000


class Clock:
    """Processor seconds of this process, by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}

    def timed(self, step: str, work: Callable[[], Any]) -> Any:
        """Do it and note what it took."""
        began = time.process_time()
        made = work()
        self.seconds.setdefault(step, []).append(time.process_time() - began)
        return made

    def means(self) -> dict[str, float]:
        """Of all but the first."""
        return {step: round(mean(all_of[1:]), 4) for step, all_of in self.seconds.items()}


def size_of(target: Target) -> int:
    """Bytes of a case's scans."""
    return sum(path.stat().st_size for path in target.case.sequences.values())


def per_case(targets: list[Target], request: Request) -> tuple[dict[str, Any], dict[str, Any]]:
    """Processor seconds and bytes of a case; and a row."""
    work, clock = Work(request, request.load_models(), lambda *_: None, lambda *_: None), Clock()
    for target in targets:
        loaded = clock.timed("read and checksums", partial(work.read, target))
        found = clock.timed("compute", partial(work.compute, loaded))
        row = clock.timed("write", partial(work.write, target, found))
        clock.timed("found to be done before", partial(work.made_before, target))
    seconds = clock.means()
    steps = ("read and checksums", "compute", "write")
    told = {
        "cases": len(targets),
        "cpu_seconds": seconds | {"all": round(sum(seconds[step] for step in steps), 3)},
        "peak_bytes": peak_memory(),
        "bytes_in": round(mean(map(size_of, targets))),
        "bytes_out": {
            "label map": round(mean(target.out.stat().st_size for target in targets)),
            "note": round(mean(sidecar_of(target.out).stat().st_size for target in targets)),
        },
    }
    return told, row


def with_all(target: Target, request: Request) -> dict[str, int]:
    """Bytes of what may be asked for beside the label map."""
    Work(request, request.load_models(), lambda *_: None, lambda *_: None).whole(target)
    assert target.probabilities is not None
    maps = [path for path in target.outputs if path.parent == target.probabilities]
    assert target.report is not None
    return {
        "probability maps": sum(path.stat().st_size for path in maps),
        "report": target.report.stat().st_size,
    }


def per_task(folder: Path, row: dict[str, Any], target: Target) -> dict[str, Any]:
    """What a task costs the scheduler and whoever hands it out; its work is to return a row."""
    with cluster(folder, ["one", "other"]) as address, Client(address) as client:
        while len(client.nthreads()) < 2:
            time.sleep(0.1)
        scheduler = psutil.Process(client.run_on_scheduler(os.getpid))
        before, ours = _cpu(scheduler), time.process_time()
        outcomes = spread([target] * TASKS, partial(_echo, row), client, lambda _: "case")
        rows = [outcome.result for outcome in outcomes]
        assert len(rows) == TASKS
        return {
            "tasks": TASKS,
            "scheduler_cpu_ms": round((_cpu(scheduler) - before) / TASKS * 1000, 3),
            "client_cpu_ms": round((time.process_time() - ours) / TASKS * 1000, 3),
            "bytes_of_a_target": len(pickle.dumps(target)),
            "bytes_of_a_row": len(pickle.dumps(row)),
        }


def _echo(row: dict[str, Any], target: Target) -> dict[str, Any]:
    return pickle.loads(pickle.dumps(row))  # another object each time, as in earnest


def _cpu(process: psutil.Process) -> float:
    spent = process.cpu_times()
    return float(spent.user + spent.system)


def finding(folder: Path) -> dict[str, Any]:
    """Processor seconds to recognise many cases by their names."""
    for path in _names(folder):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    began = time.process_time()
    found = find_cases(folder)
    return {"cases": len(found), "cpu_seconds": round(time.process_time() - began, 2)}


def _names(folder: Path) -> Iterator[Path]:
    for number in range(FOLDERS):
        case = f"case-{number:06d}"
        yield from (
            folder / case / f"{case}-{part}.nii.gz" for part in ("t1n", "t1c", "t2w", "t2f")
        )


def table(folder: Path, row: dict[str, Any]) -> dict[str, Any]:
    """A line for each case: its bytes on disk, and in the memory of whoever writes the table."""
    path, packed, held = folder / "volumes.csv", pickle.dumps(row), resident_memory() or 0
    rows = [pickle.loads(packed) for _ in range(FOLDERS)]
    held = (resident_memory() or 0) - held
    began = time.process_time()
    write_volumes(path, rows)
    seconds = time.process_time() - began
    return {
        "lines": FOLDERS,
        "bytes_a_line": path.stat().st_size // FOLDERS,
        "bytes_in_memory": held // FOLDERS,
        "cpu_seconds": round(seconds, 2),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=Path)
    parser.add_argument("--model", type=Path, help="the shipped one by default")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    models = () if given.model is None else (given.model,)
    plain = Request(
        models=models,
        scheme=LabelScheme.BRATS2023,
        limits=Limits(threads=1),
        refinements=Refinements(),
        jobs=1,
        overwrite=True,
        prepare="never",
    )
    more = Request(**(vars(plain) | {"refinements": Refinements(probabilities=True)}))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        cases = cases_of(given.cases, {})
        told, row = per_case(targets_of(cases, Places(folder / "plain")), plain)
        rich = Places(folder / "rich", folder / "reports", folder / "maps")
        told["bytes_out"] |= with_all(targets_of(cases, rich)[0], more)
        result = {
            "machine": {"processor": processor_name(), "model": row["model"]},
            "case": told,
            "task": per_task(folder / "dask", row, targets_of(cases, rich)[0]),
            "finding": finding(folder / "many"),
            "table": table(folder, row),
        }
    print(json.dumps(result, indent=1))
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
