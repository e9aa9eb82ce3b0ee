"""The main job, once, on this machine: `make demo`.

Makes two phantoms, segments them with the model inside the package, scores what came out and writes
reports – with the same commands a user would type.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path("demo")
CASES = 2


def minicube(*words: str) -> None:
    """Run one command, shown as a user would type it."""
    print(f"\n$ minicube {' '.join(words)}", flush=True)
    subprocess.run([sys.executable, "-m", "minicube", *words], check=True)


def main() -> int:
    """Run the demo; returns 0 when every tumour was found."""
    began = time.monotonic()
    shutil.rmtree(HERE, ignore_errors=True)
    phantoms, found, metrics = (str(HERE / name) for name in ("phantoms", "found", "metrics.json"))
    minicube("phantom", phantoms, "--cases", str(CASES), "--seed", "2", "--jobs", str(CASES))
    minicube("segment", phantoms, "-o", found, "--report", str(HERE / "reports"))
    minicube("evaluate", "--prediction", found, "--reference", phantoms, "--json", metrics)
    scores = json.loads((HERE / "metrics.json").read_text(encoding="utf-8"))
    tumours = [case["regions"]["WT"]["dice"] for case in scores["cases"]]
    print(f"\ndone in {time.monotonic() - began:.0f} seconds; look into {HERE.resolve()}:")
    print("  reports/*.html, found/*.nii.gz, metrics.json; Dice of the whole tumour:")
    print("  " + ", ".join(f"{dice:.3f}" for dice in tumours))
    print("Research use only – not a medical device. `make demo-train` trains a model of your own.")
    return 0 if all(dice > 0.5 for dice in tumours) else 1


if __name__ == "__main__":
    sys.exit(main())
