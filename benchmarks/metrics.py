"""Dice, HD95 and surface Dice of WT, TC and ET: seconds a case here and in MONAI, one thread each.

    python benchmarks/metrics.py --predictions FOLDER ... --references FOLDER --labels brats2021

A prediction belongs to the reference whose name its own name ends with. Both sides start from
label maps in memory: ours from the maps, MONAI's from the masks of the three regions as tensors,
made beforehand and not counted. The numbers of both must agree; the exit code is 1 when they do
not, or when ours is not three times as fast.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before the libraries that read it

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from monai.metrics import compute_dice, compute_hausdorff_distance, compute_surface_dice

from minicube._errors import InputError
from minicube.evaluation import confusion, surface_distances
from minicube.scans import LabelMap, LabelScheme, Region, read_labels

TARGET = 3.0
REGIONS = tuple(Region)
SPACING = (1.0, 1.0, 1.0)
NAMES = ("Dice", "HD95", "NSD")
Values = list[float]


def main() -> int:
    """Measure every case on both sides and print the table."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # MONAI's own deprecations
    arguments = _arguments()
    pairs = _pairs(arguments.predictions, arguments.references)
    scheme = LabelScheme(arguments.labels)
    print(f"{len(pairs)} cases; load average before: {os.getloadavg()[0]:.1f}")
    print(f"{'case':34} {'ours':>16} {'MONAI':>24}   ratio")
    print(f"{'':34} {'Dice   HD95+NSD':>16} {'Dice   HD95    NSD':>24}")
    rows = []
    for i, (name, files) in enumerate(pairs.items()):
        maps = tuple(read_labels(file, scheme)[0] for file in files)
        if i == 0:
            _case(maps[0], maps[1])  # what is imported late is not counted
        seconds, apart = _case(maps[0], maps[1])
        rows.append((*seconds, apart))
        ours, theirs = sum(seconds[:2]), sum(seconds[2:])
        shown = "{:7.3f} {:8.3f} {:8.3f} {:7.3f} {:7.3f}".format(*seconds)
        print(f"{name:34} {shown} {theirs / ours:7.1f}", flush=True)
    return _verdict(np.array(rows))


def _verdict(rows: np.ndarray) -> int:
    ours, theirs = rows[:, :2].sum(axis=1), rows[:, 2:5].sum(axis=1)
    ratio = median(theirs / ours)
    surfaces = median(rows[:, 3:5].sum(axis=1) / rows[:, 1])
    print(f"median: {median(ours):.3f} s here, {median(theirs):.3f} s in MONAI", end="; ")
    print(f"median ratio {ratio:.1f} (HD95 and NSD alone {surfaces:.1f})")
    print(f"largest difference of any number: {rows[:, 5].max():.1g} (relative)")
    print(f"load average after: {os.getloadavg()[0]:.1f}")
    agree = rows[:, 5].max() <= 1e-6  # False for NaN
    return int(not agree or ratio < TARGET)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--predictions", type=Path, nargs="+", required=True, help="folders")
    parser.add_argument("--references", type=Path, required=True, help="folder")
    parser.add_argument("--labels", default="brats2023", help="scheme of all files")
    return parser.parse_args()


def _pairs(folders: list[Path], references: Path) -> dict[str, tuple[Path, Path]]:
    pairs = {
        f"{folder.name} {reference.name.removesuffix('.nii.gz')}": (prediction, reference)
        for folder in folders
        for reference in sorted(references.glob("*.nii.gz"))
        for prediction in sorted(folder.glob("*.nii.gz"))
        if prediction.name.endswith(reference.name)
    }
    if not pairs:
        raise InputError(f"No prediction's name ends with that of a reference in {references}.")
    return pairs


def _case(found: LabelMap, truth: LabelMap) -> tuple[tuple[float, ...], float]:
    """Seconds of each step, ours first, and the largest relative difference of the numbers."""
    tensors = [
        torch.from_numpy(np.stack([np.ascontiguousarray(m.region(r)) for r in REGIONS]))[None]
        for m in (found, truth)
    ]
    floats = [masks.float() for masks in tensors]
    common = {"include_background": True, "spacing": SPACING}
    steps: tuple[Callable[[], Values], ...] = (
        lambda: _our_dice(found, truth),
        lambda: _our_surfaces(found, truth),
        lambda: _listed(compute_dice(*floats)),
        lambda: _listed(compute_hausdorff_distance(*tensors, percentile=95, **common)),
        lambda: _listed(compute_surface_dice(*tensors, [1.0] * len(REGIONS), **common)),
    )
    seconds, numbers = [], []
    for step in steps:
        began = time.perf_counter()
        numbers.append(step())
        seconds.append(time.perf_counter() - began)
    ours, theirs = numbers[0] + numbers[1], numbers[2] + numbers[3] + numbers[4]
    apart = [abs(a - b) / max(abs(b), 1e-6) for a, b in zip(ours, theirs, strict=True)]
    return tuple(seconds), float(np.max(apart))  # a NaN on either side stays one


def _our_dice(found: LabelMap, truth: LabelMap) -> Values:
    counted = confusion(found, truth)
    return [counted.region(region).dice or 0.0 for region in REGIONS]


def _our_surfaces(found: LabelMap, truth: LabelMap) -> Values:
    distances = surface_distances(found, truth, SPACING, REGIONS)
    scores = [distances[region].score() for region in REGIONS]
    return [s.hd95 or 0.0 for s in scores] + [s.nsd or 0.0 for s in scores]


def _listed(values: torch.Tensor) -> Values:
    listed: Values = values[0].tolist()
    return listed


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as problem:
        sys.exit(problem.text())
