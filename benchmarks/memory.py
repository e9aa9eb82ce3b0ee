"""What is planned and what is held: segmenting and training within budgets.

    python benchmarks/memory.py CASE [--labels brats2021] [--only TABLE]... [--json FILE]

Each row is a process of its own, watched from outside; it is killed above its budget. Labels are
compared with the whole volume's. Nothing else may run where times are to mean something. Tables:

- segment: the shipped model within ever more memory.
- networks: the others at their presets' widths, with random weights, which take as much memory as
  trained ones. Those that were made for minicubes are run as if for whole volumes.
- sizes: the case at 1, 4 and 8 times its voxels, 1 mm all the same, within one budget. No such
  brain is let in from disk, so the checks of a case are left out there; all else is as ever.
- train: two steps within a budget.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from minicube._machine import processor_name
from minicube._version import __version__
from minicube.engines import ModelDescription
from minicube.networks import build_network, cost_of
from minicube.planning import in_words, parse_memory
from minicube.planning.guard import Guarded, run_within
from minicube.scans import (
    NETWORK_SCHEME,
    LabelScheme,
    Sequence,
    find_cases,
    load_case,
    read_labels,
    read_volume,
    write_volume,
)
from minicube.training import TrainingConfig
from minicube.training.run_folder import RunFolder
from minicube.volumes import NETWORK_SPACING, prepare, store_one

TABLES = ("segment", "networks", "sizes", "train")
WHOLE = "16GB"
BUDGETS = ("512MB", "600MB", "700MB", "1GB", "2GB", "3GB")
NETWORKS = {
    "unet3d-report": ("600MB", "1GB"),
    "vnet": ("600MB", "1GB"),
    "unet2d": ("600MB", "1GB"),
    "segnet": ("512MB", "700MB"),
}
SIZES = {1: (1, 1, 1), 4: (2, 2, 1), 8: (2, 2, 2)}
SIZES_BUDGET = "2GB"
VOLUME = {"sampling": "volumes", "batch": 1, "slab": 32, "frozen_statistics": True}
TRAININGS: dict[str, tuple[str, dict[str, Any], str]] = {
    "report's minicubes, 3D U-Net": ("unet3d-report", {}, "2GB"),
    "the same in 1 GB": ("unet3d-report", {}, "1GB"),
    "Figure 3 at 64-128-256, two minicubes": ("unet3d-context", {}, "3GB"),
    "V-Net": ("vnet", {}, "2GB"),
    "whole 192 × 192 × 160, 16-32-64-128": ("", VOLUME | {"region": (192, 192, 160)}, "3GB"),
}
STEP = """
import json, sys, time
from pathlib import Path
from minicube._machine import give_back_freed_memory, peak_memory
from minicube.training import TrainingConfig
from minicube.training.memory import within_memory
from minicube.training.stepper import Stepper
from minicube.volumes import open_stored

preset, values, budget, folder, name = json.loads(sys.argv[1])
give_back_freed_memory()
base = TrainingConfig.read(preset).model_dump() if preset else {}
config = TrainingConfig.checked(base | values | {"precision": "fp32"}, "benchmark")
case = open_stored(Path(folder), name)
plan = within_memory(config, budget, case.shape)
stepper = Stepper(plan.config, [case])
seconds = []
for step in range(2):
    began = time.perf_counter()
    stepper.step(step)
    seconds.append(time.perf_counter() - began)
print(json.dumps({
    "how": plan.in_words().split(";")[0],
    "predicted": plan.predicted,
    "peak": peak_memory(),
    "seconds": min(seconds),
}))
"""


SIZED = """
import json, sys, time
from pathlib import Path
from minicube._machine import peak_memory
from minicube.inference import Limits, Segmenter
from minicube.engines import Precision
from minicube.scans import Case, Sequence
from minicube.scans._brain import brain_mask
from minicube.scans.on_disk import ImagesOnDisk

folder, budget, out = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
segmenter = Segmenter(limits=Limits(budget, Precision.FP32))
images = ImagesOnDisk.of({s: folder / f"{s.value}.nii.gz" for s in Sequence})
geometry = images.geometries[Sequence.T1N]

