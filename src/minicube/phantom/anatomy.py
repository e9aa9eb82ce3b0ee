"""A random head: the ICBM-152 tissue maps, moved, stretched and folded anew.

Reference: V. Fonov et al., NeuroImage 54 (2011) 313–327, doi:10.1016/j.neuroimage.2010.07.033.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from minicube._atlas import MIDDLE, load_atlas
from minicube.phantom._fields import Volume, smooth_noise, stretch, tent_weights

__all__ = [
    "GRID",
    "NODE",
    "Head",
    "Pose",
    "draw_pose",
    "pushed",
    "render",
    "rotation",
]

GRID = (240, 240, 155)
"""Voxels of the BraTS grid, RAS+, 1 mm."""

NODE = 4  # mm between the nodes a pose is known at
PLACE = np.array([119.5, 112.0, 73.0])  # where BraTS scans have it, RAS+ voxels
USUAL_SCALE = np.array([0.905, 0.905, 1.035])  # BraTS scans against the template
SKULL_MARGIN = 22  # mm of head around the brain


@dataclass(frozen=True)
class Pose:
    """Where a head lies and how it is bent, known every 4 mm.

    Args:
        origin: First voxel of the head's box on the BraTS grid, RAS+.
        shape: Voxels of the box.
        nodes: Place of every node in the box, voxels (mm), ``(3, a, b, c)``.
        template: Place of every node in the template, template voxels, ``(3, a, b, c)``.
    """

    origin: tuple[int, int, int]
    shape: tuple[int, int, int]
    nodes: Volume
    template: Volume

    def depth(self) -> Volume:
        """Return every node's distance to the brain's surface, mm, positive inside."""
        return _sample(load_atlas().depth, self.template, 2)

    def sites(self) -> tuple[Volume, Volume]:
        """Return where tumours may sit.

        Returns:
            Places in the box, voxels, ``(n, 3)``, and the white-matter fraction there, ``(n,)``.
        """
        white = _sample(load_atlas().white, self.template)
        _, y, z = self.template - MIDDLE[:, None, None, None].astype(np.float32)
        cerebrum = z > np.where(y < -10, -18, -42)  # above the tentorium
        usable = cerebrum & (self.depth() > 7) & (white > 0.1)
        return self.nodes[:, usable].T, white[usable]


@dataclass(frozen=True)
class Head:
    """A rendered head: fractions of tissue at the voxels that hold any.

    Args:
        origin: First voxel of the box on the BraTS grid, RAS+.
        shape: Voxels of the box.
        index: Flat place in the box of each voxel that is described, ``(n,)``.
        grey: Fraction of grey matter, 0–1, ``(n,)``.
        white: Fraction of white matter, 0–1, ``(n,)``.
        csf: Fraction of fluid, 0–1, ``(n,)``. The three sum to 1 inside the brain.
        depth: Distance to the brain's surface, mm, positive inside, ``(n,)``.
        ventricle: Distance to the lateral ventricles, mm, positive inside, ``(n,)``.
        template: Place in the template from its centre, mm, ``(3, n)``.
    """

    origin: tuple[int, int, int]
    shape: tuple[int, int, int]
    index: NDArray[np.intp]
    grey: Volume
    white: Volume
    csf: Volume
    depth: Volume
    ventricle: Volume
    template: Volume

    def volume(self, values: Volume) -> Volume:
        """Return ``values``, ``(n,)``, laid out in the box; 0 elsewhere."""
        box = np.zeros(self.shape, np.float32)
        box.reshape(-1)[self.index] = values
        return box


def draw_pose(rng: np.random.Generator, *, skull: bool) -> Pose:
    """Draw the place, size and large-scale shape of a head."""
    scale = USUAL_SCALE * rng.normal(1, 0.04, 3) * rng.normal(1, 0.02)
    turn = rotation(np.deg2rad(rng.normal(0, 4, 3)))
    shear = np.eye(3)
    shear[0, 1:] = rng.normal(0, 0.03, 2)  # left–right asymmetry
    to_template = np.linalg.inv(turn @ shear @ np.diag(scale))
    centre = PLACE + rng.normal(0, 3, 3)
    half = np.array([76, 95, 72]) * scale + 8 + SKULL_MARGIN * skull
    start = np.maximum(0, np.floor(centre - half)).astype(int)
    stop = np.minimum(GRID, np.ceil(centre + half)).astype(int)
    shape = tuple((stop - start).tolist())

    lines = [NODE * np.arange((size - 1) // NODE + 2, dtype=np.float32) for size in shape]
    nodes = np.stack(np.meshgrid(*lines, indexing="ij"))
    from_centre = nodes + (start - centre).astype(np.float32)[:, None, None, None]
    template = np.einsum("ij,jabc->iabc", to_template.astype(np.float32), from_centre)
    for reach, bend in ((10.0, 2.2), (5.0, 1.1), (2.5, 0.5)):  # nodes, mm
        for axis in range(3):
            size = bend * rng.uniform(0.5, 1.3)
            template[axis] += size * smooth_noise(rng, template.shape[1:], reach)
    template += MIDDLE.astype(np.float32)[:, None, None, None]
    template += _widened_ventricles(template, rng.normal(2, 3.5))
    return Pose(tuple(start.tolist()), shape, nodes, template)


def render(pose: Pose, push: Volume, rng: np.random.Generator, *, skull: bool) -> Head:
    """Render a pose at 1 mm.

    Args:
        pose: The head to render.
        push: How far something has moved the tissue at each node, mm, ``(3, a, b, c)``.
        rng: Where the randomness of the folds comes from.
        skull: Describe the 22 mm around the brain as well.
    """
    atlas = load_atlas()
    template = pushed(pose, push)
    weights = [tent_weights(size, NODE) for size in pose.shape]
    rough = stretch(_sample(atlas.depth, template, 2), weights)
    index = np.flatnonzero(rough > (-SKULL_MARGIN if skull else -6))
    place = np.stack([stretch(axis, weights).reshape(-1)[index] for axis in template])
    grey, white = _sample(atlas.grey, place), _sample(atlas.white, place)
    depth = _sample(atlas.depth, place, 2)
    ventricle = stretch(_sample(atlas.ventricle, template, 2), weights).reshape(-1)[index]

    csf = np.maximum(0, 1 - grey - white) * np.float32(rng.uniform(1, 3))  # atrophy
    # The template is a mean of many brains: sharpening it with noise gives one brain's folds.
    sharpness = rng.uniform(1.6, 2.6)
    amount = rng.uniform(0.4, 1.0)
    folds = np.exp(amount * smooth_noise(rng, pose.shape, 3.5).reshape(-1)[index])
    gyri = np.exp(0.6 * amount * smooth_noise(rng, pose.shape, 5.0).reshape(-1)[index])
    grey, white, csf = grey**sharpness, gyri * white**sharpness, folds * csf**sharpness
    total = grey + white + csf + np.float32(1e-6)
    return Head(
        origin=pose.origin,
        shape=pose.shape,
        index=index,
        grey=grey / total,
        white=white / total,
        csf=np.where(depth > -1, csf / total, 0),
        depth=depth,
        ventricle=ventricle,
        template=place - MIDDLE.astype(np.float32)[:, None],
    )


def _sample(map_: Volume, place: Volume, spacing: int = 1) -> Volume:
    """Return a map's values, its voxels ``spacing`` apart, at ``place``, ``(3, …)``."""
    found: Volume = ndimage.map_coordinates(
        map_,
        place / np.float32(spacing),
        order=1,
        mode="nearest",
        output=np.float32,
        prefilter=False,
    )
    return found


def rotation(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turns about x, y and z one after the other, radians, ``(3,)``, as a matrix ``(3, 3)``."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        one, two = [i for i in range(3) if i != axis]
        turn = np.eye(3)
        turn[one, one] = turn[two, two] = np.cos(angle)
        turn[one, two], turn[two, one] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    return matrix


def _widened_ventricles(template: Volume, widening: float) -> Volume:
    """Return what to add to ``template`` so that the ventricles grow by ``widening`` mm."""
    distance = _sample(load_atlas().ventricle, template, 2)
    slope = np.array(np.gradient(distance))
    slope /= np.maximum(1e-3, np.sqrt((slope**2).sum(0)))
    amount = max(-1.5, widening) * np.exp(-np.maximum(0, -distance) / 14)
    return np.asarray(amount * slope, np.float32)


def pushed(pose: Pose, push: Volume) -> Volume:
    """Return where in the template each node's tissue came from, ``(3, a, b, c)``."""
    before = pose.nodes - push
    return np.stack([_sample(axis, before, NODE) for axis in pose.template])
