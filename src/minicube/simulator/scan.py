"""What scanners do to a perfect picture; every sequence has one of its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from minicube.simulator._sampling import Array, enlarge, grain

__all__ = ["digitise", "scan"]

_SMOOTH = 12  # voxels between the nodes of the shading


def scan(rng: np.random.Generator, image: Array, brain: NDArray[np.bool_]) -> Array:
    """Return a sequence as it was acquired and resampled to 1 mm.

    Args:
        rng: Where the randomness comes from.
        image: z-scores, ``(x, y, z)``.
        brain: What brain extraction keeps, ``(x, y, z)``.

    Returns:
        Signal ``(x, y, z)``, not negative, in units of the brain's deviation; mostly 0 outside
        the brain.
    """
    seen = image + np.float32(rng.uniform(2.6, 5.0))
    np.maximum(seen, np.float32(1e-2), out=seen)
    middle = seen[brain][::20].mean()
    seen *= 1 / middle
    np.power(seen, np.float32(np.exp(rng.normal(0, 0.10))), out=seen)
    seen *= middle * _shading(rng, image.shape)
    known = image != 0
    seen *= known
    thickness = rng.uniform(2, 6.5) if rng.random() < 0.45 else 1.0
    noise = np.float32(np.clip(0.09 * np.exp(rng.normal(0, 0.7)), 0.02, 0.25))
    fuzz = rng.standard_normal(image.shape, dtype=np.float32)
    fuzz *= noise * np.float32(np.sqrt(thickness))
    fuzz *= known
    seen += fuzz
    axis = int(rng.choice(3, p=(0.12, 0.06, 0.82)))
    soft = rng.uniform(0, 0.9)
    for other in {0, 1, 2} - {axis}:
        if soft > 0.3:
            seen = ndimage.gaussian_filter1d(seen, soft, axis=other, truncate=2.0)
    seen = _in_slices(rng, seen, axis, thickness)
    if rng.random() < 0.06:
        _cut_off(rng, seen)
    if rng.random() < 0.12:
        top = np.quantile(seen[brain][::20], rng.uniform(0.98, 0.999))
        seen = np.minimum(seen, np.float32(top))
    return np.maximum(seen, 0)


def _shading(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """A smooth field around 1."""
    nodes = tuple((size - 1) // _SMOOTH + 2 for size in shape)
    field = np.exp(np.float32(rng.gamma(1.5, 0.035)) * grain(rng, nodes, 4.0, 1))
    shading: Array = enlarge(field[None], _SMOOTH, shape)[0]
    return shading


def digitise(rng: np.random.Generator, seen: Array, brain: NDArray[np.bool_]) -> Array:
    """Return whole numbers in a scanner's own unit: at least 1 in the brain, 0 outside."""
    whole = np.round(seen * np.float32(np.exp(rng.uniform(np.log(30), np.log(300)))))
    return np.where(brain, np.maximum(whole, 1), np.float32(0))


def _in_slices(rng: np.random.Generator, image: Array, axis: int, thickness: float) -> Array:
    """Average over slices and interpolate back to 1 mm."""
    if thickness <= 1:
        return image
    size = image.shape[axis]
    centres = np.arange(-rng.uniform() * thickness, size + thickness, thickness)
    apart = np.abs(np.arange(size) - centres[:, None])
    average = np.clip((thickness + 1) / 2 - apart, 0, 1)
    average /= np.maximum(1e-6, average.sum(1, keepdims=True))
    both = np.maximum(0, 1 - apart.T / thickness) @ average
    both = (both / np.maximum(1e-6, both.sum(1, keepdims=True))).astype(np.float32)
    return np.moveaxis(np.moveaxis(image, axis, -1) @ both.T, -1, axis)


def _cut_off(rng: np.random.Generator, image: Array) -> None:
    """A field of view that ends too early, at one side."""
    axis, share = int(rng.choice(3, p=(0.1, 0.3, 0.6))), rng.uniform(0.03, 0.15)
    ends = int(share * image.shape[axis])
    image[tuple(slice(None) if i != axis else slice(0, ends) for i in range(3))] = 0
