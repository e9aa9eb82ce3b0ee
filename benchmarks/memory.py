"""What is planned and what is held: segmenting and training within budgets.

    python benchmarks/memory.py CASE [--labels brats2021] [--only segment|train] [--json FILE]

Each row is a process of its own, watched from outside; it is killed above its budget. Labels are
compared with the whole volume's. Nothing else may run where times are to mean something.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from minicube._machine import processor_name
from minicube.planning import in_words, parse_memory
from minicube.planning.guard import run_within
from minicube.scans import LabelScheme, find_cases, load_case, read_labels
from minicube.volumes import prepare, store_one

UNLIMITED = 1 << 40
BUDGETS = ("512MB", "600MB", "700MB", "1GB", "2GB", "3GB")
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


def segment_row(case: Path, budget: int, out: Path) -> dict[str, Any]:
    """Segment within a budget; the shipped model."""
    words = ["-m", "minicube", "segment", str(case), "-o", str(out), "--precision", "fp32"]
    words += ["--memory", f"{budget // 2**20}MB", "--json"]
    done = run_within([sys.executable, *words], budget)
    if done.code:
        why = "killed" if done.killed else done.errors.strip().splitlines()[1].strip()
        return {"budget": budget, "how": why, "killed": done.killed}
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


def segmenting(case: Path, folder: Path) -> list[dict[str, Any]]:
    """Every budget, and the labels that are not the whole volume's."""
    rows, whole = [], None
    for budget in (parse_memory("16GB"), *(parse_memory(words) for words in BUDGETS)):
        out = folder / f"{budget}.nii.gz"
        row = segment_row(case, budget, out)
        if out.exists():
            labels = read_labels(out, LabelScheme.BRATS2023)[0].array
            whole = labels if whole is None else whole
            row["differ"] = int(np.count_nonzero(labels != whole))
        show("segment, shipped model", row)
        rows.append(row)
    return rows


def main() -> int:
    """Measure; returns 1 when a budget was not kept or a plan was more than 15 % off."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", type=Path)
    parser.add_argument("--labels", default="brats2021")
    parser.add_argument("--only", choices=("segment", "train"))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows: dict[str, list[dict[str, Any]]] = {"segment": [], "train": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if given.only != "train":
            rows["segment"] = segmenting(given.case, folder)
        if given.only != "segment":
            (files,) = find_cases(given.case)
            case = load_case(files, labels=LabelScheme(given.labels))
            store_one(prepare(case), folder)
            for title, asked in TRAININGS.items():
                row = {"training": title, **train_row(asked, folder, files.identity)}
                show(title, row)
                rows["train"].append(row)
    if given.json is not None:
        machine = {"processor": processor_name(), "python": sys.version.split()[0]}
        given.json.write_text(json.dumps({"machine": machine, **rows}, indent=1), encoding="utf-8")
    measured = [row for table in rows.values() for row in table]
    kept = all(not row["killed"] for row in measured)
    near = all(1 <= r["predicted"] / r["peak"] <= 1.15 for r in measured if "predicted" in r)
    return 0 if kept and near else 1


if __name__ == "__main__":
    sys.exit(main())
