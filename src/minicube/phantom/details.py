"""What else shines in a head: vessels, plexus, hyperintensities, dura, skull and scalp."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from minicube.phantom._fields import Volume, smooth_noise
from minicube.phantom.anatomy import Head
from minicube.phantom.materials import Material

__all__ = ["brain_mask", "furnish"]


def brain_mask(head: Head, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return what a brain extraction of ordinary quality would keep, ``(n,)``."""
    error = rng.normal(-0.9, 0.6) + rng.uniform(0.2, 0.9) * _noise(head, rng, 14)
    if rng.random() < 0.3:  # patches eaten away or left on
        error += rng.choice([-2.5, 2.0]) * np.maximum(0, _noise(head, rng, 18) - 1.2)
    return np.asarray(head.depth + error > 0)


def furnish(head: Head, rng: np.random.Generator, *, skull: bool) -> dict[Material, Volume]:
    """Return the fraction of every material at the head's voxels.

    Args:
        head: The rendered tissues.
        rng: Where the randomness comes from.
        skull: Put skull and scalp around the brain.

    Returns:
        Fractions 0–1, each ``(n,)``, summing to 1.
    """
    grey, white, csf = head.grey.copy(), head.white.copy(), head.csf.copy()
    vessel = np.minimum(1, _vessels(head, rng) + _sinuses(head, rng))
    choroid = _choroid(head, rng) * (1 - vessel)
    spots = _hyperintensities(head, rng) * white * (1 - vessel)
    for tissue in (grey, white, csf):
        tissue *= 1 - vessel
    csf *= 1 - choroid
    choroid *= head.csf
    white -= spots
    furnished = {
        Material.GREY: grey,
        Material.WHITE: white,
        Material.CSF: csf,
        Material.VESSEL: vessel,
        Material.CHOROID: choroid,
        Material.HYPERINTENSITY: spots,
    }
    rest = np.maximum(0, 1 - sum(furnished.values()))
    if not skull:
        return {**furnished, Material.COVER: rest}
    return {**furnished, **_skull(head, rest, rng)}


def _noise(head: Head, rng: np.random.Generator, step: float) -> Volume:
    return smooth_noise(rng, head.shape, step).reshape(-1)[head.index]


def _vessels(head: Head, rng: np.random.Generator) -> Volume:
    """Thin winding tubes: two random surfaces cross in curves; most run through fluid."""
    one, two = _noise(head, rng, 7), _noise(head, rng, 7)
    width = rng.uniform(0.10, 0.24)
    tube = np.clip(1.6 - (one**2 + two**2) / width**2, 0, 1)
    around = np.clip(3 * head.csf * (head.ventricle < -2) - 0.2, 0, 1)
    around = np.maximum(around, rng.uniform(0, 0.5) * (head.depth < 4))
    around = around * (head.depth > -2)  # none in skull and scalp
    found: Volume = tube * around
    return found


def _sinuses(head: Head, rng: np.random.Generator) -> Volume:
    """The sagittal sinus under the vault and, at times, the falx and the surface veins."""
    x, y, z = head.template
    above = np.clip((z + 0.35 * np.abs(y) - 5) / 6, 0, 1) + np.clip((-y - 65) / 8, 0, 1)
    radius = rng.uniform(2.0, 4.5)
    vault = np.clip(1.5 - (np.hypot(x, head.depth + 0.5) / radius) ** 2, 0, 1)
    sinus = np.minimum(1, above) * vault
    if rng.random() < 0.6:
        falx = np.clip(1.3 - np.abs(x), 0, 1) * head.csf * rng.uniform(0.2, 0.8)
        sinus = np.maximum(sinus, falx * np.clip((z + 10) / 5, 0, 1))
    if rng.random() < 0.6:
        sheet = np.clip(1.5 - np.abs(head.depth - rng.uniform(-0.5, 1.0)), 0, 1)
        patches = np.clip(3 * (_noise(head, rng, 9) - rng.uniform(0.5, 1.8)), 0, 1)
        sinus = np.maximum(sinus, sheet * patches)
    found: Volume = sinus.astype(np.float32)
    return found


def _choroid(head: Head, rng: np.random.Generator) -> Volume:
    clump = np.clip(3 * (_noise(head, rng, 3.5) - rng.uniform(0.8, 2.0)), 0, 1)
    found: Volume = clump * np.clip(head.ventricle + 1, 0, 1)
    return found


def _hyperintensities(head: Head, rng: np.random.Generator) -> Volume:
    """Caps and rims around the ventricles, and scattered spots in deep white matter."""
    found = np.zeros_like(head.white)
    if rng.random() < 0.5:
        reach = rng.uniform(1.0, 4.5) * np.exp(0.5 * _noise(head, rng, 9))
        found += np.clip(1.5 - np.maximum(0, -head.ventricle) / reach, 0, 1) * rng.uniform(0.2, 1)
    if rng.random() < 0.4:
        spots = np.clip(4 * (_noise(head, rng, 3.5) - rng.uniform(2.2, 3.2)), 0, 1)
        found += spots * (head.depth > 12)
    return np.minimum(1, found)


def _skull(head: Head, rest: Volume, rng: np.random.Generator) -> dict[Material, Volume]:
    """Layers by distance from the brain: fluid, inner table and marrow, scalp, air."""
    away = -head.depth
    fluid = rng.uniform(1.0, 2.5)
    bone = fluid + rng.uniform(4, 7) * np.exp(0.2 * _noise(head, rng, 20))
    skin = bone + rng.uniform(3, 7) * np.exp(0.25 * _noise(head, rng, 20))
    marrow = np.clip(1.2 - np.abs(away - (fluid + bone) / 2), 0, 1) * rng.uniform(0, 0.8)
    step = [np.clip(away - border + 0.5, 0, 1) for border in (fluid, bone, skin)]
    scalp = step[1] - step[2] + marrow * (step[0] - step[1])
    hard = (step[0] - step[1]) * (1 - marrow)
    return {
        Material.COVER: rest * (1 - step[0]),
        Material.BONE: rest * (hard + step[2]),  # air is as dark as cortical bone
        Material.SCALP: rest * scalp,
    }
