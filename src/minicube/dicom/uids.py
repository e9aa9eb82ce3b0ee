"""Identifiers made from what they identify."""

from __future__ import annotations

import uuid
from typing import Final

from pydicom.uid import UID

__all__ = ["uid_of"]

_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_OID, "minicube.dicom")


def uid_of(*parts: object) -> UID:
    """A UID that is the same for the same parts: ``2.25.`` and a version 5 UUID.

    What is made twice from the same thing is then one thing to an archive.

    Reference: DICOM PS3.5, B.2; RFC 9562, 5.5.
    """
    return UID(f"2.25.{uuid.uuid5(_NAMESPACE, chr(0).join(map(str, parts))).int}")
