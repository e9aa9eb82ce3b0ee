"""Intensities as codes: two bytes a voxel and a table of what each code stands for.

A scan on a 1 mm grid holds a few thousand whole numbers, and so do its z-scores: a code for each
of them loses nothing. Resampled intensities are all different; they are rounded first.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from minicube._errors import InternalError

__all__ = ["EXACT_LEVELS", "ROUNDING", "decode", "encode"]

EXACT_LEVELS: Final = 4096
"""Up to so many different values of a sequence are kept as they are."""

ROUNDING: Final = 0.005
"""Distance of the values that more are rounded to, in standard deviations of the sequence."""


def encode(image: NDArray[np.float32]) -> tuple[NDArray[np.uint16], NDArray[np.float32]]:
    """Replace intensities by codes.

    What is 0 gets code 0, and nothing else does. Values are kept exactly where there are at
    most :data:`EXACT_LEVELS` of them; else each is off by at most half of :data:`ROUNDING`
    standard deviations of the values that are not 0.

    Args:
        image: ``(x, y, z)``, any unit, finite.

    Returns:
        Codes, ``(x, y, z)``, and levels, ``(n,)`` with ``levels[0] = 0``; ``levels[codes]`` is
        the image.

    Raises:
        InternalError: The values are not finite.
    """
    inside = image != 0
    values = image[inside]
    if not np.isfinite(values).all():
        raise InternalError("An image to be stored has values that are no numbers.")
    levels, places = np.unique(values, return_inverse=True)
    if levels.size > EXACT_LEVELS:
        step = ROUNDING * values.std(dtype=np.float64)
        # Halfway between multiples of the step, where no value becomes 0. So many voxels as a
        # head has cannot be spread over 65,535 steps: their deviation would be larger than it is.
        middles = ((np.floor(values / step) + 0.5) * step).astype(np.float32)
        levels, places = np.unique(middles, return_inverse=True)
    if levels.size > np.iinfo(np.uint16).max:
        raise InternalError(f"An image to be stored has {levels.size} levels.")
    codes = np.zeros(image.shape, np.uint16)
    codes[inside] = places + 1
    return codes, np.concatenate([np.zeros(1, np.float32), levels])


def decode(
    codes: NDArray[np.uint16], levels: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    """Write the image that codes stand for.

    Args:
        codes: Of any shape.
        levels: What each stands for.
        out: Takes the image; of the same shape, contiguous.

    Raises:
        IndexError: A code is not in the table.
    """
    if codes.size and int(codes.max()) >= len(levels):
        raise IndexError(f"code {codes.max()} in a table of {len(levels)}")
    np.take(levels, codes, out=out, mode="clip")  # checked above: numpy's own check would copy
