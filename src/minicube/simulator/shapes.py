"""Where a tumour lies and which form it has: a shape, moved, turned, scaled, mirrored and bent.

A shape is an expert's label map, or made up here where there are none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from minicube.phantom.anatomy import Pose, rotation
from minicube.simulator._sampling import Array, enlarge, grain, sample
from minicube.simulator.looks import CORE, OEDEMA, PARTS
from minicube.simulator.material import ENHANCING, Shape

__all__ = ["Placement", "choose_shape", "place", "push_of"]

MIDLINE = (239) / 2  # mm, of the BraTS grid
_STEP = 8  # mm between the nodes of the bend
_MARGIN = 10  # mm around a shape that belongs to its box


@dataclass(frozen=True, eq=False)
class Placement:
    """A shape in a head.

    Args:
        box: Its part of the head's box.
        sources: Where on the BraTS grid of the shape each voxel comes from, mm, ``(3, a, b, c)``.
        parts: Shares of oedema, core and enhancing tumour, 0–1, ``(3, a, b, c)``.
    """

    box: tuple[slice, slice, slice]
    sources: Array
    parts: Array


def choose_shape(
    rng: np.random.Generator, shapes: tuple[Shape, ...], pose: Pose, *, enhances: bool
) -> Shape:
    """Choose an expert's shape, or make one up where there are none.

    Half of the tumours without enhancement have the shape of one that had it, so that no shape
    says by itself what it is.
    """
    if not shapes:
        return _made_up(rng, pose, enhances=enhances)
    alike = [shape for shape in shapes if shape.enhances == enhances]
    pool = alike if alike and (enhances or rng.random() < 0.5) else shapes
    shape = pool[rng.integers(len(pool))]
    if shape.enhances == enhances:
        return shape
    labels = np.where(shape.labels == ENHANCING, np.uint8(CORE), shape.labels)
    return replace(shape, labels=labels, faithful=False)


def place(rng: np.random.Generator, shape: Shape, pose: Pose) -> Placement:
    """Put a shape into a head: most near where it was seen, or on the other side; some anywhere."""
    mask = shape.labels > 0
    core = mask & (shape.labels != OEDEMA)
    middle = np.array(np.nonzero(core if core.any() else mask)).mean(1)
    centre = shape.corner + middle * shape.spacing
    target = centre + rng.normal(0, 5, 3)
    mirror = np.where(np.arange(3) == 0, rng.choice([-1.0, 1.0]), 1.0)
    if mirror[0] < 0:
        target[0] = 2 * MIDLINE - target[0]
    angles = rng.normal(0, 10, 3)
    if not shape.patient or rng.random() < 0.25:
        sites, weights = pose.sites()
        target = sites[rng.choice(len(sites), p=weights / weights.sum())] + np.array(pose.origin)
        angles = angles + np.array([0, 0, rng.normal(0, 40)])
    size = np.exp(rng.normal(0, 0.15))
    if rng.random() < 0.18:  # small ones are missed most
        size = min(size, np.cbrt(rng.uniform(0.8, 9) / shape.whole))
    onto = rotation(np.deg2rad(angles)) @ np.diag(mirror * size * np.exp(rng.normal(0, 0.1, 3)))

    span = (np.array(shape.labels.shape) - 1) * shape.spacing
    corners = shape.corner + span * np.stack(np.meshgrid(*[(0, 1)] * 3), -1).reshape(-1, 3)
    reached = (corners - centre) @ onto.T + target - np.array(pose.origin)
    start = np.clip(np.floor(reached.min(0)) - _MARGIN, 0, np.array(pose.shape) - 16).astype(int)
    stop = np.clip(np.ceil(reached.max(0)) + _MARGIN, start + 16, pose.shape).astype(int)
    extent = (stop - start).tolist()

    lines = [
        np.arange(n, dtype=np.float32) + np.float32(s) for n, s in zip(extent, start, strict=True)
    ]
    away = np.stack(np.meshgrid(*lines, indexing="ij"))
    away += (np.array(pose.origin) - target).astype(np.float32)[:, None, None, None]
    back = np.linalg.inv(onto).astype(np.float32)
    sources = np.einsum("ij,jabc->iabc", back, away)
    nodes = tuple((n - 1) // _STEP + 2 for n in extent)
    bend = rng.uniform(0.5, 4.5) * np.stack([grain(rng, nodes, 2.5, 1) for _ in range(3)])
    sources += enlarge(bend.astype(np.float32), _STEP, tuple(extent))
    sources += centre.astype(np.float32)[:, None, None, None]
    box = tuple(slice(a, b) for a, b in zip(start.tolist(), stop.tolist(), strict=True))
    one_hot = np.stack([(shape.labels == part).astype(np.float32) for part in PARTS])
    parts = sample(one_hot, _voxels(sources, shape.corner, shape.spacing))
    return Placement((box[0], box[1], box[2]), sources, parts)


def _voxels(sources: Array, corner: NDArray[np.float64], spacing: NDArray[np.float64]) -> Array:
    unit = (1 / spacing).astype(np.float32)[:, None, None, None]
    return (sources - corner.astype(np.float32)[:, None, None, None]) * unit


def push_of(placement: Placement, pose: Pose, strain: float) -> Array:
    """Return how far a tumour pushes the tissue around, mm at the pose's nodes, ``(3, a, b, c)``.

    Down the slope of the blurred core and a little of the oedema; the skull does not yield.

    Args:
        placement: The tumour.
        pose: The head.
        strain: Largest displacement in radii of the tumour.
    """
    whole = np.zeros(pose.shape, np.float32)
    weights = np.array([0.3, 1, 1], np.float32)
    whole[placement.box] = np.einsum("i,iabc->abc", weights, placement.parts)
    radius = np.cbrt(3 / (4 * np.pi) * whole.sum(dtype=np.float64))
    coarse = whole[::4, ::4, ::4]
    missing = [(0, n - c) for n, c in zip(pose.nodes.shape[1:], coarse.shape, strict=True)]
    slope = np.stack(np.gradient(ndimage.gaussian_filter(np.pad(coarse, missing), 2.2)))
    steepest = np.sqrt((slope**2).sum(0)).max()
    yielding = np.clip(pose.depth() / 14, 0, 1)
    push = -slope * np.float32(strain * radius / max(steepest, 1e-6)) * yielding
    return np.asarray(push, np.float32)


def _made_up(rng: np.random.Generator, pose: Pose, *, enhances: bool) -> Shape:
    """A frayed ellipsoid: depth below its surface makes rim and heart, a larger one oedema."""
    spacing, half = 2.0, 30
    lines = [spacing * np.arange(-half, half, dtype=np.float32)] * 3
    places = np.stack(np.meshgrid(*lines, indexing="ij"))
    lobes, bumps, gaps = (grain(rng, places.shape[1:], slope, 1) for slope in (5.0, 3.5, 3.5))
    radius = float(np.clip(16 * np.exp(rng.normal(0, 0.4)), 4, 27))

    def depth(size: float, rough: float) -> Array:
        axes = size * np.exp(rng.normal(0, 0.2, 3)).astype(np.float32)
        turned = np.einsum("ij,jabc->iabc", rotation(rng.uniform(0, np.pi / 2, 3)), places)
        far = np.sqrt(((turned / axes[:, None, None, None]) ** 2).sum(0))
        return np.asarray(size * (1 - far + rough * (0.8 * lobes + 0.3 * bumps)), np.float32)

    core = depth(radius, rng.uniform(0.1, 0.4))
    swollen = depth(radius * rng.uniform(1.0, 2.0), rng.uniform(0.3, 0.7))
    labels = np.where(swollen > 0, np.uint8(OEDEMA), np.uint8(0))
    labels[core > 0] = CORE
    if enhances:
        thick = radius * rng.uniform(0.15, 0.9) * np.exp(0.5 * bumps)
        labels[(core > 0) & (core < thick) & (gaps > rng.uniform(-2.5, -0.3))] = ENHANCING
    sites, weights = pose.sites()
    centre = sites[rng.choice(len(sites), p=weights / weights.sum())] + np.array(pose.origin)
    return Shape("", labels, centre - spacing * half, np.full(3, spacing))
