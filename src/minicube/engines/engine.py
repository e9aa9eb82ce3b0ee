"""What an engine is, and a whole volume run through one."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from minicube.scans import NETWORK_SCHEME, LabelMap

__all__ = ["Engine", "segment_volume", "volume_logits"]


class Engine(Protocol):
    """Runs one network."""

    @property
    def stride(self) -> int:
        """Voxels; every axis of the input must be a multiple of it."""
        ...

    def logits(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Images ``(sequence, x, y, z)`` to logits ``(class, x, y, z)``."""
        ...


def volume_logits(engine: Engine, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run the whole volume at once.

    Args:
        engine: Any.
        images: ``(sequence, x, y, z)`` of any shape; padded with zeros at the far ends to
            the engine's stride, so that the answer depends on the scan alone.

    Returns:
        Logits ``(class, x, y, z)``.
    """
    x, y, z = images.shape[1:]
    padding = [(0, -n % engine.stride) for n in (x, y, z)]
    padded = np.pad(images, [(0, 0), *padding]) if np.any(padding) else images
    return engine.logits(padded)[:, :x, :y, :z]


def segment_volume(engine: Engine, images: NDArray[np.float32]) -> LabelMap:
    """Keep the likeliest class of each voxel of :func:`volume_logits`.

    Returns:
        Labels ``(x, y, z)`` in :data:`NETWORK_SCHEME`.
    """
    return LabelMap(volume_logits(engine, images).argmax(axis=0).astype(np.uint8), NETWORK_SCHEME)
