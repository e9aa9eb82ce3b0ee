"""Tumours of family A: a front that creeps through tissue, and noise that frays it.

The core is a ball whose radius is disturbed by smooth noise; rim, necrosis and islands are
read off the depth below its surface. Oedema is the set of voxels that a front starting at
the core reaches first: fast along white matter, slowly in cortex, hardly through fluid.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from minicube.phantom._fields import Volume, smooth_noise, stretch, tent_weights
from minicube.phantom.lesion import Growth, Lesion, Pattern, Plan, Surroundings, finish
from minicube.phantom.materials import Material

__all__ = ["draw_plan", "grow"]

COARSE = 2  # mm between the voxels the front moves on
PATTERNS = (Pattern.RING, Pattern.SOLID, Pattern.PATCHY, Pattern.NONE)
HOW_OFTEN = (0.56, 0.12, 0.14, 0.18)


def draw_plan(rng: np.random.Generator, sites: tuple[Volume, Volume]) -> Plan:
    """Draw where tumours sit, how large they are and how they enhance.

    Args:
        rng: Where the randomness comes from.
        sites: Places in the head's box, voxels ``(n, 3)``, and their weights ``(n,)``.
    """
    if rng.random() < 0.05:
        return Plan((), 0.0, 0.0)
    places, weights = sites
    first = _draw_focus(rng, places, weights)
    foci = [first]
    if first.pattern is not Pattern.NONE and rng.random() < 0.2:
        far = np.linalg.norm(places - first.centre, axis=1) / first.radius
        near = weights * ((far > 1.0) & (far < 3.0))
        if near.any():
            for _ in range(rng.integers(1, 4)):
                centre = places[rng.choice(len(places), p=near / near.sum())]
                radius = max(3.0, first.radius * rng.uniform(0.15, 0.6))
                foci.append(Growth(centre.astype(np.float64), radius, first.pattern))
    core = sum(4 / 3 * np.pi * focus.radius**3 for focus in foci) / 1000
    typical = 0.25 if first.pattern is Pattern.NONE else 1.8
    ratio = typical * np.exp(rng.normal(0, 0.9))
    oedema = float(np.clip(core * ratio + rng.uniform(0, 6), 0.3, 160))
    return Plan(tuple(foci), oedema, float(rng.uniform(0.0, 0.5)))


def _draw_focus(rng: np.random.Generator, places: Volume, weights: Volume) -> Growth:
    pattern = PATTERNS[rng.choice(4, p=HOW_OFTEN)]
    median = {Pattern.NONE: 20.0, Pattern.PATCHY: 18.0, Pattern.RING: 17.0, Pattern.SOLID: 13.0}
    radius = float(np.clip(median[pattern] * np.exp(rng.normal(0, 0.38)), 4.5, 30))
    centre = places[rng.choice(len(places), p=weights / weights.sum())]
    return Growth(centre.astype(np.float64), radius, pattern)


def grow(plan: Plan, around: Surroundings, rng: np.random.Generator) -> Lesion:
    """Grow a planned tumour.

    Args:
        plan: The tumour; at least one focus.
        around: The tissue it grows in.
        rng: Where the randomness comes from.
    """
    corner, shape = _box(plan, around.brain.shape)
    box = tuple(slice(c, c + n) for c, n in zip(corner, shape, strict=True))
    white, csf, brain = around.white[box], around.csf[box], around.brain[box]

    parts = {part: np.zeros(shape, np.float32) for part in PARTS}
    rough = _roughness(rng, shape)
    core = np.zeros(shape, np.float32)
    for focus in plan.foci:
        level = _core_level(focus, corner, shape, csf, rough, rng)
        sharp = rng.uniform(1.0, 3.0)
        here = np.clip(level / sharp + 0.5, 0, 1) * (1 - core)
        enhancing, necrotic = _interior(focus, level, rng)
        parts[Material.ENHANCING] += here * enhancing
        parts[Material.NECROSIS] += here * (1 - enhancing) * necrotic
        parts[Material.NON_ENHANCING] += here * (1 - enhancing) * (1 - necrotic)
        core += here
    time = _arrival(core, white, csf, brain, rng)
    wanted = int(plan.oedema * 1000)
    free = time[brain & (core < 0.5)]
    limit = np.partition(free, wanted)[wanted] if wanted < len(free) else free.max()
    softness = rng.uniform(1.0, 8.0)
    parts[Material.OEDEMA] = (1 - core) * np.clip((limit - time) / softness + 0.5, 0, 1)
    return finish(parts, np.array(corner), around)


PARTS = (Material.NECROSIS, Material.NON_ENHANCING, Material.ENHANCING, Material.OEDEMA)


def _box(plan: Plan, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return corner and size of a box that holds the core and what oedema may reach."""
    reach = 12 + 14 * np.cbrt(plan.oedema / 4.19)
    low = np.min([f.centre - 1.5 * f.radius for f in plan.foci], axis=0) - reach
    high = np.max([f.centre + 1.5 * f.radius for f in plan.foci], axis=0) + reach
    start = np.maximum(0, np.floor(low)).astype(int)
    stop = np.minimum(shape, np.ceil(high)).astype(int)
    return tuple(start.tolist()), tuple((stop - start).tolist())


