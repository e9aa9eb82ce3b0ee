"""Where the brain is in a scan whose background is exactly zero."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

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
        mask = seen if mask is None else np.logical_or(mask, seen, out=mask)
    assert mask is not None
    _fill_holes(mask)
    return mask


def _fill_holes(mask: NDArray[np.bool_]) -> None:
    """Fill what the mask encloses, in place; only its bounding box is looked at."""
    found = ndimage.find_objects(mask.astype(np.uint8, order="K"))
    if not found:
        return
    box = mask[found[0]]
    # One layer of outside around the box joins every way out.
    outside, _ = ndimage.label(np.pad(~box, 1, constant_values=True))
    inner = (slice(1, -1),) * 3
    np.not_equal(outside[inner], outside[0, 0, 0], out=box)
