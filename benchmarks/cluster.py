"""What a cohort loses when workers are killed over it: nothing, or this exits with 1.

    python benchmarks/cluster.py [--cases 40] [--kills 2] [--model MODEL] [--json FILE]

Heads of half the size are made up and segmented twice: by `minicube segment` alone, and by it
with a scheduler and two workers, each a process of its own. One worker is killed, -9, as often as
is asked for, each time while it computes a case, and started again by its nanny. Prints counts.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from distributed import Client

from minicube.phantom import PhantomSpec, make_phantom
from minicube.scans import Case, Geometry, LabelMap, LabelScheme, Layout, write_case

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from cluster_processes import Blow, cluster, is_segmented, kill_in_mid_work

VICTIM = "victim"


def half_size(case: Case) -> Case:
    """Every second voxel along each axis, called a millimetre again."""

    def thinned(array: Any) -> Any:
        return array[::2, ::2, ::2].copy()

    assert case.reference is not None
    images = {name: thinned(image) for name, image in case.images.items()}
    brain, geometry = thinned(case.brain), case.geometry
    labels = LabelMap(thinned(case.reference.array), case.reference.scheme)
    small = Geometry(brain.shape, geometry.affine)
    return replace(case, images=images, brain=brain, geometry=small, reference=labels)


def write_heads(folder: Path, count: int) -> None:
    """Make the cohort."""
    for index in range(count):
        case = half_size(make_phantom(PhantomSpec(seed=8), index))
        write_case(case, folder, Layout.BRATS2023, LabelScheme.BRATS2023)


def segment(*words: str | Path) -> subprocess.Popen[str]:
    """Start `minicube segment`."""
    command = [sys.executable, "-m", "minicube", "segment", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen[str]) -> None:
    """Wait for it; what went wrong is told."""
    told = process.communicate()[1]
    if process.returncode:
        raise RuntimeError(told)


def blows(address: str, out: Path, count: int) -> list[Blow]:
    """Kill the one worker that often, spread over the run."""
    landed: list[Blow] = []
    with Client(address, set_as_default=False) as client:
        while len(landed) < count:
            landed.append(kill_in_mid_work(client, VICTIM, is_segmented(out), seconds=600))
            time.sleep(1)  # it is started again meanwhile
    return landed


def compared(alone: Path, spread: Path) -> dict[str, int]:
    """Label maps of both ways, those that are equal byte for byte, and what should not be."""
    ours, theirs = (sorted(folder.glob("*_seg.nii.gz")) for folder in (alone, spread))
    equal = [
        path
        for path in ours
        if (spread / path.name).is_file() and (spread / path.name).read_bytes() == path.read_bytes()
    ]
    done = is_segmented(spread)
    return {
        "serial": len(ours),
        "outputs": len(theirs),
        "equal": len(equal),
        "noted": sum(done(path.name.removesuffix("_seg.nii.gz")) for path in theirs),
        "half_written": len(list(spread.glob(".part-*"))),
    }


def main() -> None:
    """Run both ways, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=40)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--model", type=Path, help="the shipped one by default")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    model = [] if given.model is None else ["--model", given.model.resolve()]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        cohort, alone, spread = (folder / name for name in ("cohort", "alone", "spread"))
        write_heads(cohort, given.cases)
        finished(segment(cohort, "-o", alone, *model))
        with cluster(folder / "dask", [VICTIM, "other"]) as address:
            run = segment(cohort, "-o", spread, "--scheduler", address, *model)
            landed = blows(address, spread, given.kills)
            finished(run)
        counts = compared(alone, spread)
    result = {
        "cases": given.cases,
        "kills": len(landed),
        "processes_killed": len({blow.process for blow in landed}),
        "at_cases": [blow.case for blow in landed],
        **counts,
        "dask": version("distributed"),
        "minicube": version("minicube"),
    }
    print(json.dumps(result, indent=1))
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    whole = all(counts[name] == given.cases for name in ("serial", "outputs", "equal", "noted"))
    sys.exit(0 if whole and len(landed) == given.kills else 1)


if __name__ == "__main__":
    main()
