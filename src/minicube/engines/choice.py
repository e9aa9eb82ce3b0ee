"""Which engine runs a model on this machine."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from importlib.util import find_spec
from typing import Protocol

from minicube._errors import InputError, require
from minicube.engines.engine import Engine, Precision
from minicube.engines.model import Model, Numbers
from minicube.planning import NetworkCost
from minicube.volumes import Intensities

__all__ = ["AnyEngine", "EngineName", "chosen", "open_engine"]


class EngineName(StrEnum):
    """What runs a network."""

    AUTO = "auto"
    OPENVINO = "openvino"
    ONNXRUNTIME = "onnxruntime"
    TORCH = "torch"


class AnyEngine(Engine, Protocol):
    """Runs a network whole or, by features of its own, in parts."""

    @property
    def cost(self) -> NetworkCost:
        """Of the network."""
        ...

    @property
    def feature_bytes(self) -> int:
        """Of a number between layers."""
        ...

    def let_go(self) -> None:
        """Give back what the last run left in memory; the next makes it anew."""
        ...


def chosen(model: Model, engine: EngineName) -> EngineName:
    """The engine for a model: OpenVINO, where it is there, for exported ones, torch for runs.

    Raises:
        InputError: The engine is not installed, or cannot run this model.
    """
    if not model.is_exported and engine not in (EngineName.AUTO, EngineName.TORCH):
        raise InputError(
            f"{model.place} is a run: only torch runs it.",
            hint=f"`minicube export {model.place} -o model.onnx` first, or leave out --engine",
        )
    if engine is EngineName.AUTO:
        engine = EngineName.TORCH
        if model.is_exported:
            there = (EngineName.OPENVINO, EngineName.ONNXRUNTIME)
            engine = next((name for name in there if find_spec(name)), EngineName.OPENVINO)
    if engine is EngineName.OPENVINO and find_spec("openvino") is None:
        raise InputError(
            "OpenVINO, a part of the base install, is missing.", hint="pip install openvino"
        )
    if engine is EngineName.ONNXRUNTIME:
        require(f"Running a model in {engine}", "onnxruntime", "onnxruntime", "onnx")
    if engine is EngineName.TORCH:
        require(f"Running a model in {engine}", "train", "torch", "safetensors")
    return engine


def open_engine(
    model: Model,
    *,
    engine: EngineName = EngineName.AUTO,
    precision: Precision = Precision.AUTO,
    threads: int | None = None,
) -> AnyEngine:
    """Make a model ready to run.

    Args:
        model: A run, or an exported file.
        engine: Which runs it.
        precision: Number format. A file in int8 computes in int8, and in fp32 where it was not
            quantised: "auto" and "int8" are that, all else is refused. Of other models "auto" is
            bf16 where the processor computes in it and the model was not made for raw
            intensities, else fp32.
        threads: Of the engine; None for all cores. Of torch they are those of the process.

    Raises:
        InputError: Engine, model and precision do not go together, or something is missing.
    """
    engine = chosen(model, engine)
    _check_numbers(model, precision)
    if engine is EngineName.OPENVINO:
        from minicube.engines import openvino_engine

        bf16 = _bf16(model, precision, openvino_engine.has_bf16)
        if bf16 and not openvino_engine.has_bf16():  # it would compute in fp32 and not say so
            raise InputError(
                "This processor does not compute in bf16.", hint="leave out --precision, or fp32"
            )
        return openvino_engine.OpenVinoEngine(model, bf16=bf16, threads=threads)
    if engine is EngineName.ONNXRUNTIME:
        from minicube.engines.onnxruntime_engine import OnnxRuntimeEngine

        if precision is Precision.BF16:
            raise InputError(
                "ONNX Runtime does not compute in bf16.", hint="--engine openvino, or fp32"
            )
        return OnnxRuntimeEngine(model, threads=threads)
    from minicube.engines import torch_engine

    if threads is not None:
        torch_engine.use_threads(threads)
    bf16 = _bf16(model, precision, torch_engine.has_bf16)
    network = torch_engine.load_network(model)
    return torch_engine.TorchEngine(network, bf16=bf16, cost=model.description.cost)


def _check_numbers(model: Model, precision: Precision) -> None:
    """Refuse a precision that would not be what is computed in."""
    numbers = model.description.numbers
    if numbers is Numbers.INT8 and precision in (Precision.FP32, Precision.BF16):
        raise InputError(
            f"{model.place} is in int8 and cannot be computed in {precision}.",
            hint="leave out --precision, or give the model that it was made from",
        )
    if numbers is not Numbers.INT8 and precision is Precision.INT8:
        raise InputError(
            f"{model.place} is not in int8.",
            found=f"weights in {numbers}",
            hint=f"`minicube export {model.place} -o int8.onnx --int8 --cases CASES` makes a file "
            "that is",
        )


def _bf16(model: Model, precision: Precision, able: Callable[[], bool]) -> bool:
    if precision is not Precision.AUTO:
        return precision is Precision.BF16
    if model.description.numbers is Numbers.INT8:
        return False
    # Raw intensities need more digits than bf16 has; such models were trained in fp32.
    return model.description.normalisation is Intensities.Z_SCORE and able()
