"""Runs an exported network in ONNX Runtime; imported only when asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray

from minicube._errors import InputError
from minicube.engines.model import Model
from minicube.engines.pieces import WHOLE, Piece, PiecesEngine
from minicube.engines.telemetry import refuse_telemetry
from minicube.volumes import Shape

refuse_telemetry()

import onnxruntime  # noqa: E402
from onnxruntime.capi import onnxruntime_pybind11_state as reasons  # noqa: E402

__all__ = ["OnnxRuntimeEngine"]

_PROVIDERS: Final = (
    "CUDAExecutionProvider",
    "DmlExecutionProvider",
    "CoreMLExecutionProvider",
    "CPUExecutionProvider",
)
"""In the order they are preferred; all but the last are not verified: no such device was there."""

_FAILURES: Final = (
    reasons.Fail,
    reasons.InvalidArgument,
    reasons.InvalidGraph,
    reasons.InvalidProtobuf,
    reasons.NotImplemented,
    reasons.RuntimeException,
    onnx.checker.ValidationError,
    ValueError,
)


class OnnxRuntimeEngine(PiecesEngine):
    """An exported network on what ONNX Runtime finds: whole, or some of its levels.

    Args:
        model: An exported one.
        threads: Of the engine; None for all cores.

    Raises:
        InputError: ONNX Runtime cannot read the model.
    """

    def __init__(self, model: Model, *, threads: int | None = None) -> None:
        super().__init__(model)
        self._options = onnxruntime.SessionOptions()
        self._options.intra_op_num_threads = threads or 0
        self._options.enable_cpu_mem_arena = False  # it keeps what it once held
        self._session: onnxruntime.InferenceSession | None = None
        self._last: Piece | None = None
        self._make_ready(WHOLE)

    def run(
        self, piece: Piece, shape: Shape, *features: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Run a piece; ``shape`` is that of the answer along x, y, z."""
        given = [np.ascontiguousarray(x)[None] for x in features]
        session = self._make_ready(piece)
        with self._as_described():
            (out,) = session.run(None, dict(zip(piece.inputs, given, strict=True)))
            if out.shape[2:] != shape:
                raise ValueError(f"an answer of {out.shape} for {shape}")
        answer: NDArray[np.float32] = out[0]
        return answer

    def let_go(self) -> None:
        """Forget what the last piece left in memory."""
        self._session = None

    def _make_ready(self, piece: Piece) -> onnxruntime.InferenceSession:
        if self._session is None or piece != self._last:
            there = onnxruntime.get_available_providers()
            self.let_go()
            with self._as_described():
                self._session = onnxruntime.InferenceSession(
                    self._graph if piece == WHOLE else self._cut_out(piece),
                    self._options,
                    providers=[name for name in _PROVIDERS if name in there],
                )
            self._last = piece
        return self._session

    @contextmanager
    def _as_described(self) -> Iterator[None]:
        """What ONNX Runtime cannot do is the file's fault: of ours, none fails."""
        try:
            yield
        except _FAILURES as error:
            raise InputError(
                f"{self.model.weights} cannot be run by ONNX Runtime.",
                found=next(iter(str(error).splitlines()), type(error).__name__),
            ) from error

    def _cut_out(self, piece: Piece) -> bytes:
        part = self._extractor.extract_model([*piece.inputs], [piece.output])
        graph: bytes = part.SerializeToString()
        return graph

    @cached_property
    def _extractor(self) -> onnx.utils.Extractor:
        return onnx.utils.Extractor(onnx.load_from_string(self._graph))

    @cached_property
    def _graph(self) -> bytes:
        """Read as bytes: what lies in other files is not looked for."""
        try:
            return self.model.weights.read_bytes()
        except OSError as error:
            raise InputError(f"{self.model.weights} cannot be read.", found=str(error)) from error
