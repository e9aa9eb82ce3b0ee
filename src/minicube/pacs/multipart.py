"""Multipart messages as streams: how DICOMweb sends objects (RFC 2046, 5.1; PS3.18, 8.6)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from email.message import Message
from typing import Final

from minicube.pacs.archive import Broken

__all__ = ["boundary_of", "parts"]

_LONGEST_HEADER: Final = 16 << 10
_END_OF_HEADER: Final = b"\r\n\r\n"


def boundary_of(content_type: str) -> bytes | None:
    """What separates the parts of a message of this type; None where it is not multipart."""
    message = Message()
    message["Content-Type"] = content_type
    boundary = message.get_boundary()
    if message.get_content_maintype() != "multipart" or not boundary:
        return None
    return boundary.encode("latin-1", "replace")


def parts(chunks: Iterable[bytes], boundary: bytes) -> Iterator[Iterator[bytes]]:
    """Yield each part's content as it comes, without its header.

    Args:
        chunks: Of the whole message.
        boundary: From :func:`boundary_of`.

    Yields:
        Pieces of a part; what is left of it is passed over when the next part is asked for.

    Raises:
        Broken: The message ends in the middle, or what is no part's content has no end.
    """
    reader = _Reader(chunks, b"\r\n--" + boundary)
    before = 0  # bytes before the first part, which mean nothing
    for piece in reader.until_delimiter():
        before += len(piece)
        if before > _LONGEST_HEADER:
            raise Broken("The archive sent a message whose parts do not begin.")
    while not reader.is_last():
        reader.skip_header()
        content = reader.until_delimiter()
        yield content
        for _ in content:
            pass


class _Reader:
    def __init__(self, chunks: Iterable[bytes], delimiter: bytes) -> None:
        self._chunks = iter(chunks)
        self._delimiter = delimiter
        self._held = bytearray(b"\r\n")  # the first delimiter may stand at the very beginning

    def _more(self) -> None:
        chunk = next(self._chunks, None)
        if chunk is None:
            raise Broken("The archive stopped in the middle of what it was sending.")
        self._held += chunk

    def until_delimiter(self) -> Iterator[bytes]:
        """All up to the next delimiter, which is passed over."""
        keep = len(self._delimiter) - 1  # what may be its beginning
        while (end := self._held.find(self._delimiter)) < 0:
            if len(self._held) > keep:
                piece = bytes(self._held[:-keep])
                del self._held[:-keep]
                yield piece
            self._more()
        piece = bytes(self._held[:end])
        del self._held[: end + len(self._delimiter)]
        if piece:
            yield piece

    def is_last(self) -> bool:
        """Whether the delimiter just passed is the one that ends the message."""
        while len(self._held) < 2:
            self._more()
        return self._held.startswith(b"--")

    def skip_header(self) -> None:
        while (end := self._held.find(_END_OF_HEADER)) < 0:
            if len(self._held) > _LONGEST_HEADER:
                raise Broken("The archive sent a part whose header has no end.")
            self._more()
        del self._held[: end + len(_END_OF_HEADER)]
