"""A case: the sequences of one head on one grid, in RAS+."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from minicube.scans.geometry import Geometry
from minicube.scans.labels import LabelMap

__all__ = ["Case", "Croppable", "Sequence", "absent_from"]


class Sequence(StrEnum):
    """The four MR sequences, by their BraTS names. The order is the network's channel order."""

    T1N = "t1n"
    T1C = "t1c"
    T2W = "t2w"
    T2F = "t2f"

    @property
    def label(self) -> str:
        """The name a reader of scans would use."""
        return {
            "t1n": "T1",
            "t1c": "T1 with contrast",
            "t2w": "T2",
            "t2f": "FLAIR",
        }[self.value]


def absent_from(present: Container[Sequence]) -> tuple[Sequence, ...]:
    """Return the sequences that are not there, in channel order."""
    return tuple(sequence for sequence in Sequence if sequence not in present)


Slices = tuple[slice, slice, slice]


class Croppable(Mapping[Sequence, NDArray[np.float32]]):
    """Images of which a box is cheaper than the whole."""

    @abstractmethod
    def crop(self, sequence: Sequence, box: Slices) -> NDArray[np.float32]:
        """A box of one sequence, ``(x, y, z)``."""


@dataclass(frozen=True, eq=False)
class Case:
    """The sequences of one head on one grid; usually four.

    Args:
        identity: Name of the case; never a patient's name.
        images: One array for each sequence that is there, ``(x, y, z)``, float32, RAS+ order,
            intensities as the scanner gave them, 0 outside the brain.
        geometry: The grid of the files the case came from, and the way back to it.
        brain: Mask of the brain, ``(x, y, z)`` bool, RAS+.
        reference: Expert labels on the same RAS+ grid, when there are any.
        warnings: Remarks the reader made that a user should see.
    """

    identity: str
    images: Mapping[Sequence, NDArray[np.float32]]
    geometry: Geometry
    brain: NDArray[np.bool_]
    reference: LabelMap | None = None
    warnings: tuple[str, ...] = field(default=())

    @property
    def absent(self) -> tuple[Sequence, ...]:
        """The sequences that are not there, in channel order."""
        return absent_from(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the RAS+ grid, voxels ``(x, y, z)``."""
        x, y, z = self.brain.shape
        return x, y, z

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance between voxel centres along x, y, z of the RAS+ grid, mm."""
        return self.geometry.ras_spacing

    def crop(self, sequence: Sequence, box: Slices) -> NDArray[np.float32]:
        """A box of one sequence, ``(x, y, z)``; of images on disk, all that is held."""
        if isinstance(self.images, Croppable):
            return self.images.crop(sequence, box)
        return self.images[sequence][box]

    @property
    def affine(self) -> NDArray[np.float64]:
        """RAS+ voxel index to scanner coordinates, mm, ``(4, 4)``."""
        return self.geometry.ras_affine
