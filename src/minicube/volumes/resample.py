"""Onto the 1 mm grid that networks work on, and labels back onto the scan's own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from minicube.scans import LabelMap
from minicube.volumes.box import Shape

__all__ = ["NETWORK_SPACING", "network_shape", "resample", "resample_labels"]

NETWORK_SPACING = 1.0
"""Millimetres between voxel centres, along every axis, inside the networks."""

_CLOSE_ENOUGH = 0.005
"""Spacings within this share of 1 mm are taken as they are: under one voxel over a head."""


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
    factors = [n / m for n, m in zip(array.shape, shape, strict=True)]
    sigmas = [0.5 * max(f * f - 1.0, 0.0) ** 0.5 for f in factors]
    if any(sigmas):
        array = ndimage.gaussian_filter(array, sigmas, mode="nearest")
    offsets = [0.5 * f - 0.5 for f in factors]
    out = np.empty(shape, np.float32)
    ndimage.affine_transform(array, factors, offsets, shape, output=out, order=1, mode="nearest")
    return out


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
