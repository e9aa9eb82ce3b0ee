"""What an engine takes on this machine beside what a plan counts: measured once and kept.

Run as ``python -m minicube.engines.calibration THREADS`` to measure; prints JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import numpy as np
from platformdirs import user_cache_path
from pydantic import BaseModel, ConfigDict, ValidationError

from minicube._errors import InputError, InternalError
from minicube._files import read_json, write_json
from minicube._machine import (
    forget_peak_memory,
    give_back_freed_memory,
    peak_memory,
    processor_name,
    resident_memory,
)
from minicube._version import __version__
from minicube.planning import LevelCut, Task

__all__ = ["Calibration", "calibrated"]

_WIDTHS: Final = (16, 32, 64, 128)
_SHAPES: Final = ((96, 96, 64), (128, 96, 96))
_REPEATS = 2
_METHOD = 1  # counted up when what is measured changes


class Calibration(BaseModel):
    """What an engine takes on a machine.

    Args:
        key: Of machine, versions and threads; measured again when it changes.
        base: Bytes resident once the engine is ready and before it has seen a case.
        scratch: Bytes beside those that a plan counts.
        flops_per_second: That it computes, about.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    base: int
    scratch: int
    flops_per_second: float


def calibrated(threads: int | None = None) -> Calibration:
    """What the torch engine takes here: kept from an earlier time, or measured in a few seconds.

    Where nothing can be kept it is measured each time.

    Args:
        threads: Of the engine; None for torch's own choice.
    """
    key = _key(threads)
    path = user_cache_path("minicube", appauthor=False) / f"torch-{threads or 'all'}.json"
    try:
        kept = Calibration.model_validate(read_json(path))
    except (InputError, ValidationError):
        kept = None
    if kept is not None and kept.key == key:
        return kept
    found = Calibration(key=key, **_measured_elsewhere(threads))
    try:
        write_json(path, found.model_dump())
    except InputError:  # a home that cannot be written to
        return found
    return found


def _key(threads: int | None) -> str:
    from importlib.metadata import version

    parts = (
        _METHOD,
        __version__,
        version("torch"),
        sys.version.split()[0],
        processor_name(),
        threads,
    )
    return " ".join(map(str, parts))


def _measured_elsewhere(threads: int | None) -> dict[str, float]:
    command = [sys.executable, "-m", "minicube.engines.calibration", str(threads or 0)]
    path = os.pathsep.join(filter(None, (str(Path(__file__).parents[2]), *sys.path[1:])))
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": path},
    )
    if done.returncode:
        raise InternalError(f"The engine could not be measured: {done.stderr.strip()[-500:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _measure(threads: int) -> dict[str, float]:
    """Run a network whole and cut; what it held beyond the plan's count, and how fast it was."""
    import torch

    from minicube.engines.torch_engine import TorchEngine
    from minicube.networks import NetworkConfig, build_network

    give_back_freed_memory()
    if threads:
        torch.set_num_threads(threads)
    engine = TorchEngine(build_network(NetworkConfig(widths=_WIDTHS)), bf16=False)
    cost = engine.cost
    base = resident_memory() or 0
    scratch, rate = 0, 0.0
    top = next(c for c in cost.levels if (c.first, c.last) == (0, 1))
    for shape in _SHAPES * _REPEATS:
        task = Task(cost, shape)
        images = np.ones((cost.sequences, *shape), np.float32)
        before = resident_memory() or 0
        forget_peak_memory()
        began = time.perf_counter()
        engine.logits(images)
        rate = max(rate, task.whole_flops / (time.perf_counter() - began))
        scratch = max(scratch, (peak_memory() or 0) - before - int(task.whole_bytes))
        before = resident_memory() or 0
        forget_peak_memory()
        engine.encode(engine.take(images), LevelCut(0, 1, shape))
        voxels = int(np.prod(shape))
        held = voxels * cost.sequences * 4 + task.held(top.encode, voxels)
        scratch = max(scratch, (peak_memory() or 0) - before - int(held))
    return {"base": base, "scratch": scratch, "flops_per_second": rate}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_measure(int(sys.argv[1]))))
