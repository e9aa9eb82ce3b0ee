"""Where the brain is in a scan whose background is exactly zero."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from minicube.scans.components import enclosed

__all__ = ["brain_mask"]


def brain_mask(shown: Iterable[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Return the brain of skull-stripped sequences.

    A voxel is brain when any sequence shows something there, or when such voxels enclose it:
    fluid can be exactly 0 in one sequence, and in all of them.

    Args:
        shown: Where each sequence is not 0, ``(x, y, z)``.

    Returns:
        Mask of the same shape and memory order.
    """
    mask: NDArray[np.bool_] | None = None
    for seen in shown:
        if mask is None:
            mask = seen
        else:
            np.logical_or(mask, seen, out=mask)
    assert mask is not None
    box = mask[_bounds(mask)]  # nothing outside is enclosed
    np.logical_or(box, enclosed(box), out=box)
    return mask


def _bounds(mask: NDArray[np.bool_]) -> tuple[slice, slice, slice]:
    """The smallest box around the true voxels; none of it if there are none."""
    # One axis at a time is reduced, the slow ones of this memory order first.
    plane = np.asarray(mask.any(axis=2))
    lines = (np.any(plane, axis=1), np.any(plane, axis=0), np.any(mask, axis=(0, 1)))
    hits = [np.flatnonzero(line) for line in lines]
    x, y, z = (slice(int(hit[0]), int(hit[-1]) + 1) if hit.size else slice(0) for hit in hits)
    return x, y, z
