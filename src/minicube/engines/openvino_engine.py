"""Runs an exported network in OpenVINO; imported only when asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from minicube._errors import InputError
from minicube.engines._openvino import ops, ov
from minicube.engines.model import Model
from minicube.engines.pieces import WHOLE, Piece, PiecesEngine
from minicube.volumes import Shape

__all__ = ["OpenVinoEngine", "has_bf16"]

_DEVICE: Final = "CPU"


@dataclass(frozen=True)
class _Ready:
    piece: Piece
    request: ov.InferRequest
    channels: int


class OpenVinoEngine(PiecesEngine):
    """An exported network on the CPU: whole, or some of its levels.

    Pieces are cut out of the graph when they are first asked for, and run on any shape.

    Args:
        model: An exported one.
        bf16: Compute in bfloat16, else in fp32; either way in int8 where the graph says so.
        threads: Of the engine; None for all cores.

    Raises:
        InputError: OpenVINO cannot read the model.
    """

    def __init__(self, model: Model, *, bf16: bool, threads: int | None = None) -> None:
        super().__init__(model)
        self._core = ov.Core()
        self._settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
            "PERFORMANCE_HINT": "LATENCY",
            **({"INFERENCE_NUM_THREADS": threads} if threads else {}),
        }
        self._ready: _Ready | None = None
        self._make_ready(WHOLE)

    def run(
        self, piece: Piece, shape: Shape, *features: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Run a piece; ``shape`` is that of the answer along x, y, z."""
        ready = self._make_ready(piece)
        request, out = ready.request, np.empty((1, ready.channels, *shape), np.float32)
        given = [np.ascontiguousarray(x)[None] for x in features]  # kept alive until it has run
        for index, x in enumerate(given):
            request.set_input_tensor(index, ov.Tensor(x, shared_memory=True))
        request.set_output_tensor(0, ov.Tensor(out, shared_memory=True))
        request.infer()
        answer: NDArray[np.float32] = out[0]
        return answer

    def let_go(self) -> None:
        """Forget what the last piece left in memory: what it computed with, its packed weights."""
        self._ready = None

    def _make_ready(self, piece: Piece) -> _Ready:
        """A piece to run; the one before is let go, else what they keep would add up."""
        if self._ready is None or self._ready.piece != piece:
            self.let_go()
            graph = _cut_out(self._graph.clone(), piece)
            compiled = self._core.compile_model(graph, _DEVICE, self._settings)
            channels = compiled.output(0).partial_shape[1].get_length()
            self._ready = _Ready(piece, compiled.create_infer_request(), channels)
        return self._ready

    @cached_property
    def _graph(self) -> ov.Model:
        try:
            return self._core.read_model(self.model.weights)
        except RuntimeError as error:
            raise InputError(
                f"{self.model.weights} cannot be run by OpenVINO.",
                found=str(error).splitlines()[0],
            ) from error


def has_bf16() -> bool:
    """Whether this processor computes in bfloat16, not only stores it."""
    return "BF16" in ov.Core().get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")


def _cut_out(graph: ov.Model, piece: Piece) -> ov.Model:
    """The part of a graph between named tensors."""
    named = {name: out for op in graph.get_ops() for out in op.outputs() for name in out.names}
    entries = []
    for name in piece.inputs:
        tensor = named[name]
        channels = tensor.get_partial_shape()[1].get_length()
        # Of any size: parts of a level may be smaller than what the whole network takes.
        entry = ops.parameter([1, channels, -1, -1, -1], np.float32, name)
        for target in tensor.get_target_inputs():
            target.replace_source_output(entry.output(0))
        entries.append(entry)
    return ov.Model([named[piece.output]], entries, piece.output)
