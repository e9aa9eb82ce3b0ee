"""Smooth random fields and up-sampling, both as three small matrix products."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Volume", "smooth_noise", "spline_weights", "stretch", "tent_weights"]

Volume = NDArray[np.float32]


def tent_weights(size: int, step: float) -> Volume:
    """Return the weights of linear interpolation from nodes ``step`` apart.

    Args:
        size: Voxels along the axis.
        step: Distance between nodes, voxels; node 0 lies on voxel 0.

    Returns:
        ``(size, nodes)``, each row summing to 1.
    """
    place = np.arange(size, dtype=np.float32) / step
    nodes = np.arange(math.floor((size - 1) / step) + 2, dtype=np.float32)
    weights: Volume = np.maximum(0, 1 - np.abs(place[:, None] - nodes)).astype(np.float32)
    return weights


def spline_weights(size: int, step: float) -> Volume:
    """Return the weights of a cubic B-spline whose unit normal nodes give unit variance.

    Args:
        size: Voxels along the axis.
        step: Distance between nodes, voxels.

    Returns:
        ``(size, nodes)``.
    """
    place = np.arange(size, dtype=np.float32) / step + 1
    nodes = np.arange(math.floor((size - 1) / step) + 4, dtype=np.float32)
    apart = np.abs(place[:, None] - nodes)
    near = 2 / 3 - apart**2 + apart**3 / 2
    far = np.maximum(0, 2 - apart) ** 3 / 6
    weights = np.where(apart < 1, near, far)
    unit: Volume = (weights / np.sqrt((weights**2).sum(1, keepdims=True))).astype(np.float32)
    return unit


def stretch(nodes: Volume, weights: Sequence[Volume]) -> Volume:
    """Apply one weight matrix along each of three axes.

    Args:
        nodes: Values at the nodes, ``(a, b, c)``.
        weights: Three matrices ``(x, a)``, ``(y, b)``, ``(z, c)``.

    Returns:
        ``(x, y, z)``.
    """
    along_x, along_y, along_z = weights
    lines = nodes @ along_z.T  # (a, b, z)
    planes = along_y @ lines  # (a, y, z)
    flat = along_x @ planes.reshape(len(nodes), -1)
    return flat.reshape(len(along_x), *planes.shape[1:])


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], step: float) -> Volume:
    """Return a smooth random field of mean 0 and variance 1.

    Args:
        rng: Where the randomness comes from.
        shape: Voxels ``(x, y, z)``.
        step: Distance between the spline's nodes, voxels: about the size of a blob's radius.
    """
    weights = [spline_weights(size, step) for size in shape]
    count = tuple(matrix.shape[1] for matrix in weights)
    return stretch(rng.standard_normal(count, dtype=np.float32), weights)
