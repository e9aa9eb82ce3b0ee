"""What is sent to us over DIMSE: of what kind, how much, and where to (PS3.7; PS3.8)."""

from __future__ import annotations

import socket
from typing import Any, Final

from pydicom.uid import (
    JPEG2000,
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from pynetdicom import AllStoragePresentationContexts, evt
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    EnhancedMRImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
    MRImageStorage,
    SegmentationStorage,
)

from minicube._errors import InputError
from minicube.pacs.intake import Intake, too_much

__all__ = ["MOST_CONTEXTS", "Receiver", "acceptable", "asking", "own_address", "receivable"]

MOST_CONTEXTS: Final = 128
"""Presentation contexts of an association (PS3.8, 9.3.2.2)."""

_PACKED: Final = [
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    JPEG2000Lossless,
    JPEG2000,
    RLELossless,
]
_PLAIN: Final[list[str | UID]] = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
_MR: Final = [MRImageStorage, EnhancedMRImageStorage, LegacyConvertedEnhancedMRImageStorage]
_LONGEST_ANSWER: Final = 256 << 20  # to one question, objects apart
_SUCCESS: Final = 0x0000
_NOT_TAKEN: Final = 0xA700


class Receiver:
    """Hands objects that are sent to us to an intake.

    Args:
        intake: Of one study.
    """

    def __init__(self, intake: Intake) -> None:
        self.problem: InputError | None = None
        self.stranger = ""  # who wanted to send, and was not let in
        self.handlers: list[Any] = [
            (evt.EVT_C_STORE, self._take),
            (evt.EVT_DATA_RECV, self._count),
            (evt.EVT_CONN_OPEN, _set_up),
            (evt.EVT_REJECTED, self._refused),
        ]
        self._intake = intake
        self._coming: dict[Any, int] = {}  # bytes of the object under way, by association

    def _take(self, event: Any) -> int:
        self._coming[event.assoc] = 0
        if self.problem is None:
            try:
                self._intake.take([event.encoded_dataset()])
            except InputError as error:
                self.problem = error
        if self.problem is None:
            return _SUCCESS
        event.assoc.abort()
        return _NOT_TAKEN

    def _refused(self, event: Any) -> None:
        self.stranger = str(event.assoc.requestor.ae_title)

    def _count(self, event: Any) -> None:
        """An object lies in memory until it is whole; one that never ends is not waited for."""
        coming = self._coming.get(event.assoc, 0) + len(event.data)
        self._coming[event.assoc] = coming
        if coming > self._intake.limits.object:
            self.problem = self.problem or too_much(self._intake.limits)
            event.assoc.abort()


def asking() -> list[Any]:
    """Handlers where no objects are sent to us: answers that never end are not waited for."""
    heard = 0

    def count(event: Any) -> None:
        nonlocal heard
        heard += len(event.data)
        if heard > _LONGEST_ANSWER:
            event.assoc.abort()

    return [(evt.EVT_CONN_OPEN, _set_up), (evt.EVT_DATA_RECV, count)]


def _set_up(event: Any) -> None:
    """Make a connection neither slow nor endless."""
    connection = event.assoc.dul.socket.socket
    # Else each small message waits for the other side's delayed acknowledgement.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # Of an archive that falls silent in the middle of a message no timeout of DIMSE knows.
    connection.settimeout(event.assoc.network_timeout)


def own_address(towards: tuple[str, int]) -> str:
    """This computer's address on the way to another."""
    family, _, _, _, place = socket.getaddrinfo(*towards, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(place)  # sends nothing
        return str(probe.getsockname()[0])


def receivable() -> list[PresentationContext]:
    """What we let be sent with C-GET: MR in all that is read, the rest unpacked.

    A context is answered with one syntax, so each packed one has a context of its own.
    """
    contexts = [build_context(kind, _PLAIN) for kind in (*_MR, SegmentationStorage)]
    contexts += [build_context(kind, syntax) for kind in _MR for syntax in _PACKED]
    known = {context.abstract_syntax for context in contexts}
    for other in AllStoragePresentationContexts:
        kind = other.abstract_syntax
        if kind is not None and kind not in known and len(contexts) < MOST_CONTEXTS - 1:
            contexts.append(build_context(kind, _PLAIN))
    return contexts


def acceptable() -> list[PresentationContext]:
    """What we accept with C-MOVE: all kinds, in all syntaxes that are read."""
    return [
        build_context(kind.abstract_syntax, [*_PLAIN, *_PACKED])
        for kind in AllStoragePresentationContexts
        if kind.abstract_syntax is not None
    ]
