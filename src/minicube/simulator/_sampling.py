"""Reading volumes between their voxels, and random fields from their spectrum."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

__all__ = ["Array", "enlarge", "grain", "sample"]

Array = NDArray[np.float32]


def sample(volumes: Array, places: Array, *, outside: str = "zeros") -> Array:
    """Interpolate linearly.

    Args:
        volumes: ``(channel, x, y, z)``, each axis at least 2 voxels.
        places: Voxels of it, ``(3, …)``.
        outside: ``zeros``, or ``border`` to repeat the nearest voxel.

    Returns:
        ``(channel, …)``.
    """
    half = (np.array(volumes.shape[1:], np.float32) - 1) / 2
    points = places.reshape(3, -1)
    # torch counts from −1 to 1 and names the last axis first
    grid = np.stack([points[axis] / half[axis] - 1 for axis in (2, 1, 0)], axis=-1)
    found = functional.grid_sample(
        torch.from_numpy(np.ascontiguousarray(volumes))[None],
        torch.from_numpy(grid)[None, None, None],
        mode="bilinear",
        padding_mode=outside,
        align_corners=True,
    )
    read: Array = found.numpy().reshape(len(volumes), *places.shape[1:])
    return read


def enlarge(nodes: Array, step: int, shape: tuple[int, ...]) -> Array:
    """Interpolate linearly between nodes ``step`` voxels apart; node 0 lies on voxel 0.

    Args:
        nodes: ``(channel, a, b, c)``.
        step: Voxels.
        shape: Voxels wanted, no more than the nodes reach.
    """
    along_x, along_y, along_z = (
        _tents(wanted, nodes.shape[1 + axis], step) for axis, wanted in enumerate(shape)
    )
    lines = nodes @ along_z.T  # (channel, a, b, z)
    planes = along_y @ lines  # (channel, a, y, z)
    flat = along_x @ planes.reshape(*nodes.shape[:2], -1)
    grown: Array = flat.reshape(len(nodes), *shape)
    return grown


def _tents(size: int, count: int, step: int) -> Array:
    """Weights of linear interpolation, ``(size, count)``."""
    place = np.arange(size, dtype=np.float32)[:, None] / np.float32(step)
    apart = np.abs(place - np.arange(count, dtype=np.float32))
    weights: Array = np.maximum(np.float32(0), 1 - apart)
    return weights


def grain(rng: np.random.Generator, shape: tuple[int, ...], slope: float, step: int = 2) -> Array:
    """Return a random field of mean 0 and variance about 1 whose power falls as k^−slope.

    Args:
        rng: Where the randomness comes from.
        shape: Voxels.
        slope: 0 is white; 3 to 4 is what tissue looks like.
        step: Voxels between which it is interpolated.
    """
    x, y, z = (-(-(size - 1) // step) + 1 for size in shape)
    white = rng.standard_normal((x, y, z), dtype=np.float32)
    ways = np.meshgrid(np.fft.fftfreq(x), np.fft.fftfreq(y), np.fft.rfftfreq(z), indexing="ij")
    squared = sum((way.astype(np.float32) ** 2 for way in ways), np.float32(0))
    spectrum = torch.fft.rfftn(torch.from_numpy(white)).numpy()
    # blobs larger than a sixth of a brain are the scanner's shading, not texture
    spectrum *= (squared + np.float32((step / 30) ** 2)) ** np.float32(-slope / 4)
    field = torch.fft.irfftn(torch.from_numpy(spectrum), s=(x, y, z)).numpy()
    field = field - field.mean()
    unit: Array = field / max(1e-6, float(field.std()))
    return enlarge(unit[None], step, shape)[0] if step > 1 else unit
