"""Parts against the whole: ours, MONAI's sliding window, and the report's minicubes, side by side.

    python benchmarks/partition.py CASE [--threads 2] [--memory 1GB] [--context-model RUN]
                                   [--json FILE] [--picture PNG]

Same weights (the shipped model), same precision (fp32), same images, one process each. What
each says is compared with the whole volume run at once.

With a trained context network, whose decoder pads inside each part, its own parts are held against
its own whole-volume run: one part as large as the volume, its ten voxels of context around it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicube._machine import (
    forget_peak_memory,
    give_back_freed_memory,
    peak_memory,
    processor_name,
    resident_memory,
)
from minicube.engines import load_model
from minicube.planning import in_words, parse_memory

WAYS = ("whole", "exact", "monai", "report, no context", "report, context 20")
CONTEXT_WAYS = ("context network, whole", "context network, own parts")
DRAWN = {
    "exact": "exact parts",
    "monai": "sliding window",
    "report, context 20": "minicubes, context 20",
    "report, no context": "minicubes",
}
REPEATS = 3


def run(way: str, given: argparse.Namespace) -> dict[str, Any]:
    """Segment in this process; returns seconds and the bytes held above what was there before."""
    import torch

    from minicube.engines import Cut, volume_logits
    from minicube.engines.torch_engine import TorchEngine, load_network
    from minicube.inference import shipped_model
    from minicube.planning import Task, plan_partition
    from minicube.scans import load_case
    from minicube.volumes import REPORT_MINICUBE, prepare

    give_back_freed_memory()
    torch.set_num_threads(given.threads)
    model = load_model(given.context_model) if way in CONTEXT_WAYS else shipped_model()
    prepared = prepare(load_case(given.case, with_reference=False))
    images = prepared.images_as(model.description.normalisation)
    network = load_network(model)
    engine = TorchEngine(network, bf16=False)
    words = ""
    if way == "monai":
        from monai.inferers import sliding_window_inference

        def answer() -> NDArray[np.float32]:
            batch = torch.from_numpy(images)[None]
            with torch.inference_mode():
                found = sliding_window_inference(
                    batch, (128, 128, 128), 1, network, overlap=0.5, mode="gaussian"
                )
            logits: NDArray[np.float32] = found[0].numpy()
            return logits
    else:
        x, y, z = images.shape[1:]
        cut: Any = None
        if way == "exact":
            plan = plan_partition(Task(engine.cost, (x, y, z)), parse_memory(given.memory))
            assert plan is not None
            cut, words = plan.partition, plan.partition.in_words()
        elif way.startswith("report"):
            cut = Cut(REPORT_MINICUBE, 20 if "20" in way else 0)
        elif way == "context network, own parts":
            cut = model.description.cut

        def answer() -> NDArray[np.float32]:
            return volume_logits(engine, images, cut)

    seconds, logits, held = [], None, 0
    for _ in range(REPEATS):
        logits = None
        before = resident_memory() or 0
        forget_peak_memory()
        began = time.perf_counter()
        logits = answer()
        seconds.append(time.perf_counter() - began)
        held = max(held, (peak_memory() or 0) - before)
    assert logits is not None
    np.savez(given.out, logits=logits, image=images[3])
    return {"way": way, "how": words, "seconds": float(np.median(seconds)), "held_bytes": held}


def compare(kept: dict[str, Path], whole_way: str) -> dict[str, dict[str, float | int]]:
    """Of each way what differs from the whole."""
    with np.load(kept[whole_way]) as archive:
        whole = archive["logits"]
    first, second = np.sort(whole, axis=0)[::-1][:2]
    sure = first - second > 2e-4
    found = {}
    for way, path in kept.items():
        with np.load(path) as archive:
            logits = archive["logits"]
        differ = logits.argmax(axis=0) != whole.argmax(axis=0)
        found[way] = {
            "largest_difference": float(np.abs(logits - whole).max()),
            "labels_that_differ": int(np.count_nonzero(differ)),
            "of_them_sure": int(np.count_nonzero(differ & sure)),
        }
    return found


def measured(ways: tuple[str, ...], folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """A row for each way, in a process of its own; the first is the whole."""
    rows: dict[str, Any] = {}
    for way in ways:
        words = ["--way", way, "--out", str(logits_of(way, folder))]
        command = [sys.executable, __file__, *sys.argv[1:], *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows[way] = json.loads(done.stdout.splitlines()[-1])
    for way, differences in compare({w: logits_of(w, folder) for w in ways}, ways[0]).items():
        rows[way] |= differences
    return rows


def logits_of(way: str, folder: Path) -> Path:
    """Where a way's logits are kept."""
    return folder / f"{way}.npz"


