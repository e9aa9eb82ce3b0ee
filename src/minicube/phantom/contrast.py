"""How bright everything is: the palette of family A, and the painting of any palette.

Family A draws every signal from a range, in units of the sequence's white matter, ordered
as physics orders them. The ranges are wide on purpose: a network must not learn one scanner.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from minicube.phantom._fields import Volume, smooth_noise
from minicube.phantom.anatomy import Head
from minicube.phantom.lesion import Lesion
from minicube.phantom.materials import Material, Palette
from minicube.scans import Sequence

__all__ = ["draw_palette", "paint"]

Range = tuple[float, float]

T1_RANGES: dict[Material, Range] = {
    Material.GREY: (0.66, 0.90),
    Material.CSF: (0.22, 0.50),
    Material.VESSEL: (0.30, 1.20),
    Material.CHOROID: (0.50, 0.85),
    Material.HYPERINTENSITY: (0.75, 0.98),
    Material.COVER: (0.20, 1.00),
    Material.BONE: (0.02, 0.15),
    Material.SCALP: (1.00, 2.20),
    Material.NECROSIS: (0.36, 0.82),
    Material.NON_ENHANCING: (0.50, 0.90),
    Material.ENHANCING: (0.58, 1.02),
    Material.OEDEMA: (0.55, 0.92),
}
T1C_RANGES = T1_RANGES | {
    Material.GREY: (0.74, 1.00),
    Material.VESSEL: (1.25, 3.40),
    Material.CHOROID: (1.10, 2.40),
    Material.COVER: (0.25, 1.40),
}
FLAIR_RANGES: dict[Material, Range] = {
    Material.GREY: (1.00, 1.36),
    Material.CSF: (0.06, 0.50),
    Material.VESSEL: (0.15, 0.90),
    Material.CHOROID: (0.80, 1.50),
    Material.HYPERINTENSITY: (1.20, 1.90),
    Material.COVER: (0.20, 1.20),
    Material.BONE: (0.02, 0.15),
    Material.SCALP: (0.80, 1.80),
    Material.NECROSIS: (0.30, 2.40),
    Material.NON_ENHANCING: (1.10, 2.30),
    Material.ENHANCING: (1.20, 2.10),
    Material.OEDEMA: (1.26, 2.10),
}
# T2 lesions lie on the way from grey matter (0) to fluid (1).
T2_WAY: dict[Material, Range] = {
    Material.HYPERINTENSITY: (0.02, 0.25),
    Material.NECROSIS: (0.45, 1.50),
    Material.NON_ENHANCING: (0.25, 1.00),
    Material.ENHANCING: (0.10, 0.55),
    Material.OEDEMA: (0.15, 0.70),
    Material.CHOROID: (0.10, 0.80),
}
# Typical strength of coarse and of fine mottling inside a part of the tumour.
MOTTLE: dict[Material, Range] = {
    Material.NECROSIS: (0.12, 0.05),
    Material.NON_ENHANCING: (0.10, 0.05),
    Material.ENHANCING: (0.19, 0.10),
    Material.OEDEMA: (0.09, 0.03),
}
CALM = 0.5  # the same on T1, where water shows least


def draw_palette(rng: np.random.Generator) -> Palette:
    """Draw the signal of every material in every sequence."""
    t1n = _draw(rng, T1_RANGES)
    t1c = _draw(rng, T1C_RANGES)
    if rng.random() < 0.12:  # old blood is bright before any contrast agent
        t1n[Material.NECROSIS] = rng.uniform(0.9, 1.5)
    for part in MOTTLE:  # before contrast agent, both are T1-weighted images of one tissue
        t1c[part] = t1n[part] * rng.uniform(0.92, 1.12)
    t1c[Material.NECROSIS] *= rng.uniform(1.0, 1.25)
    t1c[Material.ENHANCING] = 1.12 + rng.gamma(2.0, 0.19)  # faint is common
    t2f = _draw(rng, FLAIR_RANGES)
    return {
        Sequence.T1N: t1n,
        Sequence.T1C: t1c,
        Sequence.T2W: _draw_t2(rng),
        Sequence.T2F: t2f,
    }


def _draw(rng: np.random.Generator, ranges: Mapping[Material, Range]) -> dict[Material, float]:
    drawn = {material: float(rng.uniform(*limits)) for material, limits in ranges.items()}
    return {Material.WHITE: 1.0, **drawn}


def _draw_t2(rng: np.random.Generator) -> dict[Material, float]:
    grey, fluid = rng.uniform(1.14, 1.60), rng.uniform(2.4, 5.0)
    drawn = {part: grey + rng.uniform(*way) * (fluid - grey) for part, way in T2_WAY.items()}
    return {
        Material.WHITE: 1.0,
        Material.GREY: grey,
        Material.CSF: fluid,
        Material.VESSEL: rng.uniform(0.2, 1.5),
        Material.COVER: rng.uniform(0.2, 1.8),
        Material.BONE: rng.uniform(0.02, 0.15),
        Material.SCALP: rng.uniform(0.9, 2.0),
        **drawn,
    }


def paint(
    palette: Palette,
    head: Head,
    tissues: Mapping[Material, Volume],
    lesion: Lesion | None,
    rng: np.random.Generator,
) -> dict[Sequence, Volume]:
    """Turn fractions into signal.

    Args:
        palette: Signal of every material.
        head: The head the fractions belong to.
        tissues: Fractions of the healthy materials, ``(n,)`` each.
        lesion: The tumour that replaces them, if any.
        rng: Where the texture comes from.

    Returns:
        One image a sequence on the head's box, ``(x, y, z)``, white matter about 1.
    """
    fine, coarse, broad = (smooth_noise(rng, head.shape, step) for step in (2.2, 6.0, 24.0))
    stack = np.stack(list(tissues.values()))  # (k, n)
    shimmer = np.stack([field.reshape(-1)[head.index] for field in (fine, broad)])
    images: dict[Sequence, Volume] = {}
    for sequence, signal_of in palette.items():
        weights = np.array([signal_of[material] for material in tissues], np.float32)
        strength = rng.normal(0, (0.012, 0.025)).astype(np.float32)
        image = head.volume((weights @ stack) * (1 + strength @ shimmer))
        if lesion is not None:
            flat = image.reshape(-1)
            mottle = (coarse.reshape(-1)[lesion.index], fine.reshape(-1)[lesion.index])
            calm = CALM if sequence is Sequence.T1N else 1.0
            healthy = flat[lesion.index]
            flat[lesion.index] = _mixed(healthy, lesion, signal_of, mottle, rng, calm)
        images[sequence] = image
    return images


def _mixed(
    healthy: Volume,
    lesion: Lesion,
    signal_of: Mapping[Material, float],
    mottle: tuple[Volume, Volume],
    rng: np.random.Generator,
    calm: float,
) -> Volume:
    """Return the lesion's voxels, tumour mixed with what is left of the healthy tissue."""
    mixed = healthy * (1 - sum(lesion.fractions.values(), np.float32(0)))
    for part, fraction in lesion.fractions.items():
        one, two = (calm * rng.normal(0, MOTTLE[part])).tolist()
        texture = np.exp(one * mottle[0] + two * mottle[1])
        mixed += fraction * signal_of[part] * texture
    return np.asarray(mixed, np.float32)
