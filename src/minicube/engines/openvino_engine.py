"""Runs an exported network in OpenVINO; imported only when asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from math import prod
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
_SIDE: Final = 192  # voxels, about, of a volume that a graph's tensors are asked their sizes for


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
        InputError: OpenVINO cannot read the model, or would hold more than its description says.
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
        with self._as_described():
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
            with self._as_described():
                graph = _cut_out(self._graph.clone(), piece)
                compiled = self._core.compile_model(graph, _DEVICE, self._settings)
                channels = compiled.output(0).partial_shape[1].get_length()
            self._ready = _Ready(piece, compiled.create_infer_request(), channels)
        return self._ready

    @cached_property
    def _graph(self) -> ov.Model:
        with self._as_described():
            graph = self._core.read_model(self.model.weights)
            self._refuse_larger(graph)
        return graph

    def _refuse_larger(self, graph: ov.Model) -> None:
        """Refuse a graph with a tensor larger than all that its network is said to hold."""
        cost = self.cost
        answered = [stride * max(1, _SIDE // stride) for stride in cost.stride]
        given = [n + 2 * cost.margin for n in answered]
        graph = graph.clone()
        graph.reshape([1, cost.sequences, *given])
        weights = ops.constant(0).get_type_name()
        sizes = [
            prod(out.get_shape())
            for op in graph.get_ops()
            if op.get_type_name() != weights
            for out in op.outputs()
        ]
        said = cost.whole.bytes * prod(given) + cost.answered.bytes * prod(answered)
        if max(sizes) * np.dtype(np.float32).itemsize > said:
            raise InputError(
                f"{self.model.weights} would hold more than its description says, and is not run.",
                expected=f"at most {said:.3g} bytes for a volume of {' × '.join(map(str, given))}",
                found=f"a tensor of {max(sizes):.3g} numbers",
            )
        if [*graph.output(0).get_shape()] != [1, cost.classes, *answered]:
            raise InputError(
                f"{self.model.weights} does not answer as its description says.",
                expected=f"{cost.classes} classes, {' × '.join(map(str, answered))} voxels",
                found=" × ".join(map(str, graph.output(0).get_shape())),
            )

    @contextmanager
    def _as_described(self) -> Iterator[None]:
        """What OpenVINO cannot do is the file's fault: of ours, none fails."""
        try:
            yield
        except (RuntimeError, LookupError, ValueError, TypeError) as error:
            raise InputError(
                f"{self.model.weights} cannot be run by OpenVINO.",
                found=next(iter(str(error).splitlines()), type(error).__name__),
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
