"""Weights and activations as integers of eight bits, by NNCF's post-training quantisation."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from minicube._errors import require
from minicube.engines.telemetry import refuse_telemetry
from minicube.export.graph import quiet
from minicube.planning import NetworkCost
from minicube.volumes import Box, Prepared, bounding_box

__all__ = ["calibration_box", "quantised"]

_SIDE: Final = 96  # voxels, about: all activations of a window are held at once
_SIGN: Final = 128  # int8 + 128 = uint8
_QUANTISE, _DEQUANTISE = "QuantizeLinear", "DequantizeLinear"


def quantised(
    model: ModelProto, windows: Iterable[NDArray[np.float32]], points: Iterable[str] = ()
) -> ModelProto:
    """A graph that computes in int8, as pairs of quantise and dequantise say.

    Weights are kept as int8, one scale a channel, and use seven of the eight bits: processors
    without VNNI instructions add two products in 16 bits, which eight would overflow.

    Args:
        model: In fp32.
        windows: Images ``(sequence, x, y, z)`` that the network takes, whose activations give
            the ranges.
        points: Tensors that the graph is cut at.

    Raises:
        MissingExtra: NNCF is not installed.

    Reference: https://github.com/openvinotoolkit/nncf
    """
    require("Exporting in int8", "int8", "nncf")
    refuse_telemetry()
    with quiet():
        import nncf
        from nncf.quantization.advanced_parameters import (
            AdvancedQuantizationParameters,
            OverflowFix,
        )
        from nncf.quantization.range_estimator import (
            AggregatorType,
            RangeEstimatorParameters,
            StatisticsCollectorParameters,
            StatisticsType,
        )

        nncf.set_log_level(logging.ERROR)
        given = [{model.graph.input[0].name: window[None]} for window in windows]
        out: ModelProto = nncf.quantize(
            model,
            nncf.Dataset(given),
            subset_size=len(given),
            # Activations with a zero of their own: a skip and what is joined to it share a range.
            preset=nncf.QuantizationPreset.MIXED,
            advanced_parameters=AdvancedQuantizationParameters(
                overflow_fix=OverflowFix.ENABLE,
                disable_bias_correction=True,  # its fast kind makes ten times as many labels differ
                # Of all windows together: the mean of their ranges would clip the brightest scan.
                activations_range_estimator_params=RangeEstimatorParameters(
                    min=StatisticsCollectorParameters(StatisticsType.MIN, AggregatorType.MIN),
                    max=StatisticsCollectorParameters(StatisticsType.MAX, AggregatorType.MAX),
                ),
            ),
        )
    _unsigned(out)
    _quantise_after(out, set(points))
    onnx.checker.check_model(out)
    return out


def calibration_box(ready: Prepared, cost: NetworkCost) -> Box:
    """The window of a case whose activations are looked at: around its tumour, of about 96 mm.

    It may reach beyond the volume, where images are 0. Without a tumour its middle is the volume's.
    """
    mask = ready.brain if ready.labels is None else ready.labels.array > 0
    found = bounding_box(mask if mask.any() else ready.brain)
    start, stop = [], []
    for first, last, n, stride in zip(
        found.start, found.stop, ready.brain.shape, cost.stride, strict=True
    ):
        side = stride * max(1, _SIDE // stride)
        begin = max(0, min((first + last - side) // 2, n - side))
        start.append(begin - cost.margin)
        stop.append(begin + side + cost.margin)
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


def _unsigned(model: ModelProto) -> None:
    """Make signed activations unsigned: the same numbers, their zero 128 higher.

    OpenVINO 2026.4 on a processor with AVX2 alone joins signed tensors as unsigned ones, and
    what is negative is lost.
    """
    zeros = {node.input[2] for node in model.graph.node if node.op_type == _QUANTISE}
    for tensor in model.graph.initializer:
        if tensor.name in zeros and tensor.data_type == TensorProto.INT8:
            zero = numpy_helper.to_array(tensor).astype(np.int16) + _SIGN
            tensor.CopyFrom(numpy_helper.from_array(zero.astype(np.uint8), tensor.name))
    for info in [*model.graph.value_info]:
        if info.type.tensor_type.elem_type == TensorProto.INT8:
            model.graph.value_info.remove(info)


def _quantise_after(model: ModelProto, points: set[str]) -> None:
    """Quantise again behind cut points that were quantised above: that changes nothing.

    A piece that begins there would compute in fp32 what the whole computes in int8, and round
    otherwise.
    """
    graph = model.graph
    made = {name: node for node in graph.node for name in node.output}
    renamed: dict[str, str] = {}
    nodes: list[NodeProto] = []
    for node in graph.node:
        if node.op_type != _QUANTISE:
            for index, name in enumerate(node.input):
                node.input[index] = renamed.get(name, name)
        nodes.append(node)
        name, above = node.output[0], made.get(node.input[0])
        if name not in points or node.op_type != "MaxPool" or above is None:
            continue
        if above.op_type == _DEQUANTISE:
            scale = above.input[1:]
            short, renamed[name] = f"{name}.int8", f"{name}.again"
            nodes += [
                helper.make_node(_QUANTISE, [name, *scale], [short], name=short),
                helper.make_node(_DEQUANTISE, [short, *scale], [renamed[name]], name=renamed[name]),
            ]
    del graph.node[:]
    graph.node.extend(nodes)
