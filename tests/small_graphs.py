"""Exported files of one convolution, made by hand: to be spoilt, and quick to run."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper

from minicube.engines.portable import IMAGES, LOGITS, METADATA, graph_checksum

AXES = ("x", "y", "z")

DESCRIPTION: dict[str, Any] = {
    "name": "by hand",
    "network": "unet3d",
    "widths": [4, 8],
    "sequences": ["t1n", "t1c", "t2w", "t2f"],
    "spacing": 1.0,
    "normalisation": "z-score in the brain",
    "scheme": "decathlon",
    "trained_on": "nothing",
    "licence": "Apache-2.0",
    "minicube": "0",
    "steps": 0,
    "sha256": "",
    "cost": {
        "stride": [2, 2, 2],
        "margin": 0,
        "halo": [2, 2, 2],
        "sequences": 4,
        "classes": 4,
        "whole": {"bytes": 64.0, "flops": 32.0},
    },
}


def small_graph() -> GraphProto:
    """A graph as exported ones are: images, a convolution, logits."""
    weights = np.random.default_rng(3).normal(size=(4, 4, 1, 1, 1)).astype(np.float32)
    window: dict[str, Any] = {"kernel_shape": [1, 1, 1], "strides": [1, 1, 1], "pads": [0] * 6}
    return helper.make_graph(
        [helper.make_node("Conv", [IMAGES, "weights"], [LOGITS], **window)],
        "main",
        [helper.make_tensor_value_info(IMAGES, TensorProto.FLOAT, [1, 4, *AXES])],
        [helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, [1, 4, *AXES])],
        [numpy_helper.from_array(weights, "weights")],
    )


def write_graph(
    path: Path,
    graph: GraphProto,
    description: object = None,
    change: Callable[[ModelProto], object] = lambda model: None,
) -> Path:
    """Write a file whose checksum is right, as a stranger's would be."""
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    change(model)
    path.write_bytes(model.SerializeToString())
    said = DESCRIPTION if description is None else description
    if isinstance(said, dict):
        said = {**said, "sha256": graph_checksum(path)}
    helper.set_model_props(model, {METADATA: said if isinstance(said, str) else json.dumps(said)})
    path.write_bytes(model.SerializeToString())
    return path


def packed(graph: bytes, description: object) -> bytes:
    """A file of a graph that may be none, and a description that may be none."""
    said = description
    if isinstance(description, dict):
        said = description | {"sha256": sha256(graph).hexdigest()}
    model = ModelProto(ir_version=10, opset_import=[helper.make_opsetid("", 20)])
    helper.set_model_props(model, {METADATA: said if isinstance(said, str) else json.dumps(said)})
    length, size = len(graph), b""
    while length > 0x7F:
        size += bytes([length & 0x7F | 0x80])
        length >>= 7
    rest: bytes = model.SerializeToString()
    return rest + b"\x3a" + size + bytes([length]) + graph
