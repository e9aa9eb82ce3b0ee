"""What an engine takes on this machine beside what a plan counts: measured once and kept.

Run as ``python -m minicube.engines.calibration ENGINE PRECISION THREADS [MODEL]`` to measure;
prints how far it is, line by line, and JSON in the end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
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
from minicube.engines.choice import EngineName, chosen, open_engine
from minicube.engines.engine import Precision
from minicube.engines.model import Model, load_model
from minicube.engines.pieces import PiecesEngine
from minicube.planning import LevelCut, LevelsCost, NetworkCost, PieceCost, Task

if TYPE_CHECKING:
    from minicube.engines.torch_engine import TorchEngine

__all__ = ["Calibration", "Measuring", "calibrated"]

Measuring = Callable[[int, int], None]
"""Told how many pieces are measured, and of how many."""

_WIDTHS: Final = (16, 32, 64, 128)
_SHAPES: Final = ((96, 96, 64), (128, 96, 96))
_REPEATS = 2
_SIDES: Final = (64, 128)  # of cubes at the top level
_DEEPER_SIDES: Final = (32, 64)
_METHOD = 4  # counted up when what is measured changes
_PACKAGES: Final = {
    EngineName.TORCH: "torch",
    EngineName.OPENVINO: "openvino",
    EngineName.ONNXRUNTIME: "onnxruntime",
}


class Calibration(BaseModel):
    """What an engine takes on a machine.

    Args:
        key: Of machine, versions, model and threads; measured again when it changes.
        base: Bytes resident once the engine is ready and before it has seen a case.
        scratch: Bytes beside those that a plan counts, whatever the volume.
        flops_per_second: That it computes, about.
        cost: Of the model's network with the bytes that its pieces were seen to hold; None
            where the engine holds what is counted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    base: int
    scratch: int
    flops_per_second: float
    cost: NetworkCost | None = None

    @property
    def least(self) -> int:
        """Bytes that it takes for the smallest volume."""
        return self.base + self.scratch

    def with_more(self, scratch: int) -> Calibration:
        """The same where something else is held beside it.

        Args:
            scratch: Bytes of that.
        """
        return self.model_copy(update={"scratch": self.scratch + scratch})


def calibrated(
    model: Model | None = None,
    engine: EngineName = EngineName.AUTO,
    precision: Precision = Precision.AUTO,
    threads: int | None = None,
    measuring: Measuring = lambda done, of: None,
) -> Calibration:
    """What an engine takes here: kept from an earlier time, or measured in half a minute.

    Where nothing can be kept it is measured each time.

    Args:
        model: Exported ones are measured themselves; of torch a network of its own is.
        engine: That runs it; torch where there is no model.
        precision: Number format; torch is measured in fp32, whatever it computes in.
        threads: Of the engine; None for its own choice.
        measuring: Called as it is measured; not at all where it was before.
    """
    from platformdirs import user_cache_path

    engine = EngineName.TORCH if model is None else chosen(model, engine)
    if engine is EngineName.TORCH:
        precision = Precision.FP32  # that is measured, and stands for bf16
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
    found = Calibration.model_validate({"key": key, **_measured_elsewhere(words, measuring)})
    try:
        write_json(path, found.model_dump())
    except InputError:  # a home that cannot be written to
        return found
    return found


def _versions(engine: EngineName) -> list[str]:
    from importlib.metadata import version

    python = sys.version.split()[0]
    return [str(_METHOD), __version__, version(_PACKAGES[engine]), python, processor_name()]


def _measured_elsewhere(words: list[str], measuring: Measuring) -> dict[str, Any]:
    command = [sys.executable, "-m", "minicube.engines.calibration", *words]
    path = os.pathsep.join(filter(None, (str(Path(__file__).parents[2]), *sys.path[1:])))
    last = ""
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as complaints,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            env=os.environ | {"PYTHONPATH": path},
        ) as child,
    ):
        for last in child.stdout or ():
            done, slash, of = last.strip().partition("/")
            if slash and done.isdecimal() and of.isdecimal():
                measuring(int(done), int(of))
        if child.wait():
            complaints.seek(0)
            why = complaints.read().strip()[-500:]
            raise InternalError(f"The engine could not be measured: {why}")
    try:
        found: dict[str, Any] = json.loads(last)
    except json.JSONDecodeError:
        raise InternalError(f"The engine's measurement ended without a result: {last!r}") from None
    return found


class _Counter:
    """Prints how many pieces are measured."""

    def __init__(self, of: int) -> None:
        self._done, self._of = 0, of

    def one_more(self) -> None:
        self._done += 1
        print(f"{self._done}/{self._of}", flush=True)  # noqa: T201 - to the process that waits


def _measure(words: list[str]) -> dict[str, Any]:
    name, precision, threads, *place = words
    give_back_freed_memory()
    if not place:
        return _measure_torch(int(threads))
    engine = open_engine(
        load_model(Path(place[0])),
        engine=EngineName(name),
        precision=Precision(precision),
        threads=int(threads) or None,
    )
    assert isinstance(engine, PiecesEngine)  # those alone are measured with a model
    return _measure_pieces(engine)


