"""Phantoms as a dataset on disk."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from minicube.phantom.generator import PhantomSpec, make_phantom
from minicube.scans import LabelScheme, Layout, describe_dataset, write_case

__all__ = ["write_phantoms"]


def write_phantoms(
    spec: PhantomSpec, count: int, folder: Path, layout: Layout, *, jobs: int = 1
) -> Iterator[str]:
    """Make phantoms 0 … count − 1 and write them in a layout.

    Args:
        spec: What all of them share.
        count: How many, at least 1.
        folder: Where the dataset goes.
        layout: Its layout.
        jobs: Processes that work at once; what they write does not depend on it.

    Yields:
        The name of each case once it is written.
    """
    yield from _written(spec, count, folder, layout, jobs)
    describe_dataset(folder, layout, LabelScheme.BRATS2023)


def _written(
    spec: PhantomSpec, count: int, folder: Path, layout: Layout, jobs: int
) -> Iterator[str]:
    if jobs == 1:
        for index in range(count):
            yield _write_one(spec, index, folder, layout)
        return
    with ProcessPoolExecutor(max_workers=jobs) as pool:
        work = [pool.submit(_write_one, spec, i, folder, layout) for i in range(count)]
        for one in as_completed(work):
            yield one.result()


def _write_one(spec: PhantomSpec, index: int, folder: Path, layout: Layout) -> str:
    case = make_phantom(spec, index)
    write_case(case, folder, layout, LabelScheme.BRATS2023)
    return case.identity