def _roughness(rng: np.random.Generator, shape: tuple[int, ...]) -> Volume:
    """Noise of three sizes: lobes, bumps, fringe."""
    lobes, bumps, fringe = (smooth_noise(rng, shape, step) for step in (12, 5.5, 2.6))
    shares = rng.dirichlet((3.0, 1.0, 0.25)).astype(np.float32)
    rough: Volume = shares[0] * lobes + shares[1] * bumps + shares[2] * fringe
    return rough


def _core_level(
    focus: Growth,
    corner: tuple[int, ...],
    shape: tuple[int, ...],
    csf: Volume,
    rough: Volume,
    rng: np.random.Generator,
) -> Volume:
    """Return about how far below the core's surface each voxel lies, mm, negative outside."""
    turn, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    axes = np.exp(rng.normal(0, 0.22, 3))
    axes /= np.cbrt(axes.prod())
    squeeze = turn / axes @ turn.T
    lines = [
        np.arange(n, dtype=np.float32) + np.float32(c - m)
        for n, c, m in zip(shape, corner, focus.centre, strict=True)
    ]
    metric = (squeeze.T @ squeeze).astype(np.float32)
    x, y, z = np.ix_(*lines)
    squared = metric[0, 0] * x * x + metric[1, 1] * y * y + metric[2, 2] * z * z
    squared = squared + 2 * (metric[0, 1] * x * y + metric[0, 2] * x * z + metric[1, 2] * y * z)
    wobble = rng.uniform(0.15, 0.55) * focus.radius
    level = focus.radius - np.sqrt(np.maximum(squared, 0)) + wobble * rough
    found: Volume = level - 0.3 * focus.radius * csf
    return found


