"""A tumour painted into a head: looks turned into texture, real patches set in, one grey scale.

Real tumours are known in z-scores of their whole brain, counted from the normal tissue around.
So that they keep this scale here, the healthy head is stretched and shifted until the whole
picture, tumour included, has mean 0 and deviation 1: one quadratic equation a sequence.
"""

from __future__ import annotations

from collections.abc import Sequence as ListOf
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from minicube.simulator._sampling import Array, grain, sample
from minicube.simulator.head import Head, Matter
from minicube.simulator.looks import NORMAL, PARTS, Look, reference_of
from minicube.simulator.material import ENHANCING, Patch
from minicube.simulator.shapes import Placement

__all__ = ["Lesion", "graft", "make_lesion", "on_one_scale", "settle", "texture"]

_EVERY = 5  # of the voxels, one is enough for statistics
_LOUDEST = 0.75  # standard deviation that a tumour alone may cause in the picture
_FEATHER = 3.0  # voxels of a patch over which it fades in


@dataclass(frozen=True, eq=False)
class Lesion:
    """What takes the place of healthy tissue in a box.

    Args:
        box: Part of the head's box.
        labels: ``(a, b, c)`` uint8.
        cover: How much of a voxel it takes, 0–1, ``(a, b, c)``.
        above: What it shows, z-scores counted from normal tissue, times ``cover``,
            ``(sequence, a, b, c)``.
    """

    box: tuple[slice, slice, slice]
    labels: NDArray[np.uint8]
    cover: Array
    above: Array


def settle(rng: np.random.Generator, placement: Placement, head: Head, real: Array | None) -> Array:
    """Fit a shape to the tissue it came to lie in; returns shares of the parts.

    Oedema spreads in white matter, spares cortex and stops at fluid; a core takes what it meets
    but the fluid outside the brain. What is known from a patch stays as it is.

    Args:
        rng: Where the randomness comes from.
        placement: The shape in the head.
        head: The head.
        real: Weight of patches, ``(a, b, c)``.
    """
    grey, white, fluid = (
        head.volume(head.shares[matter])[placement.box]
        for matter in (Matter.GREY, Matter.WHITE, Matter.FLUID)
    )
    parts = placement.parts.copy()
    core = parts[1:].sum(0)
    whole = core + parts[0]
    soft = ndimage.gaussian_filter(whole, rng.uniform(0.8, 2.5), truncate=2.5)
    liking = rng.uniform(0.1, 0.45) * (white - grey) - rng.uniform(0.5, 1.5) * fluid
    level = soft - 0.4 + liking  # that it grows in white matter makes up for the rest
    spread = np.clip(level * rng.uniform(2.5, 6) + 0.5, 0, 1) * (soft > 0.08)
    kept = 1 if real is None else 1 - real
    parts[0] += kept * (np.maximum(0, spread - core) - parts[0])
    parts *= head.volume(head.brain.astype(np.float32))[placement.box]
    parts[1:] *= 1 - kept * np.clip(2 * fluid - 1, 0, 1) * (soft < 0.9)
    return parts


def texture(rng: np.random.Generator, parts: Array, look: Look) -> Array:
    """Give the parts their look; returns values times shares, ``(sequence, a, b, c)``."""
    shape = parts.shape[1:]
    slope = rng.uniform(3.0, 4.4)  # neighbours in real patches are as alike as at 3.0 to 3.9
    fields = np.stack([grain(rng, shape, slope) for _ in range(4)])
    core = ndimage.gaussian_filter(parts[1:].sum(0), 3.0, truncate=2.5)
    fields[0] += np.float32(rng.normal(0.8, 0.8)) * (core - np.float32(0.5))  # wetter towards it
    above = np.zeros((4, *shape), np.float32)
    for part, share in zip(PARTS, parts, strict=True):
        place = np.flatnonzero(share > 0.01)
        if not place.size:
            continue
        normal = look.mixing[part] @ fields.reshape(4, -1)[:, place]
        amount = share.reshape(-1)[place]
        for row in range(4):
            values = np.interp(normal[row], NORMAL, look.tables[part][row])
            above[row].reshape(-1)[place] += amount * values.astype(np.float32)
    return above


