"""What an exported graph may be: only what :mod:`minicube.export` writes, so that it is data.

A stranger's file is looked at before any engine sees it. Left are operators that compute on what
they are given, whose numbers lie in the file itself: none that reads other files, runs other
graphs, repeats, or makes much out of little. How large tensors become is asked of the engine.

Reference: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path
from typing import Final

import numpy as np

from minicube._errors import InputError
from minicube.engines._protobuf import Field, damaged, fields, signed, varint
from minicube.engines.portable import IMAGES, LOGITS, contents

__all__ = ["OPERATORS", "inspect"]

_WINDOWS: Final = frozenset(("auto_pad", "dilations", "kernel_shape", "pads", "strides"))
OPERATORS: Final[Mapping[str, frozenset[str]]] = {
    "Add": frozenset(),
    "Cast": frozenset(("to",)),
    "Clip": frozenset(),
    "Concat": frozenset(("axis",)),
    "Conv": _WINDOWS | {"group"},
    "ConvTranspose": _WINDOWS | {"group", "output_padding"},
    "DequantizeLinear": frozenset(("axis",)),
    "Div": frozenset(),
    "InstanceNormalization": frozenset(("epsilon",)),
    "Log": frozenset(),
    "MaxPool": _WINDOWS | {"ceil_mode", "storage_order"},
    "Mul": frozenset(),
    "PRelu": frozenset(),
    "QuantizeLinear": frozenset(("axis",)),
    "ReduceMean": frozenset(("keepdims", "noop_with_empty_axes")),
    "Relu": frozenset(),
    "Reshape": frozenset(("allowzero",)),
    "Shape": frozenset(("end", "start")),
    "Slice": frozenset(),
    "Softmax": frozenset(("axis",)),
    "Squeeze": frozenset(),
    "Transpose": frozenset(("perm",)),
    "Unsqueeze": frozenset(),
}
"""Operators that a graph may have, each with its attributes: those that were ever exported."""

# Fields of messages by their numbers in onnx.proto3.
_GRAPH = 7
_OF_MODEL: Final = {1, 2, 3, 4, 5, 6, _GRAPH, 8, 14}  # no functions, no training
_DOMAIN = 1
_NODE, _TENSOR, _INPUT, _OUTPUT = 1, 5, 11, 12
_OF_GRAPH: Final = {_NODE, 2, _TENSOR, 10, _INPUT, _OUTPUT, 13, 16}  # no sparse tensors
_OF_NODE: Final = {1, 2, 3, 4, 5, 6, 7, 9}
_NODE_IN, _NODE_OUT, _OPERATOR, _ATTRIBUTE, _NODE_DOMAIN = 1, 2, 4, 5, 7
_OF_ATTRIBUTE: Final = {1, 2, 3, 4, 8, 13, 20}  # no tensors, no graphs
_INTEGER, _TEXT, _INTEGERS = 3, 4, 8
_OF_TENSOR: Final = {1, 2, 4, 5, 7, 8, 9, 12, 14, 16}  # not in other files, not in segments
_DIMS, _KIND, _FLOATS, _INT32S, _INT64S, _TENSOR_NAME, _RAW, _PLACE = 1, 2, 4, 5, 7, 8, 9, 14
_BYTES: Final = {1: 4, 2: 1, 3: 1, 6: 4, 7: 8, 10: 2}  # float, uint8, int8, int32, int64, half

_MOST_NODES: Final = 4000  # exported were up to 400
_MOST_TEXT: Final = 200
_LARGEST_NUMBER: Final = 64  # of an attribute: widths of kernels, strides, axes
_AXES: Final = 8
# Of weights alone nothing else is computed: a sum of two may be as large as their product.
_OF_WEIGHTS: Final = ("Cast", "DequantizeLinear")


def inspect(path: Path) -> None:
    """Look whether a file is a graph as exported ones are.

    Raises:
        InputError: It is damaged, or more than that.
    """
    model = _Message(path, contents(path), _OF_MODEL, "the model")
    for domain in model.all(8):
        _Message(path, domain, {1, 2}, "operators").no_other_domain(_DOMAIN)
    graph = _Message(path, model.one(_GRAPH), _OF_GRAPH, "the graph")
    nodes, tensors = graph.all(_NODE), graph.all(_TENSOR)
    if max(len(nodes), len(tensors)) > _MOST_NODES:
        raise _refused(path, f"{len(nodes)} operators and {len(tensors)} tensors")
    weights = {_weights(path, tensor) for tensor in tensors}
    if [_value(path, value) for value in graph.all(_INPUT)] != [IMAGES]:
        raise _refused(path, "other inputs than images")
    live = {IMAGES}  # what depends on them
    for node in nodes:
        _operate(path, node, weights, live)
    if [_value(path, value) for value in graph.all(_OUTPUT)] != [LOGITS] or LOGITS not in live:
        raise _refused(path, "other outputs than logits")


class _Message:
    """Fields of a message by number; none that is not expected."""

    def __init__(self, path: Path, data: memoryview, known: Iterable[int], what: str) -> None:
        self.path = path
        self._fields: dict[int, list[Field]] = {number: [] for number in known}
        for number, value in fields(path, data):
            if number not in self._fields:
                raise _refused(path, f"field {number} in {what}")
            self._fields[number].append(value)

    def all(self, number: int) -> list[memoryview]:
        """Contents of a field that may be repeated."""
        found = [value for value in self._fields[number] if isinstance(value, memoryview)]
        if len(found) < len(self._fields[number]):
            raise damaged(self.path)
        return found

    def one(self, number: int) -> memoryview:
        """Contents of a field that is there once."""
        found = self.all(number)
        if len(found) != 1:
            raise damaged(self.path)
        return found[0]

    def text(self, number: int) -> str:
        """A short text; empty where there is none."""
        found = self.all(number)
        if len(found) > 1 or any(len(text) > _MOST_TEXT for text in found):
            raise damaged(self.path)
        return _decoded(self.path, found[0]) if found else ""

    def texts(self, number: int) -> list[str]:
        """Texts of a repeated field."""
        return [_decoded(self.path, text) for text in self.all(number)]

    def integers(self, number: int) -> list[int]:
        """Numbers of a repeated field, packed or not."""
        found = []
        for value in self._fields[number]:
            if isinstance(value, int):
                found.append(signed(value))
                continue
            at = 0
            while at < len(value) and len(found) <= _LARGEST_NUMBER:
                one, at = varint(self.path, value, at)
                found.append(signed(one))
        return found

    def no_other_domain(self, number: int) -> None:
        """Refuse operators that are not ONNX's own."""
        if self.text(number) not in ("", "ai.onnx"):
            raise _refused(self.path, f"operators of {self.text(number)!r}")

    def count_packed(self, number: int, width: int | None) -> int:
        """How many numbers a field holds: of so many bytes, or of varints."""
        count = 0
        for value in self._fields[number]:
            if isinstance(value, int):
                count += 1
            elif width is not None:
                count += len(value) // width
            else:
                count += int((np.frombuffer(value, np.uint8) < 0x80).sum())
        return count


