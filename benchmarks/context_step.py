"""What one training step of the report's 3D U-Net with context costs at full width.

The report could not train it on a card of 3 GB, nor of 6. Each setting runs in a process
of its own:

    python benchmarks/context_step.py [--threads 2] [--steps 2]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PRESETS = ("unet3d-context", "unet3d-context-as-reported")
PRECISIONS = ("fp32", "bf16")
BUDGET = 3 * 2**30


def measure(preset: str, precision: str, threads: int, steps: int) -> dict[str, float]:
    """Make steps in this process; returns seconds a step and the process's peak in bytes."""
    import torch

    from minicube._machine import peak_memory
    from minicube.phantom import PhantomSpec, make_phantom
    from minicube.training import TrainingConfig
    from minicube.training.stepper import Stepper
    from minicube.volumes import prepare, store_one

    torch.set_num_threads(threads)
    config = TrainingConfig.read(preset).model_dump() | {"precision": precision}
    with tempfile.TemporaryDirectory() as folder:
        case = store_one(prepare(make_phantom(PhantomSpec(seed=1), 0)), Path(folder))
        stepper = Stepper(TrainingConfig.checked(config, preset), [case])
        seconds = []
        for step in range(steps):
            began = time.perf_counter()
            stepper.step(step)
            seconds.append(time.perf_counter() - began)
    return {"seconds": min(seconds), "peak_bytes": peak_memory() or 0}


def main() -> int:
    """Measure every setting; returns 1 when one of them does not fit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--precision", choices=PRECISIONS, action="append")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only:
        preset, precision = given.only.split(",")
        print(json.dumps(measure(preset, precision, given.threads, given.steps)))
        return 0
    fits = True
    print(f"{'setting':<32}{'precision':<11}{'s a step':>9}{'peak, GB':>10}")
    for preset in PRESETS:
        for precision in given.precision or PRECISIONS:
            words = ["--only", f"{preset},{precision}", "--threads", str(given.threads)]
            done = subprocess.run(
                [sys.executable, __file__, *words, "--steps", str(given.steps)],
                capture_output=True,
                text=True,
                check=True,
            )
            found = json.loads(done.stdout.splitlines()[-1])
            fits &= 0 < found["peak_bytes"] <= BUDGET  # 0: nobody counted it
            gigabytes = found["peak_bytes"] / 2**30
            print(f"{preset:<32}{precision:<11}{found['seconds']:>9.1f}{gigabytes:>10.2f}")
    return 0 if fits else 1


if __name__ == "__main__":
    sys.exit(main())
