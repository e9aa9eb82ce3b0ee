"""What a scanner does to a perfect image: shading, noise, blur, thick slices, whole numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minicube.phantom._fields import Volume, spline_weights, stretch

__all__ = ["Protocol", "acquire", "digitise", "draw_protocol"]


@dataclass(frozen=True)
class Protocol:
    """How one sequence is acquired.

    Args:
        shading: Standard deviation of the log of the bias field.
        gamma: Exponent that bends the grey scale; 1 leaves it.
        noise: Standard deviation of each channel's noise, in units of white matter.
        blur: Weight each neighbour gets in the in-plane point spread, 0–0.25.
        axis: Axis the slices are stacked along: 0 sagittal, 1 coronal, 2 axial.
        thickness: Slice thickness, mm; 1 for a volume acquired at 1 mm.
    """

    shading: float
    gamma: float
    noise: float
    blur: float
    axis: int
    thickness: float


def draw_protocol(rng: np.random.Generator) -> Protocol:
    """Draw a protocol; half of them stack thick slices, most of those axially."""
    thick = rng.random() < 0.55
    return Protocol(
        shading=float(rng.uniform(0.0, 0.14)),
        gamma=float(np.exp(rng.normal(0, 0.12))),
        noise=float(np.clip(0.02 * np.exp(rng.normal(0, 0.6)), 0.004, 0.06)),
        blur=float(rng.uniform(0.0, 0.25)),
        axis=int(rng.choice(3, p=(0.08, 0.03, 0.89))),
        thickness=float(rng.uniform(2, 6.5)) if thick else 1.0,
    )


def acquire(
    image: Volume, index: NDArray[np.intp], protocol: Protocol, rng: np.random.Generator
) -> Volume:
    """Return the image as a scanner would show it at 1 mm.

    Args:
        image: Perfect signal, ``(x, y, z)``, white matter about 1, not negative.
        index: Flat places where there is anything to see, ``(n,)``.
        protocol: How it is acquired.
        rng: Where noise and shading come from.
    """
    weights = [spline_weights(size, 50) for size in image.shape]
    nodes = rng.standard_normal([w.shape[1] for w in weights], dtype=np.float32)
    bias = stretch(nodes, weights).reshape(-1)[index]
    signal = np.maximum(image.reshape(-1)[index], 0) ** np.float32(protocol.gamma)
    signal *= np.exp(np.float32(protocol.shading) * bias)
    # Averaging over a slice quietens noise: start louder, so that what is left is as asked.
    loud = np.float32(protocol.noise * np.sqrt(protocol.thickness))
    real = signal + loud * rng.standard_normal(len(index), dtype=np.float32)
    imaginary = loud * rng.standard_normal(len(index), dtype=np.float32)
    seen = np.zeros_like(image)
    seen.reshape(-1)[index] = np.sqrt(real * real + imaginary * imaginary)  # Rician
    for axis in {0, 1, 2} - {protocol.axis}:
        seen = _soften(seen, axis, protocol.blur)
    return _in_slices(seen, protocol.axis, protocol.thickness, rng.uniform())


def digitise(image: Volume, rng: np.random.Generator) -> Volume:
    """Return the image in a scanner's arbitrary units, whole numbers from 0."""
    return np.round(image * np.float32(np.exp(rng.uniform(np.log(90), np.log(900)))))


def _soften(image: Volume, axis: int, weight: float) -> Volume:
    moved = np.moveaxis(image, axis, 0)
    soft = np.empty_like(image)
    target = np.moveaxis(soft, axis, 0)
    target[:] = moved * np.float32(1 - 2 * weight)
    target[1:] += np.float32(weight) * moved[:-1]
    target[:-1] += np.float32(weight) * moved[1:]
    return soft


def _in_slices(image: Volume, axis: int, thickness: float, phase: float) -> Volume:
    """Average over slices, then interpolate linearly back to 1 mm."""
    if thickness <= 1:
        return image
    size = image.shape[axis]
    centres = np.arange(-phase * thickness, size + thickness, thickness)
    apart = np.abs(np.arange(size) - centres[:, None])
    average = np.clip((thickness + 1) / 2 - apart, 0, 1)
    average /= np.maximum(1e-6, average.sum(1, keepdims=True))
    spread = np.maximum(0, 1 - apart.T / thickness)
    both = (spread @ average).astype(np.float32)
    both /= np.maximum(1e-6, both.sum(1, keepdims=True))
    moved = np.moveaxis(image, axis, -1) @ both.T
    return np.moveaxis(moved, -1, axis)