def _weights(path: Path, data: memoryview) -> str:
    """Name of a tensor whose numbers are all there."""
    tensor = _Message(path, data, _OF_TENSOR, "a tensor")
    name, sizes = tensor.text(_TENSOR_NAME), tensor.integers(_DIMS)
    kind, *other = tensor.integers(_KIND) or (0,)
    if other or kind not in _BYTES or any(tensor.integers(_PLACE)):
        raise _refused(path, f"a tensor {name!r} of another type, or in another file")
    if len(sizes) > _AXES or any(size < 0 for size in sizes):
        raise _refused(path, f"a tensor {name!r} of size {sizes[:_AXES]}")
    if tensor.all(_RAW):
        there = len(tensor.one(_RAW)) / _BYTES[kind]
    else:
        there = tensor.count_packed(_FLOATS, 4)
        there += tensor.count_packed(_INT32S, None) + tensor.count_packed(_INT64S, None)
    if there != prod(sizes):
        raise _refused(path, f"a tensor {name!r} of size {sizes} with {there:g} numbers")
    return name


def _value(path: Path, data: memoryview) -> str:
    """Name of an input or output."""
    return _Message(path, data, range(1, 10), "a value").text(1)


def _operate(path: Path, data: memoryview, weights: set[str], live: set[str]) -> None:
    """Follow an operator: its outputs join what its inputs belong to."""
    node = _Message(path, data, _OF_NODE, "an operator")
    operator = node.text(_OPERATOR)
    node.no_other_domain(_NODE_DOMAIN)
    if operator not in OPERATORS:
        raise _refused(path, f"operator {operator!r}")
    for attribute in node.all(_ATTRIBUTE):
        _check_attribute(path, operator, attribute)
    inputs = {name for name in node.texts(_NODE_IN) if name}
    outputs = node.texts(_NODE_OUT)
    if not inputs or inputs - weights - live:
        raise _refused(path, f"{operator} of what is not there")
    if len(outputs) != 1 or outputs[0] in weights | live:
        raise _refused(path, f"{operator} with other outputs than one of its own")
    if inputs & live:
        live.add(outputs[0])
    elif operator in _OF_WEIGHTS:
        weights.add(outputs[0])
    else:
        raise _refused(path, f"{operator} of weights alone")


def _check_attribute(path: Path, operator: str, data: memoryview) -> None:
    attribute = _Message(path, data, _OF_ATTRIBUTE, f"an attribute of {operator}")
    name = attribute.text(1)
    numbers = [*attribute.integers(_INTEGER), *attribute.integers(_INTEGERS)]
    if name not in OPERATORS[operator]:
        raise _refused(path, f"{operator} with {name!r}")
    if len(numbers) > 2 * _AXES or any(abs(number) > _LARGEST_NUMBER for number in numbers):
        raise _refused(path, f"{operator} with {name} {numbers[: 2 * _AXES]}")
    if attribute.text(_TEXT) not in ("", "NOTSET"):
        raise _refused(path, f"{operator} with {name} {attribute.text(_TEXT)!r}")


def _decoded(path: Path, text: memoryview) -> str:
    try:
        return bytes(text).decode()
    except UnicodeDecodeError as error:
        raise damaged(path) from error


def _refused(path: Path, found: str) -> InputError:
    return InputError(
        f"{path} holds what no network of ours does, and is not run.",
        expected="a file that `minicube export` wrote",
        found=found,
    )
