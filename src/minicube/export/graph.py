"""A network as an ONNX graph, with names at the tensors it can be cut at."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Final

import numpy as np
import onnx
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from torch import Tensor, nn

from minicube.engines.portable import HALF, IMAGES, LOGITS, handed, risen
from minicube.networks import LeveledNetwork, Network, folded

__all__ = ["cut_points", "half_precision", "onnx_graph", "quiet"]

_OPSET: Final = 20
_PERIODS: Final = 3  # of the stride along each axis that is traced
_WORTH_HALVING: Final = 64  # numbers


def onnx_graph(network: Network) -> ModelProto:
    """Export a network in evaluation mode; x, y and z may then be any multiples of its stride.

    BatchNorm is folded into the convolutions; weights have the names that they have in
    :func:`minicube.networks.folded`, behind :data:`minicube.engines.portable.PREFIX`.
    """
    points = cut_points(network)
    shape = [s * _PERIODS + 2 * network.margin for s in network.stride]
    sizes = {
        axis: torch.export.Dim(name, min=1) * stride + 2 * network.margin
        for axis, name, stride in zip((2, 3, 4), "xyz", network.stride, strict=True)
    }
    with quiet():
        program = torch.onnx.export(
            _Pieces(folded(network)),
            (torch.zeros(1, network.config.sequences, *shape),),
            input_names=[IMAGES],
            output_names=[LOGITS, *points],
            dynamic_shapes=(sizes,),
            opset_version=_OPSET,
            external_data=False,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _only_numbers(model)
    # The cut points were outputs so that they have their names; the whole gives logits alone.
    while len(model.graph.output) > 1:
        model.graph.value_info.append(model.graph.output.pop())
    onnx.checker.check_model(model)
    return model


def cut_points(network: Network) -> tuple[str, ...]:
    """Names of the tensors that a network's graph can be cut at; none where it has no levels."""
    if not isinstance(network, LeveledNetwork):
        return ()
    levels = range(1, network.depth)
    return (*map(handed, levels), *map(risen, levels))


def half_precision(model: ModelProto) -> ModelProto:
    """Keep the weights as fp16; what computes with them has them in fp32 as before."""
    out = ModelProto()
    out.CopyFrom(model)
    graph = out.graph
    casts = []
    for weights in graph.initializer:
        array = numpy_helper.to_array(weights)
        if array.dtype == np.float32 and array.size >= _WORTH_HALVING:
            name, short = weights.name, weights.name + HALF
            weights.CopyFrom(numpy_helper.from_array(array.astype(np.float16), short))
            casts.append(helper.make_node("Cast", [short], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(out)
    return out


class _Pieces(nn.Module):
    """A network that also gives what it can be cut at, in the order of :func:`cut_points`."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        network = self.network
        if not isinstance(network, LeveledNetwork):
            return (network(images),)
        deepest = network.depth - 1
        x, down, skips = network.enter(images), [], []
        for level in range(deepest):
            skips.append(network.encode(level, x))
            x = network.descend(level, skips[-1])
            down.append(x)
        x = network.encode(deepest, x)
        up = [x]
        for level in reversed(range(deepest)):
            x = network.decode(level, skips[level], x)
            up.append(x)
        logits = network.leave(up.pop())
        return (logits, *down, *reversed(up))


def _only_numbers(model: ModelProto) -> None:
    """Take out what the exporter noted down for itself, paths of the machine among it."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.initializer, *graph.value_info):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    for value in (*graph.input, *graph.output):
        value.ClearField("metadata_props")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The exporter speaks of its own affairs: packages it lacks, what will change in torch."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
