"""A trained network in one file: ONNX, with everything needed to run it in its metadata.

Only the outermost layer of the file is read here, so that neither the ``onnx`` package nor an
engine is needed to know what a file is and whether it is whole: a ``ModelProto`` is a sequence of
numbered fields, of which 7 is the graph and 14 the metadata. What the graph holds is looked at in
:mod:`minicube.engines.inspection`.

Reference: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Final

from minicube._errors import InputError
from minicube.engines._protobuf import damaged, fields

__all__ = [
    "HALF",
    "IMAGES",
    "LOGITS",
    "METADATA",
    "NORMS",
    "PREFIX",
    "SUFFIX",
    "contents",
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
    for number, value in fields(path, contents(path)):
        if number == _METADATA and isinstance(value, memoryview):
            pair = {n: bytes(v) for n, v in fields(path, value) if isinstance(v, memoryview)}
            try:
                found[pair[_KEY].decode()] = pair.get(_VALUE, b"").decode()
            except (KeyError, UnicodeDecodeError) as error:
                raise damaged(path) from error
    return found


def graph_checksum(path: Path) -> str:
    """SHA-256, in hexadecimal, of the graph with its weights; what describes it is left out.

    Raises:
        InputError: The file cannot be read, or is none.
    """
    digest = sha256()
    for number, value in fields(path, contents(path)):
        if number == _GRAPH and isinstance(value, memoryview):
            digest.update(value)
    return digest.hexdigest()


def contents(path: Path) -> memoryview:
    """Read the whole file.

    Raises:
        InputError: It cannot be read, or is larger than such a file can be.
    """
    try:
        size = path.stat().st_size
        if size > _LARGEST:
            raise InputError(f"{path} is too large for an ONNX file.", expected="at most 2 GB")
        return memoryview(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path} cannot be read.", found=error.strerror or str(error)) from error
