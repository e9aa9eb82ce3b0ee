"""How simulated tumours compare with real patches, and what a simulated case costs.

python benchmarks/simulator.py --shapes MAPS.npz --patches PATCHES.npz --leave-out TABLE.tsv

z-scores of the whole brain, medians over tumours of each one's 5 %, 50 % and 95 %: of each part,
and of normal tissue as far from a tumour's middle as patches reach.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minicube.scans import NETWORK_SCHEME, Sequence
from minicube.simulator import Material, load_material, patients_of, simulate
from minicube.volumes import prepare

SHARES = (5, 50, 95)
ENOUGH = 100  # voxels of a part
REACH = (30, 30, 19)  # mm, half a patch

Summary = dict[tuple[int, int], NDArray[np.float64]]


def summary(scores: NDArray[np.float32], labels: NDArray[np.uint8]) -> Summary:
    """Percentiles by label and sequence; scores are ``(sequence, n)``, labels ``(n,)``."""
    return {
        (label, row): np.percentile(values[labels == label], SHARES)
        for label in NETWORK_SCHEME.values
        for row, values in enumerate(scores)
        if np.count_nonzero(labels == label) > ENOUGH
    }


def of_patches(material: Material) -> Iterator[Summary]:
    """Summaries of real patches."""
    for patch in material.patches:
        yield summary(patch.scores[:, patch.known], patch.labels[patch.known])


def of_simulated(material: Material, count: int, spent: list[float]) -> Iterator[Summary]:
    """Summaries of simulated cases that have a tumour; adds the processor seconds of each case."""
    for seed in range(count):
        began = time.process_time()
        case = simulate(seed, material)
        spent.append(time.process_time() - began)
        ready = prepare(case)
        assert ready.labels is not None
        places = np.nonzero(ready.labels.array)
        if not places[0].size:
            continue
        box = tuple(
            slice(max(0, int(axis.mean()) - far), int(axis.mean()) + far)
            for axis, far in zip(places, REACH, strict=True)
        )
        inside = ready.brain[box]
        yield summary(ready.images[(slice(None), *box)][:, inside], ready.labels.array[box][inside])


def in_words(found: list[Summary], label: int, row: int) -> str:
    """One cell of the table."""
    values = [one[label, row] for one in found if (label, row) in one]
    if not values:
        return "–"
    middle = " ".join(f"{value:5.2f}" for value in np.median(values, axis=0))
    return f"{middle} (n = {len(values)})"


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", type=Path, required=True)
    parser.add_argument("--patches", type=Path, required=True)
    parser.add_argument("--leave-out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=24)
    given = parser.parse_args()
    material = load_material(given.shapes, given.patches, leave_out=patients_of(given.leave_out))
    spent: list[float] = []
    real = list(of_patches(material))
    made = list(of_simulated(material, given.count, spent))
    print("| part | sequence | patches | simulated |\n| --- | --- | --- | --- |")
    for label in NETWORK_SCHEME.values:
        part = NETWORK_SCHEME.tissues[label].value if label else "normal"
        for row, sequence in enumerate(Sequence):
            cells = in_words(real, label, row), in_words(made, label, row)
            print(f"| {part} | {sequence.label} | {' | '.join(cells)} |")
    print(f"\nprocessor seconds a case, median: {statistics.median(spent):.2f}")


if __name__ == "__main__":
    main()
