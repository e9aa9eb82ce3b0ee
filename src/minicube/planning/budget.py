"""A memory budget as people write it."""

from __future__ import annotations

import re
from typing import Final

from minicube._errors import InputError
from minicube._machine import available_memory

__all__ = ["in_words", "is_auto", "parse_memory"]

AUTO: Final = "auto"
_AUTO_SHARE = 0.8
_UNITS: Final = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_WRITTEN: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?\s*", re.IGNORECASE)


def parse_memory(text: str, spare: int | None = None) -> int:
    """Bytes of a budget such as ``3GB``, ``512 MB`` or ``auto``; MB and GB are 2²⁰ and 2³⁰.

    Args:
        text: As written; "auto" is four fifths of what is to spare.
        spare: Bytes; None for what the machine, or the container, has to spare now.

    Raises:
        InputError: It is not a size, or nobody knows what is to spare.
    """
    if is_auto(text):
        spare = available_memory() if spare is None else spare
        if spare is None:
            raise InputError(
                "This system does not say how much memory is to spare.",
                hint="give a size, such as --memory 3GB",
            )
        return int(spare * _AUTO_SHARE)
    written = _WRITTEN.fullmatch(text)
    size = int(float(written[1]) * _UNITS[written[2].lower()]) if written else 0
    if size <= 0:
        raise InputError(
            "This is not an amount of memory.",
            expected="a size such as 512MB or 3GB, or auto",
            found=text,
        )
    return size


def is_auto(text: str) -> bool:
    """Whether a budget is whatever is to spare."""
    return text.strip().lower() == AUTO


def in_words(size: int) -> str:
    """Bytes for people."""
    if size >= 2**30:
        return f"{size / 2**30:.2f} GB"
    return f"{size / 2**20:.0f} MB"
