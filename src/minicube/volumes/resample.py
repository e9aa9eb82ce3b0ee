"""Onto the 1 mm grid that networks work on, and labels back onto the scan's own."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from minicube.scans import LabelMap
from minicube.volumes.box import Shape

__all__ = ["NETWORK_SPACING", "network_shape", "resample", "resample_labels"]

NETWORK_SPACING = 1.0
"""Millimetres between voxel centres, along every axis, inside the networks."""

_CLOSE_ENOUGH = 0.005
"""Spacings within this share of 1 mm are taken as they are: under one voxel over a head."""

_REACH: Final = 4  # standard deviations: where the Gaussian is cut off


def network_shape(shape: Shape, spacing: tuple[float, float, float]) -> Shape:
    """Shape of a grid once its voxels are 1 mm.

    Args:
        shape: Voxels along x, y, z.
        spacing: Millimetres along x, y, z.
    """
    x, y, z = (
        n
        if abs(mm / NETWORK_SPACING - 1) <= _CLOSE_ENOUGH
        else max(1, round(n * mm / NETWORK_SPACING))
        for n, mm in zip(shape, spacing, strict=True)
    )
    return x, y, z


def resample(array: NDArray[np.float32], shape: Shape) -> NDArray[np.float32]:
    """Interpolate linearly onto another grid over the same field of view.

    Voxels are boxes: both grids share the outer faces of their corner voxels. Axes that
    lose voxels are smoothed first, with a Gaussian of σ = 0.5 √(f² − 1) voxels for a factor f.

    Args:
        array: ``(x, y, z)``.
        shape: Voxels wanted along x, y, z.
    """
    if array.shape == shape:
        return array
    x, y, z = (_weights(n, m) for n, m in zip(array.shape, shape, strict=True))
    out = np.empty(shape, np.float32, order="F" if array.flags.f_contiguous else "C")
    for k, weights in enumerate(z):
        used = np.flatnonzero(weights)
        near = slice(used[0], used[-1] + 1)
        # A plane of the answer at a time: nothing else of the volume's size is made.
        out[:, :, k] = x @ (array[:, :, near] @ weights[near]) @ y.T
    return out


def _weights(old: int, new: int) -> NDArray[np.float32]:
    """What each of ``new`` voxels takes of each of ``old``, ``(new, old)``: rows sum up to 1."""
    factor = old / new
    between = np.clip(factor * (np.arange(new) + 0.5) - 0.5, 0, old - 1)
    below = np.minimum(between.astype(np.intp), max(old - 2, 0))
    share = between - below
    rows = np.arange(new)
    weights = np.zeros((new, old))
    weights[rows, below] = 1 - share
    weights[rows, np.minimum(below + 1, old - 1)] += share
    if factor > 1:
        weights = weights @ _gaussian(old, 0.5 * (factor * factor - 1) ** 0.5)
    return weights.astype(np.float32)


def _gaussian(size: int, sigma: float) -> NDArray[np.float64]:
    """Smoothing of a line whose ends go on for ever, ``(size, size)``."""
    radius = int(_REACH * sigma + 0.5)
    steps = np.arange(-radius, radius + 1)
    shares = np.exp(-0.5 * (steps / sigma) ** 2)
    matrix = np.zeros((size, size))
    for step, share in zip(steps, shares / shares.sum(), strict=True):
        voxels = np.arange(size)
        matrix[voxels, np.clip(voxels + step, 0, size - 1)] += share
    return matrix


def resample_labels(labels: LabelMap, shape: Shape) -> LabelMap:
    """Bring labels onto another grid over the same field of view.

    Each label's mask is interpolated linearly and the largest share wins, so that surfaces
    stay smooth; one mask is held at a time.

    Args:
        labels: Map on ``(x, y, z)``.
        shape: Voxels wanted along x, y, z.
    """
    if labels.array.shape == shape:
        return labels
    best = np.full(shape, -1.0, np.float32)
    chosen = np.zeros(shape, np.uint8)
    for value in labels.scheme.values:
        mask = labels.array == value
        if not mask.any():
            continue
        share = resample(mask.astype(np.float32), shape)
        wins = share > best
        best[wins] = share[wins]
        chosen[wins] = value
    return LabelMap(chosen, labels.scheme)