def _measure_torch(threads: int) -> dict[str, Any]:
    """Run a network whole and cut; what it held beyond the plan's count, and how fast it was."""
    import torch

    from minicube.engines.torch_engine import TorchEngine
    from minicube.networks import NetworkConfig, build_network

    if threads:
        torch.set_num_threads(threads)
    engine = TorchEngine(build_network(NetworkConfig(widths=_WIDTHS)), bf16=False)
    cost = engine.cost
    base = resident_memory() or 0
    scratch, rate = 0, 0.0
    top = next(c for c in cost.levels if (c.first, c.last) == (0, 1))
    counter = _Counter(len(_SHAPES) * _REPEATS)
    for shape in _SHAPES * _REPEATS:
        task = Task(cost, shape)
        images = np.ones((cost.sequences, *shape), np.float32)
        held, seconds = _held(partial(engine.logits, images))
        rate = max(rate, task.whole_flops / seconds)
        scratch = max(scratch, held - int(task.whole_bytes))
        held, _ = _held(partial(_encode_top, engine, images))
        voxels = int(np.prod(shape))
        counted = voxels * cost.sequences * 4 + task.held(top.encode, voxels)
        scratch = max(scratch, held - int(counted))
        counter.one_more()
    return {"base": base, "scratch": scratch, "flops_per_second": rate}


def _encode_top(engine: TorchEngine, images: NDArray[np.float32]) -> object:
    x, y, z = images.shape[1:]
    return engine.encode(engine.take(images), LevelCut(0, 1, (x, y, z)))


def _measure_pieces(engine: PiecesEngine) -> dict[str, Any]:
    """Run an exported network and each of its levels, small and large.

    What a piece holds more for a larger volume is its cost, the rest is fixed. Cuts that
    join levels are left out: two cuts, one below the other, do the same.
    """
    base, cost = resident_memory() or 0, engine.cost
    margin = 2 * cost.margin
    rates: list[float] = []
    apart = [level for level in cost.levels if level.last == level.first + 1]
    counter = _Counter(len(_SIDES) + len(apart))

    def whole(side: int) -> int:
        given = np.ones((cost.sequences, *(side + margin,) * 3), np.float32)
        engine.let_go()
        held, took = _held(partial(engine.logits, given))
        rates.append(cost.whole.flops * given[0].size / took)
        counter.one_more()
        return held

    all_of_it = _as_held(cost.whole, [(side + margin, whole(side)) for side in _SIDES])
    levels = []
    for level in apart:
        levels.append(_measure_level(engine, level))
        counter.one_more()
    # What was seen is all of it, what is answered for included.
    answered = cost.answered.model_copy(update={"bytes": 0.0})
    measured_cost = cost.model_copy(
        update={"whole": all_of_it, "answered": answered, "levels": tuple(levels)}
    )
    return {
        "base": base,
        "scratch": 0,
        "flops_per_second": max(rates),
        "cost": measured_cost.model_dump(mode="json"),
    }


def _measure_level(engine: PiecesEngine, level: LevelsCost) -> LevelsCost:
    channels = engine.cost.sequences
    for above in engine.cost.levels:
        if (above.first, above.last) == (level.first - 1, level.first):
            channels = above.handed
    cut = LevelCut(level.first, level.last, (0, 0, 0))
    points: dict[str, list[tuple[int, int]]] = {"encode": [], "below": [], "decode": []}
    for side in _SIDES if level.first == 0 else _DEEPER_SIDES:
        half = side // level.factor
        given = np.ones((channels, *(side,) * 3), np.float32)
        down = np.ones((level.handed, *(half,) * 3), np.float32)
        up = np.ones((level.risen, *(half,) * 3), np.float32)
        runs = {
            "encode": (side, partial(engine.encode, given, cut)),
            "below": (half, partial(engine.below, down, level.last)),
            "decode": (side, partial(engine.decode, given, up, cut)),
        }
        for name, (length, run) in runs.items():
            engine.let_go()
            points[name].append((length, _held(run)[0]))
    return level.model_copy(
        update={name: _as_held(getattr(level, name), seen) for name, seen in points.items()}
    )


def _held(run: Callable[[], object]) -> tuple[int, float]:
    """Bytes that a run took beside what was there before, its answer included; seconds."""
    before = resident_memory() or 0
    forget_peak_memory()
    began = time.perf_counter()
    run()
    return (peak_memory() or 0) - before, time.perf_counter() - began


def _as_held(piece: PieceCost, points: list[tuple[int, int]]) -> PieceCost:
    """A piece with what it was seen to hold, of cubes of two sizes: side, bytes."""
    (small, held_small), (large, held_large) = points
    per_voxel = max(0.0, (held_large - held_small) / (large**3 - small**3))
    fixed = max(0.0, held_large - per_voxel * large**3)
    return piece.model_copy(update={"bytes": per_voxel, "fixed": fixed})


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_measure(sys.argv[1:])))
