"""Training, once, on this machine: `make demo-train`.

Makes phantoms, trains on them, segments unseen ones of another family of contrasts and tumour
shapes, scores the result, and writes reports – with the same commands a user would type.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path

from demo import minicube

HERE = Path("demo/trained")
TRAIN_CASES = 24
UNSEEN_CASES = 4
STEPS = 480
FOUND = 0.5  # F1 from which a class counts as learnt


def main() -> int:
    """Run the demo; returns 0 when every tumour class was found."""
    began = time.monotonic()
    shutil.rmtree(HERE, ignore_errors=True)
    train, unseen, run = (str(HERE / name) for name in ("phantoms", "unseen", "run"))
    found, metrics = str(HERE / "segmentations"), str(HERE / "metrics.json")
    minicube("doctor")
    minicube("phantom", train, "--cases", str(TRAIN_CASES), "--seed", "1", "--jobs", "2")
    minicube(
        *("phantom", unseen, "--cases", str(UNSEEN_CASES), "--seed", "2"),
        *("--family", "b", "--jobs", "2"),
    )
    minicube(
        *("train", "--data", train, "--out", run),
        *("--config", "recipes/demo.toml", "--steps", str(STEPS)),
    )
    minicube("segment", unseen, "--model", run, "-o", found, "--report", str(HERE / "cases"))
    minicube("evaluate", "--prediction", found, "--reference", unseen, "--json", metrics)
    minicube("report", run, "-o", str(HERE / "report.html"))
    scores = json.loads((HERE / "metrics.json").read_text(encoding="utf-8"))
    classes = scores["summary"]["classes"]
    tumour = {name: classes[name]["pooled"]["f1"] for name in classes if name != "background"}
    print(f"\ndone in {(time.monotonic() - began) / 60:.1f} minutes; look into {HERE.resolve()}:")
    print("  report.html, cases/*.html, metrics.json; F1 on unseen phantoms, voxels pooled:")
    print("  " + ", ".join(f"{name} {f1 or 0:.3f}" for name, f1 in tumour.items()))
    return 0 if all(f1 is not None and f1 > FOUND for f1 in tumour.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
