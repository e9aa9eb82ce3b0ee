"""Models from strangers: whatever is in them, they are run as exported, or refused in words."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from minicube import InputError
from minicube._files import checksum
from minicube.cli import main
from minicube.engines import DESCRIPTION as DESCRIBED
from minicube.engines import WEIGHTS, EngineName, Precision, load_model, open_engine
from minicube.engines._protobuf import damaged, fields
from minicube.engines.inspection import inspect
from minicube.engines.pieces import Piece
from minicube.engines.portable import IMAGES, LOGITS
from minicube.engines.torch_engine import load_network
from minicube.inference import shipped_model
from small_cases import write_small_dataset
from small_graphs import AXES, DESCRIPTION, small_graph, write_graph
from small_models import write_small_model

ENGINES = (EngineName.OPENVINO, EngineName.ONNXRUNTIME)
Graph = Callable[[], GraphProto]


def _open(path: Path, engine: EngineName = EngineName.OPENVINO) -> Any:
    return open_engine(load_model(path), engine=engine, precision=Precision.FP32)


@pytest.mark.parametrize("engine", ENGINES)
def test_one_as_exported_ones_are_is_run(tmp_path: Path, engine: EngineName) -> None:
    opened = _open(write_graph(tmp_path / "small.onnx", small_graph()), engine)
    images = np.random.default_rng(0).normal(size=(4, 6, 4, 2)).astype(np.float32)
    (weights,) = small_graph().initializer
    kernel = numpy_helper.to_array(weights)[:, :, 0, 0, 0]
    assert np.allclose(opened.logits(images), np.tensordot(kernel, images, 1), atol=1e-4)


def test_the_shipped_model_is_one() -> None:
    inspect(shipped_model().place)


def _with_node(node: NodeProto) -> GraphProto:
    graph = small_graph()
    graph.node.insert(0, node)
    return graph


def _with_tensor(change: Callable[[TensorProto], object]) -> GraphProto:
    graph = small_graph()
    change(graph.initializer[0])
    return graph


def _external(tensor: TensorProto) -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../../../../etc/passwd")


def _huge(tensor: TensorProto) -> None:
    tensor.dims[:] = [1 << 20, 1 << 20, 1, 1, 1]


def _more_than_there_is(tensor: TensorProto) -> None:
    tensor.dims[0] = 5


def _negative(tensor: TensorProto) -> None:
    tensor.dims[:] = [-4, -4, 1, 1, 1]


def _words(tensor: TensorProto) -> None:
    tensor.CopyFrom(TensorProto(name="weights", data_type=8, dims=[1], string_data=[b"words"]))


def _branches() -> NodeProto:
    inner = helper.make_graph([], "inner", [], [helper.make_tensor_value_info("a", 1, None)])
    return helper.make_node("If", [IMAGES], ["a"], then_branch=inner, else_branch=inner)


def _loop() -> NodeProto:
    inner = helper.make_graph([], "inner", [], [helper.make_tensor_value_info("a", 1, None)])
    return helper.make_node("Loop", [IMAGES, IMAGES], ["a"], body=inner)


def _hidden_graph() -> NodeProto:
    node = helper.make_node("Relu", [IMAGES], ["a"])
    node.attribute.append(helper.make_attribute("hidden", small_graph()))
    return node


def _many_nodes() -> GraphProto:
    graph, name = small_graph(), IMAGES
    for number in range(5000):
        graph.node.insert(number, helper.make_node("Relu", [name], [f"r{number}"]))
        name = f"r{number}"
    graph.node[-1].input[0] = name
    return graph


def _product_of_weights() -> GraphProto:
    graph = small_graph()
    for name, shape in (("column", (100_000, 1)), ("row", (1, 100_000))):
        graph.initializer.append(numpy_helper.from_array(np.ones(shape, np.float32), name))
    graph.node.insert(0, helper.make_node("Mul", ["column", "row"], ["large"]))
    return graph


def _constant() -> NodeProto:
    value = helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0])
    return helper.make_node("Constant", [], ["a"], value=value)


def _made(make: Callable[[], NodeProto]) -> GraphProto:
    return _with_node(make())


NODES: dict[str, tuple[Callable[[], NodeProto], str]] = {
    "of another domain": (
        lambda: helper.make_node("Run", [IMAGES], ["a"], domain="com.example"),
        "com.example",
    ),
    "If": (_branches, "'If'"),
    "Loop": (_loop, "'Loop'"),
    "a graph hidden in another": (_hidden_graph, "field 6"),
    "Constant": (_constant, "'Constant'"),
    "ConstantOfShape": (lambda: helper.make_node("ConstantOfShape", [IMAGES], ["a"]), "OfShape"),
    "Tile": (lambda: helper.make_node("Tile", [IMAGES, "weights"], ["a"]), "'Tile'"),
    "Expand": (lambda: helper.make_node("Expand", [IMAGES, "weights"], ["a"]), "'Expand'"),
    "of nothing": (lambda: helper.make_node("Relu", ["nowhere"], ["a"]), "not there"),
    "padded far": (
        lambda: helper.make_node("MaxPool", [IMAGES], ["a"], pads=[10**6] * 6),
        "pads",
    ),
    "an attribute of another": (
        lambda: helper.make_node("ConvTranspose", [IMAGES, "weights"], ["a"], output_shape=[9]),
        "output_shape",
    ),
}
GRAPHS: dict[str, tuple[Graph, str]] = {
    "weights in another file": (lambda: _with_tensor(_external), "another file|field 13"),
    "weights without end": (lambda: _with_tensor(_huge), "numbers"),
    "more weights than there are": (lambda: _with_tensor(_more_than_there_is), "numbers"),
    "less than none": (lambda: _with_tensor(_negative), "of size"),
    "words as weights": (lambda: _with_tensor(_words), "field 6|type"),
    "operators without end": (_many_nodes, "5001 operators"),
    "a product of weights": (_product_of_weights, "weights alone"),
}
GRAPHS |= {name: (partial(_made, make), words) for name, (make, words) in NODES.items()}


@pytest.mark.parametrize("name", GRAPHS)
def test_more_than_a_network_is_refused(tmp_path: Path, name: str) -> None:
    make, words = GRAPHS[name]
    path = write_graph(tmp_path / "model.onnx", make())
    with pytest.raises(InputError, match="no network of ours") as refusal:
        load_model(path)
    assert any(word in refusal.value.found for word in words.split("|")), refusal.value.found


def _function(model: ModelProto) -> None:
    function = model.functions.add()
    function.name, function.domain = "Relu", "com.example"


def _another_domain(model: ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.example", 1))


def _second_input(model: ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))


@pytest.mark.parametrize("change", [_function, _another_domain, _second_input])
def test_so_is_what_a_model_may_bring_along(
    tmp_path: Path, change: Callable[[ModelProto], None]
) -> None:
    path = write_graph(tmp_path / "model.onnx", small_graph(), change=change)
    with pytest.raises(InputError, match="no network of ours"):
        load_model(path)


def _outer() -> GraphProto:
    """All voxels plus all voxels, each with each."""
    graph = small_graph()
    for name, shape in (
        ("as column", (-1, 1)),
        ("as row", (1, -1)),
        ("as before", (1, 4, 2, 2, -1)),
    ):
        graph.initializer.append(numpy_helper.from_array(np.array(shape, np.int64), name))
    nodes = [
        helper.make_node("Reshape", [IMAGES, "as column"], ["column"]),
        helper.make_node("Reshape", [IMAGES, "as row"], ["row"]),
        helper.make_node("Add", ["column", "row"], ["each"]),
        helper.make_node("Reshape", ["each", "as before"], ["a"]),
    ]
    graph.node[0].input[0] = "a"
    for number, node in enumerate(nodes):
        graph.node.insert(number, node)
    return graph


def _inflated() -> GraphProto:
    """Twice as large along each axis, eight times over."""
    graph, name = small_graph(), IMAGES
    kernel = np.ones((4, 4, 2, 2, 2), np.float32)
    graph.initializer.append(numpy_helper.from_array(kernel, "kernel"))
    for number in range(8):
        made = helper.make_node(
            "ConvTranspose", [name, "kernel"], [f"t{number}"], strides=[2, 2, 2]
        )
        graph.node.insert(number, made)
        name = f"t{number}"
    graph.node[-1].input[0] = name
    return graph


def _more_classes() -> GraphProto:
    graph = small_graph()
    weights = numpy_helper.from_array(np.ones((5, 4, 1, 1, 1), np.float32), "weights")
    graph.initializer[0].CopyFrom(weights)
    graph.output[0].CopyFrom(helper.make_tensor_value_info(LOGITS, 1, [1, 5, *AXES]))
    return graph


@pytest.mark.parametrize(
    ("make", "words"),
    [(_outer, "hold more"), (_inflated, "hold more"), (_more_classes, "does not answer")],
)
def test_larger_or_other_than_its_description_says(tmp_path: Path, make: Graph, words: str) -> None:
    path = write_graph(tmp_path / "model.onnx", make())
    with pytest.raises(InputError, match=words):
        _open(path)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_not_in_it_cannot_be_cut_out(tmp_path: Path, engine: EngineName) -> None:
    opened = _open(write_graph(tmp_path / "model.onnx", small_graph()), engine)
    with pytest.raises(InputError, match="cannot be run"):
        opened.run(Piece(("handed_1",), "risen_1"), (2, 2, 2), np.ones((4, 2, 2, 2), np.float32))


def _lies() -> dict[str, object]:
    cost, whole = DESCRIPTION["cost"], DESCRIPTION["cost"]["whole"]
    level = {"first": 0, "last": 1, "factor": 2, "encode_halo": 2, "decode_halo": 2}
    level |= {"handed": 4, "risen": 4, "encode": whole, "decode": whole, "below": whole}
    return {
        "no stride": {"cost": cost | {"stride": [0, 1, 1]}},
        "a stride beyond all": {"cost": cost | {"stride": [1 << 40, 1, 1]}},
        "a margin below 0": {"cost": cost | {"margin": -1}},
        "other sequences": {"cost": cost | {"sequences": 5}},
        "other classes": {"cost": cost | {"classes": 1 << 30}},
        "endless bytes": {"cost": cost | {"whole": whole | {"bytes": 1e400}}},
        "no flops": {"cost": cost | {"whole": whole | {"flops": 0}}},
        "levels in a circle": {"cost": cost | {"levels": [level | {"last": 0, "factor": 1}]}},
        "levels from nowhere": {"cost": cost | {"levels": [level | {"first": 3, "last": 4}]}},
        "a network as wide as the sea": {"widths": [1 << 40, 1]},
        "no width": {"widths": [0, 0]},
        "another normalisation": {"normalisation": "of a kind"},
        "another order": {"sequences": ["t2f", "t1n", "t1c", "t2w"]},
        "parts of nothing": {"part": [0, 0, 0]},
        "a key of its own": {"run": "rm -rf"},
        "cold": {"temperature": 0},
        "a book for a name": {"name": "x" * 10_000},
        "too many to cut at": {"cut_points": ["x"] * 1000},
    }


@pytest.mark.parametrize("lie", _lies())
def test_a_description_that_cannot_be_true(tmp_path: Path, lie: str) -> None:
    changed = _lies()[lie]
    assert isinstance(changed, dict)
    path = write_graph(tmp_path / "model.onnx", small_graph(), DESCRIPTION | changed)
    with pytest.raises(InputError, match="does not describe a model"):
        load_model(path)


@pytest.mark.parametrize("text", ["[" * 100_000, "{", "[]", "1" * 5000, '{"format": 2}', ""])
def test_a_description_that_is_none(tmp_path: Path, text: str) -> None:
    path = write_graph(tmp_path / "model.onnx", small_graph(), text)
    with pytest.raises(InputError, match=r"descri(ption|be)"):
        load_model(path)


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "model.onnx", small_graph())
    whole = path.read_bytes()
    for length in range(0, len(whole), 3):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError):
            load_model(path)


def test_a_file_of_nothing_but_beginnings_does_not_take_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x3a\x00" * 5_000_000)
    began = time.process_time()
    with pytest.raises(InputError):
        load_model(path)
    assert time.process_time() - began < 2
    with pytest.raises(InputError, match=str(damaged(path).problem)):
        list(fields(path, memoryview(b"\x07")))
    with pytest.raises(InputError):
        list(fields(path, memoryview(b"\x08\x00" * 20_000)))


def test_a_tensor_of_two_kinds(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "model.onnx", small_graph())
    model = ModelProto.FromString(path.read_bytes())
    graph, tensor = model.graph, model.graph.initializer[0].SerializeToString()
    del graph.initializer[0]
    whole = graph.SerializeToString() + _field(5, tensor + b"\x10\x01")
    model.ClearField("graph")
    path.write_bytes(model.SerializeToString() + _field(7, whole))
    with pytest.raises(InputError, match="of another type"):
        inspect(path)


def _field(number: int, content: bytes) -> bytes:
    size, length = len(content), bytearray()
    while size >= 0x80:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([number << 3 | 2, *length, size]) + content


def test_segment_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cohort = write_small_dataset(tmp_path / "cohort", 1)
    path = write_graph(tmp_path / "model.onnx", _with_tensor(_external))
    with pytest.raises(SystemExit) as ended:
        main(["segment", str(cohort), "-o", str(tmp_path / "out"), "--model", str(path)])
    assert ended.value.code == 2
    assert "holds what no network of ours does" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def _spoilt(folder: Path, weights: bytes, **said: object) -> Path:
    """A run whose files were changed, with a checksum that is right."""
    write_small_model(folder, 1)
    (folder / WEIGHTS).write_bytes(weights or (folder / WEIGHTS).read_bytes())
    description = json.loads((folder / DESCRIBED).read_text(encoding="utf-8"))
    description |= {**said, "sha256": checksum(folder / WEIGHTS)}
    (folder / DESCRIBED).write_text(json.dumps(description), encoding="utf-8")
    return folder


def _safetensors(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def _tensor(shape: list[int], end: int, kind: str = "F32") -> dict[str, object]:
    return {"head.weight": {"dtype": kind, "shape": shape, "data_offsets": [0, end]}}


@pytest.mark.parametrize(
    "weights",
    [
        b"\0",
        (1 << 60).to_bytes(8, "little"),
        _safetensors(b"[" * 100_000),
        _safetensors({}),
        _safetensors(_tensor([1 << 40], 1 << 42), bytes(16)),
        _safetensors(_tensor([1 << 40], 16), bytes(16)),
        _safetensors(_tensor([-4], 16), bytes(16)),
        _safetensors(_tensor([4], 16, "PICKLE"), bytes(16)),
        _safetensors(_tensor([4], 16), bytes(16)),
    ],
)
def test_weights_that_are_none(tmp_path: Path, weights: bytes) -> None:
    model = load_model(_spoilt(tmp_path / "run", weights))
    with pytest.raises(InputError, match="does not hold the weights"):
        load_network(model)


def test_a_network_larger_than_its_weights_is_never_built(tmp_path: Path) -> None:
    model = load_model(_spoilt(tmp_path / "run", b"", widths=[4096] * 7))  # 30 GB of them
    with pytest.raises(InputError, match="does not hold the weights"):
        load_network(model)
