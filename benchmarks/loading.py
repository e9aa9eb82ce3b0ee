"""What it costs to bring a step its samples: our windows, the report's minicubes, whole scans.

python benchmarks/loading.py CASES [--labels brats2021] [--count 4]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from minicube.scans import LabelScheme, find_cases, load_case
from minicube.training import TrainingConfig
from minicube.training.sampling import Sampler
from minicube.volumes import prepare, store_one

STEPS = 24
STEPS_A_SCAN = 4  # the report takes four steps before it loads the next scan


def median_seconds(work: Callable[[int], object]) -> float:
    """Median over steps, the first left out."""
    spent = []
    for step in range(STEPS + 1):
        began = time.perf_counter()
        work(step)
        spent.append(time.perf_counter() - began)
    return statistics.median(spent[1:])


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--labels", type=LabelScheme)
    parser.add_argument("--count", type=int, default=4)
    given = parser.parse_args()
    files = [f for f in find_cases(given.cases) if f.reference is not None][: given.count]
    with tempfile.TemporaryDirectory() as folder:
        scans = []
        stored = []
        for one in files:
            began = time.perf_counter()
            ready = prepare(load_case(one, labels=given.labels))
            scans.append(time.perf_counter() - began)
            stored.append(store_one(ready, Path(folder)))
        rows = {}
        for preset in ("unet3d-report", "unet3d-report-as-reported"):
            config = TrainingConfig.read(preset)
            sampler = Sampler(stored, config, margin=0)
            batch = config.batch

            def draw(step: int, sampler: Sampler = sampler, batch: int = batch) -> None:
                for i in range(batch):
                    sampler.draw(step, step * batch + i)

            rows[preset] = median_seconds(draw)
    print(f"{len(files)} cases, {STEPS} steps of two samples of 96 x 96 x 80, milliseconds a step")
    print(f"  windows on tumour, from prepared cases       {1e3 * rows['unet3d-report']:8.1f}")
    minicubes = 1e3 * rows["unet3d-report-as-reported"]
    print(f"  the report's minicubes, from prepared cases  {minicubes:8.1f}")
    scan = 1e3 * statistics.median(scans)
    print(f"  scans read and prepared, one in four steps   {scan / STEPS_A_SCAN:8.1f}")
    print(f"  scans read and prepared at every step        {scan:8.1f}")


if __name__ == "__main__":
    main()
