"""A trained network in one file: ONNX, with everything needed to run it in its metadata.

Only the outermost layer of the file is read here, so that neither the ``onnx`` package nor an
engine is needed to know what a file is and whether it is whole: a ``ModelProto`` is a sequence of
numbered fields, of which 7 is the graph and 14 the metadata.

Reference: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3 and
https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Final

from minicube._errors import InputError

__all__ = [
    "HALF",
    "IMAGES",
    "LOGITS",
    "METADATA",
    "NORMS",
    "PREFIX",
    "SUFFIX",
    "graph_checksum",
    "handed",
    "metadata_of",
    "risen",
]

SUFFIX: Final = ".onnx"
METADATA: Final = "minicube"
"""Key of the metadata that describes the model, as JSON."""
NORMS: Final = "minicube.norms"
"""Key of what is needed beside the graph to train the network on."""
IMAGES: Final = "images"
LOGITS: Final = "logits"
PREFIX: Final = "network."
"""Before the names of the network's weights."""
HALF: Final = ".fp16"
"""Behind the names of weights that are kept in half precision."""

_GRAPH, _METADATA = 7, 14
_KEY, _VALUE = 1, 2
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
_LARGEST: Final = 2 << 30  # what a protobuf can be


def handed(level: int) -> str:
    """Name of the tensor that is handed down to a level."""
    return f"handed_{level}"


def risen(level: int) -> str:
    """Name of the tensor that a level gives to the one above."""
    return f"risen_{level}"


def metadata_of(path: Path) -> dict[str, str]:
    """Read the metadata of an ONNX file.

    Raises:
        InputError: The file cannot be read, or is none.
    """
    found = {}
    for number, value in _fields(path, _contents(path)):
        if number == _METADATA:
            pair = dict(_fields(path, value))
            try:
                found[bytes(pair[_KEY]).decode()] = bytes(pair.get(_VALUE, b"")).decode()
            except (KeyError, UnicodeDecodeError) as error:
                raise _damaged(path) from error
    return found


def graph_checksum(path: Path) -> str:
    """SHA-256, in hexadecimal, of the graph with its weights; what describes it is left out.

    Raises:
        InputError: The file cannot be read, or is none.
    """
    digest = sha256()
    for number, value in _fields(path, _contents(path)):
        if number == _GRAPH:
            digest.update(value)
    return digest.hexdigest()


def _contents(path: Path) -> memoryview:
    try:
        size = path.stat().st_size
        if size > _LARGEST:
            raise InputError(f"{path} is too large for an ONNX file.", expected="at most 2 GB")
        return memoryview(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path} cannot be read.", found=error.strerror or str(error)) from error


def _fields(path: Path, data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Numbers and contents of a message's fields; numbers themselves are passed over."""
    at = 0
    while at < len(data):
        tag, at = _varint(path, data, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            _, at = _varint(path, data, at)
            continue
        if kind == _LENGTH:
            length, at = _varint(path, data, at)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            length = 8 if kind == _EIGHT_BYTES else 4
        else:
            raise _damaged(path)
        if at + length > len(data):
            raise _damaged(path)
        yield number, data[at : at + length]
        at += length


def _varint(path: Path, data: memoryview, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where the next field begins."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _damaged(path)


def _damaged(path: Path) -> InputError:
    return InputError(
        f"{path} is not a whole ONNX file.",
        expected="a file that `minicube export` wrote",
        hint="copy it again, or export the run again",
    )
