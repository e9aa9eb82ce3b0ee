"""How long a scan takes: ours and others, side by side, medians of at least five.

    python benchmarks/speed.py CASES [--labels brats2021] [--model MODEL] [--int8 MODEL]
                               [--only TABLE]... [--peers PYTHON] [--json FILE] [--chart SVG]

Nothing else may run. Every run is a process of its own; ways take turns, so that what a machine
does meanwhile falls on all of them. Tables:

- cases: four gzipped NIfTI files in, one out, in a new process; Dice of what came out. Each round
  takes another of the first five cases, all ways the same.
- parts: the same steps one after another, and what each takes.
- network: the network alone on one prepared case.
- shapes: the network compiled for any shape, as we do, and for that of the case.
- small: a network of 1.4 M parameters (16-32-64-128, random weights), in the same ways.
- scaling: one core and two; 1, 2, 4 and 8 times the voxels; and a cohort of twenty against twenty
  cases' network alone.

--model is judged instead of the shipped one, --int8 adds a quantised one, --peers names a Python
that also has dynamic-network-architectures.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import nibabel
import numpy as np

import minicube
from minicube._machine import processor_name
from minicube.engines import load_model
from minicube.evaluation import evaluate_case, summarise
from minicube.inference import DEFAULT_SCHEME, shipped_model
from minicube.planning import in_words
from minicube.planning.guard import run_within
from minicube.scans import (
    NETWORK_SCHEME,
    CaseFiles,
    LabelMap,
    LabelScheme,
    find_cases,
    load_case,
)

ROUNDS = 5
COHORT = 20
CORES = 2
PEERS = Path(__file__).with_name("peers.py")
PARTS = Path(__file__).with_name("parts.py")
CACHES = Path("/proc/sys/vm/drop_caches")
SIZES = (1, 2, 4, 8)
UNLIMITED = 1 << 40


@dataclass(frozen=True)
class Way:
    """One way to segment a case from files to a file.

    Args:
        title: In tables.
        command: Its words; ``{case}`` and ``{out}`` are filled in.
        cores: It may use.
        scheme: Of the labels it writes.
        cold: Nothing of it lies in memory: as after the machine has started.
    """

    title: str
    command: tuple[str, ...]
    cores: int = CORES
    scheme: LabelScheme = DEFAULT_SCHEME
    cold: bool = False

    def words(self, case: Path, out: Path) -> list[str]:
        """The command for a case."""
        filled = [word.format(case=case, out=out) for word in self.command]
        pinned = ["taskset", "-c", ",".join(map(str, range(self.cores)))]
        return [*pinned, *filled] if shutil.which("taskset") else filled


def ours(title: str, *options: str, cores: int = CORES) -> Way:
    """Our command with options."""
    words = (sys.executable, "-m", "minicube", "segment", "{case}", "-o", "{out}", *options)
    return Way(title, words, cores)


def monai(model: Path) -> Way:
    """MONAI's, with the same weights."""
    words = (sys.executable, str(PEERS), "monai", "{case}", "--out", "{out}", "--model", str(model))
    return Way("MONAI, sliding window", words, scheme=NETWORK_SCHEME)


def cases(ways: Sequence[Way], given: argparse.Namespace, files: list[CaseFiles]) -> list[Any]:
    """Whole processes, in turn; the first round is not counted."""
    found: dict[str, list[dict[str, float]]] = {way.title: [] for way in ways}
    with tempfile.TemporaryDirectory() as name:
        for turn in range(ROUNDS + 1):
            case = files[turn % len(files)]
            for way in ways:
                out = Path(name) / f"{way.title.replace(' ', '-')}.nii.gz"
                row = timed(way, _folder(case), out)
                if turn:
                    row |= dice(out, way.scheme, case, given.labels)
                    found[way.title].append(row)
                out.unlink(missing_ok=True)
    rows = []
    for title, runs in found.items():
        rows.append({"way": title, "n": len(runs), **_medians(runs)})
        print(_line(rows[-1]), flush=True)
    return rows


