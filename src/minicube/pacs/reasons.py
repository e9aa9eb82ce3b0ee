"""Why an archive refused something, in words."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["reason"]

_WORDS: Final = {
    0x0110: "it failed while storing it",
    0x0111: "it holds an object of this identifier already",
    0x0117: "the object's identifier is none",
    0x0122: "it does not store this kind of object",
    0x0124: "it is not allowed to take it from us",
}
# By the first digits (PS3.4, B.2.3; PS3.18, I.2.2).
_FAMILIES: Final = {0xA7: "it is out of space", 0xA9: "object and kind do not agree"}


def reason(status: Any) -> str:
    """Words for a status of C-STORE, or for a FailureReason of STOW-RS.

    Reference: DICOM PS3.4, B.2.3; PS3.7, C.5; PS3.18, I.2.2.

    Example:
        >>> reason(0xA700)
        'it is out of space (0xA700)'
    """
    try:
        code = int(status)
    except (TypeError, ValueError):
        return "it does not say why"
    words = _WORDS.get(code) or _FAMILIES.get(code >> 8)
    if words is None:
        words = "it cannot understand it" if code >> 12 == 0xC else "it does not say why"
    return f"{words} (0x{code:04X})"
