"""A healthy head: the atlas in a pose, with its folds, vessels, spots and what goes wrong.

Poses and atlas are those of the phantoms; all that is made of them here is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from minicube._atlas import MIDDLE, load_atlas
from minicube.phantom.anatomy import NODE, Pose, pushed
from minicube.simulator._sampling import Array, enlarge, grain, sample

__all__ = ["Head", "Matter", "render_head", "trimmed"]

_REACH = 5  # mm around the brain that are described


class Matter(IntEnum):
    """What a healthy voxel can be made of; also its row in :attr:`Head.shares`."""

    GREY = 0
    WHITE = 1
    FLUID = 2
    VESSEL = 3
    PLEXUS = 4
    SPOT = 5  # white-matter hyperintensity
    COVER = 6  # dura, fat and what brain extraction left behind


@dataclass(frozen=True, eq=False)
class Head:
    """What the voxels of a head's box hold that may be seen.

    Args:
        shape: Voxels of the box.
        index: Flat place of each voxel that is described, ``(n,)``.
        shares: Of every matter, 0–1, ``(matter, n)``, summing to 1.
        brain: Whether brain extraction keeps it, ``(n,)``.
    """

    shape: tuple[int, int, int]
    index: NDArray[np.intp]
    shares: Array
    brain: NDArray[np.bool_]

    def volume(self, values: Array) -> Array:
        """Return ``values``, ``(n,)``, laid out in the box; 0 elsewhere."""
        box = np.zeros(self.shape, np.float32)
        box.reshape(-1)[self.index] = values
        return box


@dataclass(frozen=True, eq=False)
class _Place:
    """Where voxels lie: depth below the brain's surface and in the ventricles, mm, ``(n,)``;
    place in the template from its centre, mm, ``(3, n)``."""

    depth: Array
    ventricle: Array
    template: Array


class _Noise:
    """Random fields on a box, read where the head is."""

    def __init__(self, rng: np.random.Generator, pose: Pose, index: NDArray[np.intp]) -> None:
        self._rng, self._shape, self._index = rng, pose.shape, index

    def __call__(self, slope: float, step: int = 2) -> Array:
        field = grain(self._rng, self._shape, slope, step)
        return np.ascontiguousarray(field).reshape(-1)[self._index]


def render_head(rng: np.random.Generator, pose: Pose, push: Array) -> Head:
    """Render a pose at 1 mm.

    Args:
        rng: Where the randomness comes from.
        pose: The head.
        push: How far something has moved the tissue at each node, mm, ``(3, a, b, c)``.
    """
    atlas = load_atlas()
    template = pushed(pose, push)
    far = sample(
        np.stack([atlas.depth, atlas.ventricle]), template * np.float32(0.5), outside="border"
    )
    dense = enlarge(np.concatenate([template, far]), NODE, pose.shape)
    depth_all = np.ascontiguousarray(dense[3]).reshape(-1)
    index = np.flatnonzero(depth_all > -_REACH)
    flat = np.ascontiguousarray(dense).reshape(5, -1)[:, index]
    grey, white = sample(np.stack([atlas.grey, atlas.white]), flat[:3], outside="border")
    where = _Place(flat[3], flat[4], flat[:3] - MIDDLE.astype(np.float32)[:, None])
    noise = _Noise(rng, pose, index)

    fluid = np.maximum(0, 1 - grey - white) * np.float32(rng.uniform(0.5, 2.0))  # atrophy
    # The template is a mean of many brains: sharpened with noise it has one brain's folds.
    sharp, amount = rng.uniform(1.6, 2.8), rng.uniform(0.4, 1.1)
    folds = noise(2.5)
    grey = _power(grey, sharp)
    white = _power(white, sharp) * np.exp(np.float32(0.5 * amount) * noise(3.0))
    fluid = _power(fluid, sharp) * np.exp(np.float32(amount) * folds)
    whole = np.stack([grey, white, fluid]) / (grey + white + fluid + np.float32(1e-6))
    whole *= np.clip(where.depth + 1.5, 0, 1)
    _cavity(rng, whole, where)
    shares = _furnished(rng, whole, where, noise)
    return Head(pose.shape, index, shares, _kept(rng, where, noise))


def trimmed(pose: Pose) -> Pose:
    """Return a pose without the empty margins of its box; a quarter of the voxels less to fill."""
    near = np.nonzero(pose.depth() > -_REACH - 2)
    first = [int(axis.min()) for axis in near]
    sizes = [
        min(NODE * (int(axis.max()) + 1 - start), size - NODE * start)
        for axis, start, size in zip(near, first, pose.shape, strict=True)
    ]
    kept = tuple(slice(a, a + (n - 1) // NODE + 2) for a, n in zip(first, sizes, strict=True))
    corner = NODE * np.array(first, np.float32)
    x, y, z = (o + NODE * a for o, a in zip(pose.origin, first, strict=True))
    return Pose(
        origin=(x, y, z),
        shape=(sizes[0], sizes[1], sizes[2]),
        nodes=pose.nodes[(slice(None), *kept)] - corner[:, None, None, None],
        template=pose.template[(slice(None), *kept)],
    )


def _power(share: Array, exponent: float) -> Array:
    return np.exp(np.float32(exponent) * np.log(np.maximum(share, np.float32(1e-4))))


def _cavity(rng: np.random.Generator, whole: Array, where: _Place) -> None:
    """An old resection or a cyst that opens to the surface: fluid, and no tumour."""
    if rng.random() > 0.05:
        return
    shallow = np.flatnonzero((where.depth > 2) & (where.depth < 14) & (where.template[2] > -30))
    centre = where.template[:, shallow[rng.integers(len(shallow))]][:, None]
    axes = rng.uniform(7, 20, (3, 1)).astype(np.float32)
    inside = np.clip(4 * (1 - (((where.template - centre) / axes) ** 2).sum(0)), 0, 1)
    whole *= 1 - inside
    whole[Matter.FLUID] += inside


def _furnished(rng: np.random.Generator, whole: Array, where: _Place, noise: _Noise) -> Array:
    """Put vessels, plexus and spots into grey matter, white matter and fluid."""
    grey, white, fluid = whole
    texture = noise(3.0)
    vessel = np.maximum(_vessels(rng, fluid, where, noise), _sheets(rng, fluid, where, texture))
    vessel = np.minimum(vessel, 1)
    plexus = np.clip(3 * (texture - rng.uniform(0.9, 2.2)), 0, 1)
    plexus *= np.clip(where.ventricle + 1, 0, 1) * fluid * (1 - vessel)
    spots = _spots(rng, where, texture) * white * (1 - vessel)
    shares = np.empty((len(Matter), len(grey)), np.float32)
    shares[Matter.GREY] = grey * (1 - vessel)
    shares[Matter.WHITE] = white * (1 - vessel) - spots
    shares[Matter.FLUID] = fluid * (1 - vessel) - plexus
    shares[Matter.VESSEL] = vessel
    shares[Matter.PLEXUS] = plexus
    shares[Matter.SPOT] = spots
    shares[Matter.COVER] = np.maximum(0, 1 - shares[: Matter.COVER].sum(0))
    return shares


def _vessels(rng: np.random.Generator, fluid: Array, where: _Place, noise: _Noise) -> Array:
    """Thin winding tubes, where two random surfaces cross; in fluid, thicker at the base."""
    one, two = noise(4.5, 3), noise(4.5, 3)
    x, y, z = where.template
    base = np.exp(-((x / 28) ** 2 + ((y - 5) / 32) ** 2 + ((z + 25) / 14) ** 2) / 2)
    width = np.float32(rng.uniform(0.05, 0.13)) * (1 + 1.2 * base)
    tube = np.clip(1.6 - (one * one + two * two) / (width * width), 0, 1)
    outside = np.clip(3 * fluid * (where.ventricle < -2) - 0.2, 0, 1)
    near = rng.uniform(0, 0.5) * (where.depth < 5) + rng.uniform(0, 0.25)
    return np.asarray(tube * np.maximum(outside, near), np.float32)


def _sheets(rng: np.random.Generator, fluid: Array, where: _Place, texture: Array) -> Array:
    """Sagittal sinus, falx, and patches of dura and veins on the surface."""
    x, y, z = where.template
    above = np.clip((z + 0.35 * np.abs(y) - 5) / 6, 0, 1) + np.clip((-y - 65) / 8, 0, 1)
    bore = rng.uniform(1.5, 4.5)
    sinus = np.clip(1.5 - (x * x + (where.depth + 0.5) ** 2) / bore**2, 0, 1)
    sinus *= np.minimum(1, above)
    if rng.random() < 0.7:
        falx = (
            np.clip(1.3 - np.abs(x), 0, 1) * fluid * np.clip(texture + rng.uniform(-1.5, 1), 0, 1)
        )
        sinus = np.maximum(sinus, falx * np.clip((z + 10) / 5, 0, 1))
    if rng.random() < 0.7:
        sheet = np.clip(1.5 - np.abs(where.depth - rng.uniform(-0.5, 1.0)), 0, 1)
        sinus = np.maximum(sinus, sheet * np.clip(2 * (texture - rng.uniform(0.2, 1.6)), 0, 1))
    return np.asarray(sinus, np.float32)


def _spots(rng: np.random.Generator, where: _Place, texture: Array) -> Array:
    """Caps and rims around the ventricles, and scattered spots in deep white matter."""
    found = np.zeros_like(where.depth)
    if rng.random() < 0.6:
        reach = rng.uniform(1.0, 5.0) * np.exp(0.5 * texture)
        found += np.clip(1.5 + np.minimum(0, where.ventricle) / reach, 0, 1) * rng.uniform(0.2, 1)
    if rng.random() < 0.4:
        found += np.clip(3 * (texture - rng.uniform(1.6, 2.8)), 0, 1) * (where.depth > 12)
    return np.minimum(1, found)


def _kept(rng: np.random.Generator, where: _Place, noise: _Noise) -> NDArray[np.bool_]:
    """What brain extraction keeps; at times patches are eaten away, or fat is left at the front."""
    uneven = noise(5.0, 4)
    error = rng.normal(-0.7, 0.6) + rng.uniform(0.2, 0.9) * uneven
    if rng.random() < 0.3:
        error += float(rng.choice([-2.5, 3.0])) * np.maximum(0, uneven - 1.0)
    if rng.random() < 0.3:
        _, y, z = where.template
        error += rng.uniform(2, 5) * np.clip((y - 45) / 10, 0, 1) * np.clip((-z - 15) / 10, 0, 1)
    return np.asarray(where.depth + error > 0)