def timed(way: Way, case: Path, out: Path) -> dict[str, float]:
    """Seconds and peak of one process."""
    if way.cold:
        os.sync()
        CACHES.write_text("3", encoding="utf-8")
    began = time.perf_counter()
    done = run_within(way.words(case, out), UNLIMITED)
    seconds = time.perf_counter() - began
    if done.code:
        raise RuntimeError(f"{way.title} failed:\n{done.errors}")
    return {"seconds": seconds, "peak_bytes": float(done.peak)}


def dice(out: Path, scheme: LabelScheme, case: CaseFiles, labels: LabelScheme) -> dict[str, float]:
    """Mean Dice over regions of what a way wrote, on a grid in whatever order of axes."""
    truth = load_case(case, labels=labels).reference
    assert truth is not None
    image = nibabel.as_closest_canonical(nibabel.load(out))
    found = LabelMap(np.asarray(image.dataobj).astype(np.uint8), scheme)
    scores = summarise([evaluate_case(found, truth, identity=case.identity)])
    means = [region.mean for region in scores.regions.values() if region.mean is not None]
    return {"dice": float(np.mean(means))}


def parts(model: Path, files: list[CaseFiles]) -> list[Any]:
    """The steps of a case; the first round is not counted."""
    runs = []
    with tempfile.TemporaryDirectory() as name:
        for turn in range(ROUNDS + 1):
            words = [sys.executable, str(PARTS), str(_folder(files[turn % len(files)]))]
            words += ["--model", str(model), "--out", str(Path(name) / f"{turn}.nii.gz")]
            done = run_within([*words, "--began", repr(time.time())], UNLIMITED)
            if done.code:
                raise RuntimeError(f"the parts failed:\n{done.errors}")
            runs.append(json.loads(done.output))
    rows = [
        {"way": step, "n": ROUNDS, "seconds": round(median(run[step] for run in runs[1:]), 3)}
        for step in runs[0]
    ]
    rows.append({"way": "sum", "n": ROUNDS, "seconds": round(sum(r["seconds"] for r in rows), 3)})
    for row in rows:
        print(_line(row), flush=True)
    return rows


def shapes(model: Path, case: CaseFiles) -> list[Any]:
    """Any shape against one."""
    found = _peer(sys.executable, "shapes", case, "--model", str(model))
    rows = [
        {"way": way, "compiling": row["compiling"], **_summed_up(row)} for way, row in found.items()
    ]
    for row in rows:
        print(_line(row), f"compiled in {row['compiling']:.2f} s", flush=True)
    return rows


def networks(model: Path, given: argparse.Namespace, case: CaseFiles) -> list[Any]:
    """The network alone."""
    asked = [
        ("OpenVINO, whole, fp32", ["--engine", "openvino"], model),
        ("ONNX Runtime, whole, fp32", ["--engine", "onnxruntime"], model),
        ("torch, whole, fp32", ["--engine", "torch"], model),
        ("MONAI, sliding window, fp32", ["--engine", "monai"], model),
    ]
    if given.int8 is not None:
        asked.insert(1, ("OpenVINO, whole, int8", ["--precision", "int8"], given.int8))
    rows = []
    for title, options, used in asked:
        row = _peer(sys.executable, "network", case, "--model", str(used), *options)
        rows.append({"way": title, **_summed_up(row)})
        print(_line(rows[-1]), flush=True)
    return rows


def nnunets(given: argparse.Namespace, case: CaseFiles) -> list[Any]:
    """nnU-Net's network: one window, what a case of windows takes, and the whole volume in ours."""
    window = _peer(given.peers, "nnunet", case)
    a_case = window["windows"] * window["mirrorings"]
    rows = [
        {"way": "nnU-Net 3d_fullres, one window of 128³", **_summed_up(window)},
        {
            "way": f"nnU-Net 3d_fullres, {window['windows']} windows × {window['mirrorings']}",
            "n": 0,
            "seconds": round(median(window["seconds"]) * a_case, 1),
            "computed": f"{a_case} times the window",
        },
        {
            "way": "the same network whole, OpenVINO, not mirrored",
            **_summed_up(_peer(given.peers, "nnunet-whole", case)),
        },
    ]
    for row in rows:
        print(_line(row), flush=True)
    return rows


