"""Connected voxels of a mask, and what a mask encloses."""

from __future__ import annotations

from typing import Any, Final, Literal

import cc3d
import numpy as np
from numpy.typing import NDArray

__all__ = ["components", "enclosed"]

_FACES: Final = 6


def components(mask: NDArray[np.bool_], connectivity: Literal[6, 26]) -> NDArray[Any]:
    """Number the components of a mask.

    Args:
        mask: ``(x, y, z)``.
        connectivity: Voxels are of one component when they share a face (6), or also an edge
            or a corner (26).

    Returns:
        Unsigned numbers from 1 in the order of first voxels in memory, 0 outside the mask.
    """
    # cc3d 4.1.1 counts too few labels for masks as thin as one voxel (such as 1, 0, 1).
    padded = np.pad(mask, 1)
    return cc3d.connected_components(padded, connectivity=connectivity)[1:-1, 1:-1, 1:-1]


def enclosed(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return what is not of a mask ``(x, y, z)`` and cannot be reached from outside by faces."""
    # One layer of outside around the mask joins every way out, and makes it thick enough.
    around = cc3d.connected_components(np.pad(~mask, 1, constant_values=True), connectivity=_FACES)
    inside = around[1:-1, 1:-1, 1:-1]
    found: NDArray[np.bool_] = inside != around[0, 0, 0]
    found &= ~mask
    return found