def _interior(focus: Growth, level: Volume, rng: np.random.Generator) -> tuple[Volume, Volume]:
    """Return the share of enhancing tissue, and of necrosis in what does not enhance."""
    shape = level.shape
    blobs = smooth_noise(rng, shape, rng.uniform(3.5, 8))
    grain = smooth_noise(rng, shape, rng.uniform(2.5, 5))
    mixed = 0.75 * blobs + 0.5 * grain
    necrotic: Volume
    if focus.pattern is Pattern.NONE:
        necrotic = np.clip(mixed + 2 * rng.uniform(0, 1) ** 2 - 1, 0, 1)
        return np.zeros_like(level), necrotic
    if focus.pattern is Pattern.PATCHY:
        necrotic = np.clip(2 * (blobs - rng.uniform(0, 1.5)), 0, 1)
        islands: Volume = np.clip(3 * (mixed - rng.uniform(-0.1, 1.2)), 0, 1)
        return islands, necrotic
    thick = focus.radius * rng.uniform(0.15, 0.65)
    if focus.pattern is Pattern.SOLID:
        thick = focus.radius * rng.uniform(0.6, 1.1)
    thickness = min(15.0, max(1.5, thick)) * np.exp(rng.uniform(0.2, 0.6) * blobs)
    rim: Volume = np.clip((thickness - level) / 1.2 + 0.5, 0, 1)
    if focus.pattern is Pattern.RING and rng.random() < 0.3:  # tumour beyond the rim
        beyond = rng.uniform(0.05, 0.3) * focus.radius * np.exp(0.5 * grain)
        rim = np.clip((thickness + beyond - level) / 1.2 + 0.5, 0, 1)
        rim *= np.clip((level - beyond) / 1.2 + 0.5, 0, 1)
    if rng.random() < 0.35:  # a rim with gaps
        gaps = smooth_noise(rng, shape, 7)
        rim *= np.clip(3 * (gaps + rng.uniform(0.2, 1.5)), 0, 1)
    if rng.random() < 0.35:  # septa and islands inside
        septa = np.clip(1.5 - np.abs(grain + 0.4 * blobs) / rng.uniform(0.1, 0.35), 0, 1)
        rim = np.maximum(rim, septa * np.clip(2 * (blobs + rng.uniform(-0.5, 0.8)), 0, 1))
    necrotic = np.clip(2 * (mixed + rng.uniform(-0.5, 1.5)), 0, 1)
    return rim, necrotic


def _arrival(
    core: Volume, white: Volume, csf: Volume, brain: NDArray[np.bool_], rng: np.random.Generator
) -> Volume:
    """Return when a front from the core arrives, in mm of the fastest tissue, ``(a, b, c)``."""
    shape = core.shape
    cortex, fluid = rng.uniform(2, 6), rng.uniform(8, 25)
    cost = 1 + cortex * (1 - white) + fluid * csf
    cost *= np.exp(rng.uniform(0.2, 0.6) * smooth_noise(rng, shape, 9))
    cost = np.where(brain, cost, 60)
    coarse = np.ascontiguousarray(cost[::COARSE, ::COARSE, ::COARSE])
    start = np.where(core[::COARSE, ::COARSE, ::COARSE] > 0.3, 0, 1e4).astype(np.float32)
    arrived = np.pad(_sweep(start, coarse), (0, 1), mode="edge")
    time = stretch(arrived, [tent_weights(size, COARSE) for size in shape])
    # The coarse front knows nothing of thin cortex and sulci: hold it up there again.
    time += rng.uniform(2, 7) * (1 - white) + 12 * csf
    time += rng.uniform(0.5, 2.0) * smooth_noise(rng, shape, 4)
    return np.asarray(time, np.float32)


def _sweep(time: Volume, cost: Volume) -> Volume:
    """Relax arrival times over 18 neighbours, plane by plane, along every axis both ways."""
    for _ in range(2):
        for axis in range(3):
            moved, price = np.moveaxis(time, axis, 0), COARSE * np.moveaxis(cost, axis, 0)
            for order in (range(1, len(moved)), range(len(moved) - 2, -1, -1)):
                back = 1 if order.step < 0 else -1
                for plane in order:
                    _relax(moved[plane], moved[plane + back], price[plane])
    return time


def _relax(here: Volume, before: Volume, price: Volume) -> None:
    np.minimum(here, before + price, out=here)
    slant = np.float32(np.sqrt(2)) * price
    np.minimum(here[1:], before[:-1] + slant[1:], out=here[1:])
    np.minimum(here[:-1], before[1:] + slant[:-1], out=here[:-1])
    np.minimum(here[:, 1:], before[:, :-1] + slant[:, 1:], out=here[:, 1:])
    np.minimum(here[:, :-1], before[:, 1:] + slant[:, :-1], out=here[:, :-1])
