"""Small made-up cases for tests that need a whole case but not a whole head."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minicube.scans import Case, Geometry, LabelMap, LabelScheme, Layout, Sequence, write_case
from minicube.volumes import Origin, Prepared, prepare

SHAPE = (44, 48, 40)


def small_case(seed: int, shape: tuple[int, int, int] = SHAPE) -> Case:
    """A ball of a brain with a tumour of three nested shells somewhere in it."""
    rng = np.random.default_rng(seed)
    middle = np.array(shape) / 2
    brain = _distance(shape, middle) < min(shape) * 0.45
    centre = middle + rng.uniform(-5, 5, 3)
    labels = np.zeros(shape, np.uint8)
    for value, radius in ((2, 9.0), (3, 6.0), (1, 3.0)):
        labels[_distance(shape, centre) < radius] = value
    images: dict[Sequence, NDArray[np.float32]] = {}
    for i, sequence in enumerate(Sequence):
        contrast = rng.uniform(0.8, 1.2) * np.array([1.0, 0.6 + 0.4 * i, 1.5, 2.0 - 0.3 * i])
        image = 300 * contrast[labels] + rng.normal(0, 20, shape)
        images[sequence] = np.where(brain, np.round(image.clip(1)), 0).astype(np.float32)
    labels[~brain] = 0
    return Case(
        identity=f"small-{seed:03d}",
        images=images,
        geometry=Geometry(shape, np.eye(4)),
        brain=brain,
        reference=LabelMap(labels, LabelScheme.BRATS2023),
    )


@dataclass(frozen=True)
class SmallMaker:
    """Makes small cases for a stream."""

    @property
    def origin(self) -> Origin:
        return {"made by": "a test"}

    def begin(self) -> None:
        pass

    def __call__(self, number: int) -> Prepared:
        return prepare(small_case(number))


def write_small_dataset(folder: Path, count: int) -> Path:
    """Write that many small cases in the BraTS 2023 layout."""
    for seed in range(count):
        write_case(small_case(seed), folder, Layout.BRATS2023, LabelScheme.BRATS2023)
    return folder


def write_visits(folder: Path, *visits: str) -> Path:
    """Write a small case for each visit, such as "00002-001", named as BraTS does since 2023."""
    for seed, visit in enumerate(visits):
        case = replace(small_case(seed), identity=f"BraTS-GLI-{visit}")
        write_case(case, folder, Layout.BRATS2023, LabelScheme.BRATS2023)
    return folder


def _distance(shape: tuple[int, int, int], centre: NDArray[np.float64]) -> NDArray[np.float64]:
    grid = np.indices(shape).astype(np.float64)
    distance: NDArray[np.float64] = np.sqrt(
        sum((grid[axis] - centre[axis]) ** 2 for axis in range(3))
    )
    return distance