def shown(sequence):
    import numpy as np

    mask = np.zeros(geometry.ras_shape, np.bool_, order="F")
    for _, where, slab in images.slabs((sequence,)):
        mask[where] = slab != 0
    return mask

brain = brain_mask(map(shown, Sequence))
found = segmenter.segment(Case("large", images, geometry, brain))
found.save(out)
print(json.dumps({"memory": found.plan.to_dict(), "seconds": round(found.seconds, 2)}))
"""


def segment_row(case: Path, budget: int, out: Path, model: Path | None = None) -> dict[str, Any]:
    """Segment within a budget; the shipped model where none is given."""
    words = ["-m", "minicube", "segment", str(case), "-o", str(out), "--precision", "fp32"]
    words += ["--memory", f"{budget // 2**20}MB", "--json"]
    words += [] if model is None else ["--model", str(model)]
    return as_row(run_within([sys.executable, *words], budget), budget)


def as_row(done: Guarded, budget: int) -> dict[str, Any]:
    """What a guarded segmentation said."""
    if done.code:
        said = [line.strip() for line in done.errors.strip().splitlines()]
        why = next((line for line in said if "at least" in line), said[-1])
        return {"budget": budget, "how": "killed" if done.killed else why, "killed": done.killed}
    found = json.loads(done.output)
    memory = found["memory"]
    return {
        "budget": budget,
        "how": memory["cut"],
        "predicted": memory["predicted_bytes"],
        "peak": done.peak,
        "seconds": found["seconds"],
        "overhead": memory["overhead"],
        "killed": False,
    }


def train_row(asked: tuple[str, dict[str, Any], str], folder: Path, name: str) -> dict[str, Any]:
    """Two training steps within a budget."""
    preset, values, words = asked
    budget = parse_memory(words)
    request = json.dumps([preset, values, budget, str(folder), name])
    done = run_within([sys.executable, "-c", STEP, request], budget)
    if done.code:
        last = done.errors.strip().splitlines()[-1:]
        why = "killed" if done.killed else " ".join(last)
        return {"budget": budget, "how": why, "killed": done.killed}
    return {"budget": budget, **json.loads(done.output), "peak": done.peak, "killed": False}


def show(name: str, row: dict[str, Any]) -> None:
    """One line of a table."""
    if "predicted" not in row:
        print(f"{name:<40}{in_words(row['budget']):>9}  {row['how']}", flush=True)
        return
    ratio = row["predicted"] / row["peak"]
    print(
        f"{name:<40}{in_words(row['budget']):>9}{in_words(row['predicted']):>9}"
        f"{in_words(row['peak']):>9}{ratio:>7.3f}{row['seconds']:>8.1f} s  "
        f"{row.get('differ', '-')} differ  {row['how']}",
        flush=True,
    )


def segmenting(
    case: Path,
    folder: Path,
    budgets: tuple[str, ...],
    name: str = "shipped",
    model: Path | None = None,
) -> list[dict[str, Any]]:
    """The whole volume and every budget, and the labels that are not the whole volume's."""
    rows, whole = [], None
    for budget in map(parse_memory, (WHOLE, *budgets)):
        out = folder / f"{name}-{budget}.nii.gz"
        row = {"network": name, **segment_row(case, budget, out, model)}
        if out.exists():
            labels = read_labels(out, LabelScheme.BRATS2023)[0].array
            whole = labels if whole is None else whole
            row["differ"] = int(np.count_nonzero(labels != whole))
        show(f"segment, {name}", row)
        rows.append(row)
    return rows


def write_random_model(config: TrainingConfig, folder: Path) -> Path:
    """A model of a config's network for whole volumes, untrained."""
    import torch

    torch.manual_seed(0)
    network = build_network(config.network_config)
    description = ModelDescription.model_validate(
        {
            "name": folder.name,
            "network": config.network.value,
            "widths": config.widths,
            "layers": config.normalisation.value,
            "sequences": tuple(s.value for s in Sequence),
            "spacing": NETWORK_SPACING,
            "normalisation": config.intensities,
            "scheme": NETWORK_SCHEME.value,
            "trained_on": "nothing",
            "licence": "none",
            "minicube": __version__,
            "steps": 0,
            "sha256": "",
            "cost": cost_of(config.network_config),
        }
    )
    folder.mkdir()
    RunFolder(folder).write_model(network.state_dict(), description)
    return folder