def show(rows: dict[str, Any]) -> None:
    """A table; the first row is the whole."""
    whole, *_ = rows.values()
    print(f"{'way':<28}{'seconds':>9}{'ratio':>7}{'held':>9}{'differ':>9}{'largest':>10}")
    for way, row in rows.items():
        print(
            f"{way:<28}{row['seconds']:>9.2f}{row['seconds'] / whole['seconds']:>7.2f}"
            f"{in_words(row['held_bytes']):>9}{row['labels_that_differ']:>9}"
            f"{row['largest_difference']:>10.1e}  {row['how']}"
        )


def picture(kept: dict[str, Path], path: Path) -> None:
    """Where labels differ from the whole's: the axial slice in which the report's differ most."""
    from PIL import Image, ImageDraw, ImageFont

    with np.load(kept["whole"]) as archive:
        whole, image = archive["logits"].argmax(axis=0), archive["image"]
    shown = {}
    for way in DRAWN:
        with np.load(kept[way]) as archive:
            shown[way] = archive["logits"].argmax(axis=0) != whole
    z = int(shown["report, no context"].sum(axis=(0, 1)).argmax())
    flair = image[:, :, z]
    grey = np.where(flair == 0, 0, np.clip((flair + 2) / 6, 0, 1))
    tiles = []
    for differ in shown.values():
        tile = np.repeat((grey * 255).astype(np.uint8)[..., None], 3, axis=2)
        tile[differ[:, :, z]] = (230, 60, 40)
        tiles.append(np.rot90(tile))
    joined = Image.fromarray(np.concatenate(tiles, axis=1))
    scaled = joined.resize((joined.width * 2, joined.height * 2), Image.Resampling.NEAREST)
    canvas = Image.new("RGB", (scaled.width, scaled.height + 28), "black")
    canvas.paste(scaled, (0, 28))
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=15)
    for index, (way, differ) in enumerate(shown.items()):
        words = f"{DRAWN[way]}: {int(differ.sum())}"
        pen.text((index * scaled.width / len(shown) + 8, 6), words, fill="white", font=font)
    canvas.save(path, optimize=True)


def main() -> int:
    """Run every way in a process of its own; returns 1 when the exact parts are not exact."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", default="400MB", help="For features, of the exact parts.")
    parser.add_argument("--context-model", type=Path, help="A run of unet3d-context.")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--way", choices=WAYS + CONTEXT_WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        print(json.dumps(run(given.way, given)))
        return 0
    if given.context_model is not None and load_model(given.context_model).description.cut is None:
        parser.error(f"{given.context_model} was not made for parts of its own.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = measured(WAYS, folder, given)
        show(rows)
        if given.picture is not None:
            picture({way: logits_of(way, folder) for way in WAYS}, given.picture)
        context = {}
        if given.context_model is not None:
            context = measured(CONTEXT_WAYS, folder, given)
            show(context)
    if given.json is not None:
        machine = {"processor": processor_name(), "threads": given.threads}
        machine |= {name: version(name) for name in ("minicube", "numpy", "torch", "monai")}
        found = {"machine": machine, "rows": rows, "context": context}
        given.json.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return 0 if rows["exact"]["of_them_sure"] == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
