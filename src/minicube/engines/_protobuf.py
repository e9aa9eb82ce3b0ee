"""Protocol buffers, as far as a model's file needs them: numbered fields, one layer at a time.

Reference: https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from minicube._errors import InputError

__all__ = ["Field", "damaged", "fields", "signed", "varint"]

Field = int | memoryview
"""A number, or the bytes of anything else."""

_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
_MOST_FIELDS: Final = 10_000  # of a message; of ours the graph has most, some hundred
_SIGN: Final = 1 << 63


def fields(path: Path, data: memoryview) -> Iterator[tuple[int, Field]]:
    """Numbers and contents of a message's fields.

    Args:
        path: Of the file, for what is said when it is damaged.
        data: The message.

    Raises:
        InputError: It breaks off, is none, or has more fields than any of ours.
    """
    at, count = 0, 0
    while at < len(data):
        count += 1
        if count > _MOST_FIELDS:
            raise damaged(path)
        tag, at = varint(path, data, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = varint(path, data, at)
            yield number, value
            continue
        if kind == _LENGTH:
            length, at = varint(path, data, at)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            length = 8 if kind == _EIGHT_BYTES else 4
        else:
            raise damaged(path)
        if at + length > len(data):
            raise damaged(path)
        yield number, data[at : at + length]
        at += length


def varint(path: Path, data: memoryview, at: int) -> tuple[int, int]:
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
    raise damaged(path)


def signed(number: int) -> int:
    """A varint as an int64."""
    return (number & (2 * _SIGN - 1)) - (2 * _SIGN if number & _SIGN else 0)


def damaged(path: Path) -> InputError:
    """What is said of a file that is no message."""
    return InputError(
        f"{path} is not a whole ONNX file.",
        expected="a file that `minicube export` wrote",
        hint="copy it again, or export the run again",
    )