def networks(case: Path, folder: Path) -> list[dict[str, Any]]:
    """Every network that can be planned, beside the shipped one."""
    rows = []
    for preset, budgets in NETWORKS.items():
        model = write_random_model(TrainingConfig.read(preset), folder / preset)
        rows += segmenting(case, folder, budgets, preset, model)
    return rows


def sizes(case: Path, folder: Path) -> list[dict[str, Any]]:
    """One case at several times its voxels, within one budget."""
    rows: list[dict[str, Any]] = []
    budget = parse_memory(SIZES_BUDGET)
    for times, repeats in SIZES.items():
        large = folder / f"{times} times"
        write_repeated(case, repeats, large)
        words = [str(large), str(budget), str(large / "labels.nii.gz")]
        done = run_within([sys.executable, "-c", SIZED, *words], budget)
        row = {"times": times, **as_row(done, budget)}
        if "seconds" in row and rows and "seconds" in rows[0]:
            work = times * row["overhead"] / rows[0]["overhead"]
            row["of_linear"] = round(row["seconds"] / (work * rows[0]["seconds"]), 3)
        show(f"{times} × the voxels", row)
        rows.append(row)
    return rows


def write_repeated(case: Path, repeats: tuple[int, int, int], folder: Path) -> None:
    """A case's scans with every voxel repeated along x, y, z; the affine stays."""
    folder.mkdir()
    (files,) = find_cases(case)
    for sequence, path in files.sequences.items():
        assert isinstance(path, Path)
        array, geometry = read_volume(path)
        for axis, count in enumerate(repeats):
            array = np.repeat(array, count, axis=axis)
        grid = replace(geometry, shape=array.shape)
        write_volume(folder / f"{sequence.value}.nii.gz", array, grid)


def training(case: Path, folder: Path, scheme: LabelScheme) -> list[dict[str, Any]]:
    """Every training within its budget."""
    (files,) = find_cases(case)
    store_one(prepare(load_case(files, labels=scheme)), folder)
    rows = []
    for title, asked in TRAININGS.items():
        row = {"training": title, **train_row(asked, folder, files.identity)}
        show(title, row)
        rows.append(row)
    return rows


def main() -> int:
    """Measure; returns 1 when a budget was not kept or a plan was more than 15 % off."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", type=Path)
    parser.add_argument("--labels", type=LabelScheme, default=LabelScheme.BRATS2021)
    parser.add_argument("--only", choices=TABLES, action="append", help="May be given again.")
    parser.add_argument("--json", type=Path, help="Other tables in it are kept.")
    given = parser.parse_args()
    tables = {
        "segment": lambda folder: segmenting(given.case, folder, BUDGETS),
        "networks": lambda folder: networks(given.case, folder),
        "sizes": lambda folder: sizes(given.case, folder),
        "train": lambda folder: training(given.case, folder, given.labels),
    }
    rows: dict[str, list[dict[str, Any]]] = {}
    for table in given.only or TABLES:
        with tempfile.TemporaryDirectory() as name:
            rows[table] = tables[table](Path(name))
    if given.json is not None:
        kept = json.loads(given.json.read_text(encoding="utf-8")) if given.json.exists() else {}
        machine = {"processor": processor_name(), "python": sys.version.split()[0]}
        machine |= {name: version(name) for name in ("minicube", "numpy", "torch")}
        text = json.dumps(kept | {"machine": machine} | rows, indent=1, ensure_ascii=False)
        given.json.write_text(text + "\n", encoding="utf-8")
    measured = [row for table in rows.values() for row in table]
    kept_all = all(not row["killed"] for row in measured)
    near = all(1 <= r["predicted"] / r["peak"] <= 1.15 for r in measured if "predicted" in r)
    return 0 if kept_all and near else 1


if __name__ == "__main__":
    sys.exit(main())