def small(given: argparse.Namespace, files: list[CaseFiles]) -> list[Any]:
    """The 1.4 M network with random weights: its labels mean nothing."""
    from memory import write_random_model

    from minicube.export import ExportRequest, export_model
    from minicube.training import TrainingConfig

    with tempfile.TemporaryDirectory() as name:
        config = TrainingConfig(widths=(16, 32, 64, 128))
        run = write_random_model(config, Path(name) / "run")
        model = Path(name) / "small.onnx"
        export_model(ExportRequest(load_model(run), model))
        ways = [ours("minicube, 1.4 M", "--model", str(model)), monai(model)]
        rows = cases(ways, given, files)
        for row in rows:
            row["dice"] = None
        for title, options in (("OpenVINO, whole", []), ("MONAI", ["--engine", "monai"])):
            found = _peer(sys.executable, "network", files[0], "--model", str(model), *options)
            rows.append({"way": f"1.4 M, network alone, {title}, fp32", **_summed_up(found)})
            print(_line(rows[-1]), flush=True)
    return rows


def scaling(model: Path, given: argparse.Namespace, files: list[CaseFiles]) -> dict[str, Any]:
    """Cores, voxels, and a cohort."""
    chosen = ("--model", str(model))
    ways = [ours("one core", *chosen, cores=1), ours("two cores", *chosen)]
    rows = cases(ways, given, files)
    voxels = []
    for times in SIZES:
        row = _peer(sys.executable, "network", files[0], *chosen, "--times", str(times))
        voxels.append({"way": f"{times} × the voxels, network alone", **_summed_up(row)})
        print(_line(voxels[-1]), flush=True)
    return {"cores": rows, "voxels": voxels, "cohort": cohort(model, files)}


def cohort(model: Path, files: list[CaseFiles]) -> dict[str, Any]:
    """Twenty cases in one command, against the network alone on each of them."""
    chosen = ("--model", str(model))
    alone = [
        median(_peer(sys.executable, "network", case, *chosen)["seconds"])
        for case in files[:COHORT]
    ]
    with tempfile.TemporaryDirectory() as name:
        cohort = Path(name) / "cohort"
        for index in range(COHORT):
            case = _folder(files[index % len(files)])
            shutil.copytree(case, cohort / f"case-{index:02}")
        way = ours("cohort", *chosen)
        seconds = timed(way, cohort, Path(name) / "out")["seconds"]
        written = len(list((Path(name) / "out").rglob("*.nii.gz")))
    unavoidable = sum(alone[index % len(alone)] for index in range(COHORT))
    found = {"n": written, "seconds": round(seconds, 2), "network_alone": round(unavoidable, 2)}
    found["ratio"] = round(seconds / found["network_alone"], 3)
    print(f"cohort of {written}: {seconds:.1f} s, {found['ratio']} × the networks alone")
    return found


def _peer(python: str | Path, way: str, case: CaseFiles, *options: str) -> dict[str, Any]:
    words = [str(python), str(PEERS), way, str(_folder(case)), "--repeats", str(ROUNDS), *options]
    path = os.pathsep.join([str(Path(minicube.__file__).parents[1]), *sys.path[1:]])
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "PYTHONPATH": path}
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(f"{way} failed:\n{done.stderr}")
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def _folder(case: CaseFiles) -> Path:
    path = next(iter(case.sequences.values()))
    assert isinstance(path, Path)
    return path.parent


def _medians(runs: list[dict[str, float]]) -> dict[str, float]:
    found = {key: median(run[key] for run in runs) for key in ("seconds", "peak_bytes")}
    mean = float(np.mean([run["dice"] for run in runs]))
    return {k: round(v, 3) for k, v in found.items()} | {"dice": round(mean, 4)}


def _summed_up(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "n": len(row["seconds"]),
        "seconds": median(row["seconds"]),
        "peak_bytes": row["peak_bytes"],
    }


