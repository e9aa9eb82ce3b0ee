"""Tumours of family B: lobes that melt into one another, and oedema that seeps.

The core is a level set of a sum of Gaussian bells (metaballs, J. F. Blinn, ACM Transactions
on Graphics 1 (1982) 235–256); its parts are shells of the same sum, so that volumes and not
thicknesses are drawn. Oedema is the core blurred many times, kept where there is white matter.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from minicube.phantom._fields import Volume
from minicube.phantom.lesion import Growth, Lesion, Pattern, Plan, Surroundings, finish
from minicube.phantom.materials import Material

__all__ = ["draw_plan", "grow"]


def draw_plan(rng: np.random.Generator, sites: tuple[Volume, Volume]) -> Plan:
    """Draw one tumour.

    Args:
        rng: Where the randomness comes from.
        sites: Places in the head's box, voxels ``(n, 3)``, and their weights ``(n,)``.
    """
    places, weights = sites
    eligible = places[weights > 0.5]
    centre = eligible[rng.integers(len(eligible))].astype(np.float64)
    volume = rng.triangular(4, 20, 80)  # core, ml
    radius = float(np.cbrt(volume * 1000 * 3 / (4 * np.pi)))
    share = rng.random()
    pattern = Pattern.RING if share < 0.7 else Pattern.SOLID if share < 0.85 else Pattern.NONE
    return Plan((Growth(centre, radius, pattern),), float(volume * rng.triangular(0.2, 1, 3)), 0.2)


def grow(plan: Plan, around: Surroundings, rng: np.random.Generator) -> Lesion:
    """Grow a planned tumour.

    Args:
        plan: The tumour, one focus.
        around: The tissue it grows in.
        rng: Where the randomness comes from.
    """
    (focus,) = plan.foci
    reach = 2.2 * focus.radius + 12
    start = np.maximum(0, np.floor(focus.centre - reach)).astype(int)
    stop = np.minimum(around.brain.shape, np.ceil(focus.centre + reach)).astype(int)
    box = tuple(slice(a, b) for a, b in zip(start.tolist(), stop.tolist(), strict=True))
    soil = around.brain[box] & (around.csf[box] < 0.6)

    height = np.where(soil, _bells(focus, start, stop, rng), 0)
    core, edge = _top(height, 4.19 * focus.radius**3)
    inner = _shell(height, edge, rng, share=(0.25, 0.7))
    heart = _shell(height, edge, rng, share=(0.05, 0.4))
    if focus.pattern is Pattern.NONE:
        enhancing, necrotic = np.zeros_like(core), heart
    elif focus.pattern is Pattern.SOLID:
        enhancing, necrotic = 1 - heart, np.ones_like(core)
    else:
        enhancing, necrotic = 1 - inner, np.maximum(heart, 0.3)

    seeped = ndimage.gaussian_filter(core, 0.45 * focus.radius, truncate=3)
    seeped *= around.brain[box] * around.white[box] ** 2 * (core < 0.5)
    oedema, _ = _top(ndimage.gaussian_filter(seeped, 0.8), plan.oedema * 1000)
    parts: dict[Material, Volume] = {
        Material.NECROSIS: core * (1 - enhancing) * necrotic,
        Material.NON_ENHANCING: core * (1 - enhancing) * (1 - necrotic),
        Material.ENHANCING: core * enhancing,
        Material.OEDEMA: (1 - core) * oedema,
    }
    return finish(parts, start, around)


def _bells(focus: Growth, start: np.ndarray, stop: np.ndarray, rng: np.random.Generator) -> Volume:
    """Return the sum of a few separable Gaussian bells around the centre."""
    height = np.zeros(tuple(stop - start), np.float32)
    for _ in range(rng.integers(4, 10)):
        offset = rng.normal(0, 0.5, 3) * focus.radius
        widths = focus.radius * rng.uniform(0.3, 0.75, 3)
        lines = [
            np.exp(-(((np.arange(a, b) - c) / w) ** 2)).astype(np.float32)
            for a, b, c, w in zip(start, stop, focus.centre + offset, widths, strict=True)
        ]
        height += lines[0][:, None, None] * lines[1][:, None] * lines[2]
    return height


def _top(height: Volume, voxels: float) -> tuple[Volume, float]:
    """Return a soft mask of the highest ``voxels``, and the level they lie above."""
    wanted = int(min(voxels, 0.9 * np.count_nonzero(height)))
    level = float(np.partition(height, -wanted, axis=None)[-wanted]) if wanted else np.inf
    scale = max(1e-6, 0.12 * level)
    return np.clip((height - level) / scale + 0.5, 0, 1).astype(np.float32), level


def _shell(
    height: Volume, edge: float, rng: np.random.Generator, *, share: tuple[float, float]
) -> Volume:
    """Return a soft mask of the inner part of the core, by its share of the core's volume."""
    inside = height[height > edge]
    level = np.quantile(inside, 1 - rng.uniform(*share)) if inside.size else np.inf
    found: Volume = np.clip((height - level) / (0.08 * level) + 0.5, 0, 1).astype(np.float32)
    return found
