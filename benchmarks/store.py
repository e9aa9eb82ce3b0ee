"""What a stored case takes: bytes on disk, time to read a minicube, and what is lost.

python benchmarks/store.py CASES [--labels brats2021] [--reads 30]

Beside it, in the same run, plain float16 arrays mapped from disk. Windows are the same for both;
times are processor time of one thread, files in the page cache.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minicube.scans import LabelScheme, find_cases, load_case
from minicube.volumes import REPORT_MINICUBE, Box, Prepared, StoredCase, prepare, store_one

Read = Callable[[Box], tuple[NDArray[np.float32], NDArray[np.uint8]]]


@dataclass(frozen=True)
class Cost:
    """Of one case in one form.

    Args:
        megabytes: On disk, 10⁶ bytes.
        milliseconds: Of each read.
        error: Largest difference to what was prepared, in standard deviations of the sequence.
        zeros: Whether exactly the same voxels are 0.
    """

    megabytes: float
    milliseconds: list[float]
    error: float
    zeros: bool


def plain(case: Prepared, folder: Path) -> Read:
    """Store a case as float16, and return how to read it."""
    assert case.labels is not None
    np.save(folder / "images.npy", case.images.astype(np.float16))
    np.save(folder / "labels.npy", case.labels.array)

    def read(box: Box) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        images = np.load(folder / "images.npy", mmap_mode="r")
        labels = np.load(folder / "labels.npy", mmap_mode="r")
        return np.asarray(box.cut(images), np.float32), np.array(box.cut(labels))

    return read


def windows(case: Prepared, count: int) -> list[Box]:
    """Minicubes anywhere in a case."""
    rng = np.random.default_rng(0)
    shape = case.images.shape[1:]
    x, y, z = REPORT_MINICUBE
    boxes = []
    for _ in range(count):
        a, b, c = (
            int(rng.integers(max(1, n - size + 1)))
            for n, size in zip(shape, REPORT_MINICUBE, strict=True)
        )
        boxes.append(Box((a, b, c), (a + x, b + y, c + z)))
    return boxes


def cost(case: Prepared, read: Read, folder: Path, reads: int) -> Cost:
    """Measure one form of a case."""
    a, b, c = case.images.shape[1:]
    images, _ = read(Box((0, 0, 0), (a, b, c)))  # brings the files into the page cache
    deviations = [image[case.brain].std(dtype=np.float64) for image in case.images]
    errors = [
        float(np.abs(found - image).max() / max(deviation, 1e-12))
        for found, image, deviation in zip(images, case.images, deviations, strict=True)
    ]
    spent = []
    for box in windows(case, reads):
        began = time.process_time()
        read(box)
        spent.append(1e3 * (time.process_time() - began))
    size = sum(path.stat().st_size for path in folder.iterdir())
    zeros = np.array_equal(images == 0, case.images == 0)
    return Cost(size / 1e6, spent, max(errors), zeros)


def resampled(case: Prepared) -> Prepared:
    """The same with intensities that are all different, as resampling leaves them."""
    noise = np.random.default_rng(0).normal(0, 0.02, case.images.shape).astype(np.float32)
    images = np.where(case.images != 0, case.images + noise, np.float32(0))
    return Prepared(case.identity, images, case.brain, case.labels, case.frame, case.scales)


def row(name: str, costs: list[Cost]) -> str:
    """One line of the table."""
    sizes = [one.megabytes for one in costs]
    spent = [time for one in costs for time in one.milliseconds]
    error = max(one.error for one in costs)
    zeros = "yes" if all(one.zeros for one in costs) else "no"
    return (
        f"{name:<26}{statistics.median(sizes):8.2f}{max(sizes):8.2f}"
        f"{statistics.median(spent):10.1f}{100 * error:12.4f}{zeros:>8}"
    )


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--labels", type=LabelScheme)
    parser.add_argument("--reads", type=int, default=30)
    given = parser.parse_args()
    files = [f for f in find_cases(given.cases) if f.reference is not None]
    rows: dict[str, list[Cost]] = {"float16, mapped": [], "stored": [], "stored, resampled": []}
    seconds = []
    for one in files:
        case = prepare(load_case(one, labels=None if one.scheme else given.labels))
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            rows["float16, mapped"].append(cost(case, plain(case, folder), folder, given.reads))
        for kind, same in (("stored", case), ("stored, resampled", resampled(case))):
            with tempfile.TemporaryDirectory() as name:
                began = time.process_time()
                stored: StoredCase = store_one(same, Path(name))
                seconds.append(time.process_time() - began)
                rows[kind].append(cost(same, stored.read, stored.folder, given.reads))
    print(f"{len(files)} cases, {given.reads} reads of 96 x 96 x 80 and labels from each")
    print(f"{'':<26}{'MB':>8}{'max':>8}{'ms a read':>10}{'error, % SD':>12}{'zeros':>8}")
    for name, costs in rows.items():
        print(row(name, costs))
    print(f"to store a case: {statistics.median(seconds):.1f} s (median)")


if __name__ == "__main__":
    main()
