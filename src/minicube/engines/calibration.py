"""What an engine takes on this machine beside what a plan counts: measured once and kept.

Run as ``python -m minicube.engines.calibration ENGINE PRECISION THREADS [MODEL]`` to measure;
prints JSON.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
from platformdirs import user_cache_path
from pydantic import BaseModel, ConfigDict, Field, ValidationError

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
from minicube.engines.choice import AnyEngine, EngineName, chosen, open_engine
from minicube.engines.engine import Precision, segment_volume
from minicube.engines.model import Model, load_model
from minicube.planning import Partition, Task, plan_partition
from minicube.volumes import Shape

__all__ = ["Calibration", "Line", "calibrated"]

_WIDTHS: Final = (16, 32, 64, 128)
_SHAPES: Final = ((96, 96, 64), (128, 96, 96), (128, 128, 128))
"""From small to large: an engine may keep what it once held."""
_WHOLE: Final = 2.0  # times the memory that is counted for the whole
_CUT: Final = 0.6  # enough for a cut of the top level
_LEAST_SHARE: Final = 0.25
_METHOD = 2  # counted up when what is measured changes
_PACKAGES: Final = {
    EngineName.TORCH: "torch",
    EngineName.OPENVINO: "openvino",
    EngineName.ONNXRUNTIME: "onnxruntime",
}


class Line(BaseModel):
    """Bytes held for the bytes that a plan counts.

    Args:
        share: For each of them.
        scratch: Beside that, whatever the volume.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    share: float = Field(gt=0)
    scratch: int = Field(ge=0)

    def held(self, counted: float) -> float:
        """Bytes held where so many are counted."""
        return self.scratch + self.share * counted

    def counted(self, held: float) -> float:
        """Bytes that may be counted where so many may be held."""
        return (held - self.scratch) / self.share


class Calibration(BaseModel):
    """What an engine takes on a machine.

    Args:
        key: Of machine, versions, model and threads; measured again when it changes.
        base: Bytes resident once the engine is ready and before it has seen a case.
        whole: What it holds for whole volumes.
        parts: What it holds for volumes in parts.
        flops_per_second: That it computes, about.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    base: int
    whole: Line
    parts: Line
    flops_per_second: float

    @property
    def least(self) -> int:
        """Bytes that it takes for the smallest volume."""
        return self.base + min(self.whole.scratch, self.parts.scratch)

    def with_more(self, scratch: int) -> Calibration:
        """The same where something else is held beside it.

        Args:
            scratch: Bytes of that.
        """
        lines = {
            name: Line(share=line.share, scratch=line.scratch + scratch)
            for name, line in (("whole", self.whole), ("parts", self.parts))
        }
        return self.model_copy(update=lines)


def calibrated(
    model: Model | None = None,
    engine: EngineName = EngineName.AUTO,
    precision: Precision = Precision.AUTO,
    threads: int | None = None,
) -> Calibration:
    """What an engine takes here: kept from an earlier time, or measured in some seconds.

    Where nothing can be kept it is measured each time.

    Args:
        model: Exported ones are measured themselves; of torch a network of its own is.
        engine: That runs it; torch where there is no model.
        precision: Number format.
        threads: Of the engine; None for its own choice.
    """
    engine = EngineName.TORCH if model is None else chosen(model, engine)
    measured = model if model is not None and engine is not EngineName.TORCH else None
    words = [engine.value, precision.value, str(threads or 0)]
    which = [] if measured is None else [measured.description.sha256]
    key = " ".join(map(str, [*_versions(engine), *words, *which]))
    name = "-".join([*words, *(checksum[:16] for checksum in which)])
    path = user_cache_path("minicube", appauthor=False) / f"{name}.json"
    try:
        kept = Calibration.model_validate(read_json(path))
    except (InputError, ValidationError):
        kept = None
    if kept is not None and kept.key == key:
        return kept
    if measured is not None:
        words.append(str(measured.place))
    found = Calibration.model_validate({"key": key, **_measured_elsewhere(words)})
    try:
        write_json(path, found.model_dump())
    except InputError:  # a home that cannot be written to
        return found
    return found


def _versions(engine: EngineName) -> list[str]:
    from importlib.metadata import version

    python = sys.version.split()[0]
    return [str(_METHOD), __version__, version(_PACKAGES[engine]), python, processor_name()]


def _measured_elsewhere(words: list[str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "minicube.engines.calibration", *words]
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
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _measure(words: list[str]) -> dict[str, Any]:
    engine = _engine_of(words)
    base = resident_memory() or 0
    rate = 0.0
    found: dict[float, list[tuple[int, int]]] = {_CUT: [], _WHOLE: []}
    for part, points in found.items():
        for shape in _SHAPES:
            task = Task(engine.cost, shape)
            plan = plan_partition(task, int(part * task.whole_bytes))
            if plan is not None:
                began = time.perf_counter()
                points.append((plan.bytes, _held(engine, shape, plan.partition, base)))
                rate = max(rate, plan.flops / (time.perf_counter() - began))
    return {
        "base": base,
        "whole": _line_above(found[_WHOLE]).model_dump(),
        "parts": _line_above(found[_CUT] or found[_WHOLE]).model_dump(),
        "flops_per_second": rate,
    }


def _held(engine: AnyEngine, shape: Shape, partition: Partition, base: int) -> int:
    """Bytes that a volume took beside what was there before the engine saw any."""
    images = np.ones((engine.cost.sequences, *shape), np.float32)
    forget_peak_memory()
    segment_volume(engine, images, partition)
    return (peak_memory() or 0) - base - images.nbytes


def _line_above(points: list[tuple[int, int]]) -> Line:
    """A line, as steep as from the smallest point to the largest, that lies above all of them."""
    (low, held_low), (high, held_high) = min(points), max(points)
    share = max(_LEAST_SHARE, (held_high - held_low) / max(1, high - low))
    above = max(held - share * counted for counted, held in points)
    return Line(share=share, scratch=max(0, math.ceil(above)))


def _engine_of(words: list[str]) -> AnyEngine:
    name, precision, threads, *place = words
    give_back_freed_memory()
    if place:
        return open_engine(
            load_model(Path(place[0])),
            engine=EngineName(name),
            precision=Precision(precision),
            threads=int(threads) or None,
        )
    import torch

    from minicube.engines.torch_engine import TorchEngine
    from minicube.networks import NetworkConfig, build_network

    if int(threads):
        torch.set_num_threads(int(threads))
    return TorchEngine(build_network(NetworkConfig(widths=_WIDTHS)), bf16=False)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_measure(sys.argv[1:])))