def graft(
    rng: np.random.Generator, placement: Placement, patches: ListOf[Patch], *, around: float
) -> tuple[Array, Array]:
    """Bring patches of the shape's own patient to where the shape was put.

    Args:
        rng: Where the randomness comes from.
        placement: The shape in the head.
        patches: Of the patient.
        around: Probability that the normal tissue in them comes along.

    Returns:
        Weight ``(a, b, c)`` in 0–1, and values counted from normal tissue
        ``(sequence, a, b, c)``.
    """
    reference = reference_of(patches)[:, None, None, None]
    weight = np.zeros(placement.parts.shape[1:], np.float32)
    values = np.zeros((4, *weight.shape), np.float32)
    tumour = np.clip(1.5 * placement.parts.sum(0), 0, 1)
    along = rng.random() < around
    for patch in patches:
        scores = (patch.scores - reference) * patch.known
        held = np.concatenate([scores, patch.known[None].astype(np.float32)])
        unit = (1 / patch.spacing).astype(np.float32)[:, None, None, None]
        places = (placement.sources - patch.corner.astype(np.float32)[:, None, None, None]) * unit
        inside = np.ones_like(weight, bool)
        known = np.array(np.nonzero(patch.known)) if patch.known.any() else np.zeros((3, 1))
        fade = np.ones_like(weight)
        for axis in range(3):
            first, last = known[axis].min(), known[axis].max()
            edge = np.minimum(places[axis] - first, last - places[axis])
            inside &= edge > 0
            fade *= np.clip(edge / _FEATHER, 0, 1)
        spot = np.flatnonzero(inside)
        found = sample(held, places.reshape(3, -1)[:, spot])
        share = fade.reshape(-1)[spot] * np.clip(4 * found[4] - 3, 0, 1)
        share = share if along else share * tumour.reshape(-1)[spot]
        brought = found[:4] / np.maximum(found[4], np.float32(0.1))
        better = share > weight.reshape(-1)[spot]
        weight.reshape(-1)[spot[better]] = share[better]
        values.reshape(4, -1)[:, spot[better]] = brought[:, better]
    return weight, values


def draw_labels(parts: Array) -> NDArray[np.uint8]:
    """Labels an expert would draw: thin enhancing rims are drawn though they fill half a voxel."""
    oedema, core, enhancing = parts
    labels = np.where(oedema > core + enhancing, np.uint8(PARTS[0]), np.uint8(PARTS[1]))
    labels[(enhancing >= 0.8 * core) & (core + enhancing >= oedema)] = ENHANCING
    labels[parts.sum(0) < 0.5] = 0
    return labels


def make_lesion(
    placement: Placement,
    parts: Array,
    above: Array,
    grafted: tuple[Array, Array] | None,
) -> Lesion:
    """Put texture and patches together."""
    cover = np.minimum(1, parts.sum(0))
    if grafted is not None:
        weight, values = grafted
        above = (1 - weight) * above + weight * values
        cover = (1 - weight) * cover + weight
    return Lesion(placement.box, draw_labels(parts), cover, above)


def on_one_scale(images: Array, head: Head, lesion: Lesion | None) -> Array:
    """Stretch, shift and join: z-scores of the brain as a whole, ``(sequence, x, y, z)``.

    Args:
        images: Healthy signal, ``(sequence, n)``.
        head: Where it lies.
        lesion: What takes its place somewhere.
    """
    scaled = np.zeros((len(images), *head.shape), np.float32)
    some = np.flatnonzero(head.brain)[::_EVERY]
    cover = np.zeros(len(some), np.float32)
    above = np.zeros((len(images), len(some)), np.float32)
    near = np.ones(len(some), bool)
    if lesion is not None:
        near, places = _inside(lesion.box, head, some)
        cover[near] = lesion.cover.reshape(-1)[places]
        above[:, near] = lesion.above.reshape(len(images), -1)[:, places]
        near &= cover < 0.1
    for row, image in enumerate(images):
        seen = image[some]
        normal = np.median(seen[near] if near.sum() > 150 else seen)
        stretch, shift, share = _scale(seen + cover * (normal - seen), above[row])
        picture = scaled[row]
        picture.reshape(-1)[head.index] = stretch * image + shift
        if lesion is not None:
            part = picture[lesion.box]
            part += lesion.cover * (stretch * normal + shift - part) + share * lesion.above[row]
    return scaled


def _inside(
    box: tuple[slice, slice, slice], head: Head, some: NDArray[np.intp]
) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Which of some of a head's voxels lie in a box, and the flat places of these in it."""
    voxels = np.stack(np.unravel_index(head.index[some], head.shape))
    start = np.array([axis.start for axis in box])[:, None]
    size = [axis.stop - axis.start for axis in box]
    away = voxels - start
    inside = ((away >= 0) & (away < np.array(size)[:, None])).all(0)
    x, y, z = away[:, inside]
    return inside, (x * size[1] + y) * size[2] + z


def _scale(healthy: Array, above: Array) -> tuple[np.float32, np.float32, np.float32]:
    """Return a, b and c for which a · healthy + b + c · above has mean 0 and variance 1.

    c is 1 unless a tumour would take so much of the variance that the rest of the head pales.
    """
    mean, variance = float(healthy.mean()), max(float(healthy.var()), 1e-6)
    share = min(1.0, _LOUDEST / max(1e-6, float(above.std())))
    middle, spread = share * float(above.mean()), share**2 * float(above.var())
    both = share * float((healthy * above).mean()) - mean * middle
    inner = both**2 - variance * (spread - 1)
    stretch = (-both + np.sqrt(inner)) / variance
    return np.float32(stretch), np.float32(-stretch * mean - middle), np.float32(share)
