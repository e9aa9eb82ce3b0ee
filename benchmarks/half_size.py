"""Heads of half the size, so that many small trainings are affordable: the cases of a search.

python benchmarks/half_size.py CASES OUT

Eight voxels become one that is said to be 1 mm wide: images by their mean, labels by the first of
the eight. Networks see a small head, not a coarse one.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minicube.scans import Case, Geometry, LabelMap, Layout, find_cases, load_case, write_case


def half_size(case: Case) -> Case:
    """The case at half its size along each axis."""
    assert case.reference is not None
    shape = tuple(n // 2 for n in case.brain.shape)
    x, y, z = shape
    even = np.s_[: 2 * x, : 2 * y, : 2 * z]

    def mean(image: NDArray[np.float32]) -> NDArray[np.float32]:
        eights = image[even].reshape(x, 2, y, 2, z, 2)
        return np.where(brain, eights.mean((1, 3, 5)).clip(1), 0).astype(np.float32)

    brain = case.brain[even][::2, ::2, ::2]
    labels = np.where(brain, case.reference.array[even][::2, ::2, ::2], 0).astype(np.uint8)
    return replace(
        case,
        images={sequence: mean(image) for sequence, image in case.images.items()},
        geometry=Geometry((x, y, z), np.eye(4)),
        brain=brain,
        reference=LabelMap(labels, case.reference.scheme),
    )


def main() -> None:
    """Write the small cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    for files in find_cases(given.cases):
        write_case(half_size(load_case(files)), given.out, Layout.BRATS2023)


if __name__ == "__main__":
    main()
