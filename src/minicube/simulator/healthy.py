"""How bright healthy matter is in each sequence: white matter 1, the rest drawn from ranges."""

from __future__ import annotations

from typing import Final

import numpy as np

from minicube.scans import Sequence
from minicube.simulator._sampling import Array, grain
from minicube.simulator.head import Head, Matter

__all__ = ["paint"]

Range = tuple[float, float]

_RANGES: Final[dict[Sequence, dict[Matter, Range]]] = {
    Sequence.T1N: {
        Matter.GREY: (0.68, 0.94),
        Matter.FLUID: (0.20, 0.60),
        Matter.VESSEL: (0.30, 1.30),
        Matter.PLEXUS: (0.50, 0.90),
        Matter.SPOT: (0.72, 0.98),
        Matter.COVER: (0.20, 1.20),
    },
    Sequence.T1C: {
        Matter.GREY: (0.74, 1.02),
        Matter.FLUID: (0.18, 0.55),
        Matter.VESSEL: (1.15, 3.20),
        Matter.PLEXUS: (1.10, 2.60),
        Matter.SPOT: (0.72, 0.98),
        Matter.COVER: (0.25, 1.80),
    },
    Sequence.T2W: {
        Matter.GREY: (1.12, 1.60),
        Matter.FLUID: (2.00, 4.50),
        Matter.VESSEL: (0.20, 1.60),
        Matter.PLEXUS: (1.30, 3.20),
        Matter.SPOT: (1.10, 1.80),
        Matter.COVER: (0.20, 1.80),
    },
    Sequence.T2F: {
        Matter.GREY: (0.96, 1.30),
        Matter.FLUID: (0.12, 0.75),
        Matter.VESSEL: (0.20, 1.00),
        Matter.PLEXUS: (0.80, 1.60),
        Matter.SPOT: (1.15, 1.90),
        Matter.COVER: (0.20, 1.40),
    },
}


def paint(rng: np.random.Generator, head: Head) -> Array:
    """Return the signal of a head without a tumour, ``(sequence, n)``, white matter about 1."""
    fine = _field(rng, head, 1.5, 2)
    broad = _field(rng, head, 5.0, 4)
    signals = np.ones((len(Sequence), len(Matter)), np.float32)
    for row, ranges in enumerate(_RANGES.values()):
        for matter, limits in ranges.items():
            signals[row, matter] = rng.uniform(*limits)
    if rng.random() < 0.15:  # fat left behind, or a slab's edge where blood flows in
        signals[:2, Matter.COVER] = rng.uniform(1.5, 3.5, 2)
    images: Array = signals @ head.shares
    fluid = head.shares[Matter.FLUID]
    for row, image in enumerate(images):
        one, two, flow = rng.normal(0, (0.02, 0.025, 0.15)).astype(np.float32)
        one = np.clip(one, -0.03, 0.03)  # else a picture of little contrast is all speckles
        if row == len(images) - 1:
            flow *= 2  # fluid is suppressed unevenly on FLAIR
        image *= 1 + one * fine + (two + flow * fluid) * broad
    return np.maximum(images, 0)


def _field(rng: np.random.Generator, head: Head, slope: float, step: int) -> Array:
    field = np.ascontiguousarray(grain(rng, head.shape, slope, step))
    return field.reshape(-1)[head.index]