def _line(row: Mapping[str, Any]) -> str:
    peak = in_words(int(row["peak_bytes"])) if row.get("peak_bytes") else ""
    score = f"{row['dice']:.4f}" if row.get("dice") is not None else ""
    return f"{row['way']:<52}{row['seconds']:>9.2f} s{peak:>10}{score:>8}"


def chart(found: Mapping[str, Any], path: Path) -> None:
    """Bars of seconds from files to file."""
    rows = [(row["way"], row["seconds"]) for row in found["cases"]]
    longest = max(seconds for _, seconds in rows)
    height = 34 * len(rows) + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 {height}" role="img" '
        'font-family="sans-serif" font-size="14"><title>Seconds from files to file</title>'
        f'<rect width="720" height="{height}" fill="#fff"/>'
    ]
    for index, (name, seconds) in enumerate(rows):
        y, width = 10 + 34 * index, 400 * seconds / longest
        colour = "#2a6f97" if name.startswith("minicube") else "#a9a9a9"
        parts.append(
            f'<text x="222" y="{y + 17}" text-anchor="end" fill="#222">{name}</text>'
            f'<rect x="232" y="{y}" width="{width:.1f}" height="24" fill="{colour}"/>'
            f'<text x="{240 + width:.1f}" y="{y + 17}" fill="#222">{seconds:.1f} s</text>'
        )
    path.write_text("".join(parts) + "</svg>\n", encoding="utf-8")


def measure(asked: Sequence[str], model: Path, given: argparse.Namespace) -> dict[str, Any]:
    """The tables that were asked for."""
    files = find_cases(given.cases)[:ROUNDS]
    found: dict[str, Any] = {}
    if "network" in asked:
        found["network"] = networks(model, given, files[0])
        if given.peers is not None:
            found["nnunet"] = nnunets(given, files[0])
    if "shapes" in asked:
        found["shapes"] = shapes(model, files[0])
    if "cases" in asked:
        chosen = ("--model", str(model))
        ways = [ours("minicube", *chosen)]
        if os.access(CACHES, os.W_OK):
            ways.append(replace(ways[0], title="minicube, nothing cached", cold=True))
        if given.int8 is not None:
            ways.append(ours("minicube, int8", "--model", str(given.int8)))
        ways.append(ours("minicube, ONNX Runtime", *chosen, "--engine", "onnxruntime"))
        ways += [ours("minicube, torch", *chosen, "--engine", "torch"), monai(model)]
        found["cases"] = cases(ways, given, files)
    if "parts" in asked:
        found["parts"] = parts(model, files)
    if "small" in asked:
        found["small"] = small(given, files)
    if "scaling" in asked:
        found["scaling"] = scaling(model, given, files)
    return found


def main() -> int:
    """Measure what was asked for."""
    tables = ("cases", "parts", "network", "shapes", "small", "scaling")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--labels", type=LabelScheme, default=LabelScheme.BRATS2021)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--int8", type=Path)
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--only", choices=tables, action="append")
    parser.add_argument("--json", type=Path, help="Other tables in it are kept.")
    parser.add_argument("--chart", type=Path)
    given = parser.parse_args()
    model = shipped_model() if given.model is None else load_model(given.model)
    found: dict[str, Any] = {}
    if given.json is not None and given.json.exists():
        found = json.loads(given.json.read_text(encoding="utf-8"))
    found["machine"] = {"processor": processor_name(), "cores": CORES}
    found["machine"] |= {name: version(name) for name in ("minicube", "torch", "openvino", "monai")}
    told = {"network", "widths", "steps", "sha256"}
    found["model"] = model.description.model_dump(mode="json", include=told)
    found |= measure(given.only or tables, model.weights, given)
    if given.json is not None:
        text = json.dumps(found, indent=1, ensure_ascii=False)
        given.json.write_text(text + "\n", encoding="utf-8")
    if given.chart is not None:
        chart(found, given.chart)
    return 0


if __name__ == "__main__":
    sys.exit(main())
