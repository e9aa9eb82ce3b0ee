"""Anatomy, tumour, contrast and scanner put together: one phantom a call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from minicube.phantom import contrast, lobes, relaxation, tumour
from minicube.phantom._fields import Volume
from minicube.phantom.anatomy import GRID, Head, draw_pose, render
from minicube.phantom.details import brain_mask, furnish
from minicube.phantom.lesion import Lesion, Plan, Surroundings, pushed_by
from minicube.phantom.materials import Palette
from minicube.phantom.scanner import acquire, digitise, draw_protocol
from minicube.scans import Case, Geometry, LabelMap, LabelScheme

__all__ = ["Family", "PhantomSpec", "make_phantom"]

Scalar = TypeVar("Scalar", bound=np.generic)


class Family(StrEnum):
    """A way of drawing tumours and contrasts; the two share no parameter of either."""

    A = "a"
    B = "b"


@dataclass(frozen=True)
class PhantomSpec:
    """Everything about a phantom that a user may choose.

    Args:
        seed: Any whole number from 0.
        family: A to train on; B to evaluate on something else than was trained on.
        skull: Leave scalp and skull on; the case's brain is then the true one, to the voxel,
            rather than what an extraction would have kept.
    """

    seed: int
    family: Family = Family.A
    skull: bool = False


def make_phantom(spec: PhantomSpec, index: int) -> Case:
    """Make a head with a tumour, the same one for the same arguments.

    Args:
        spec: What kind of phantom.
        index: Which of the endlessly many of that kind, from 0.

    Returns:
        A case on the BraTS grid (240 × 240 × 155 voxels of 1 mm, RAS+) with reference labels
        in the scheme of BraTS 2023. About one in twenty of family A has no tumour.
    """
    entropy = np.random.SeedSequence([spec.seed, index, list(Family).index(spec.family)])
    rng = np.random.Generator(np.random.SFC64(entropy))
    pose = draw_pose(rng, skull=spec.skull)
    recipe = _RECIPES[spec.family]
    plan = recipe.plan(rng, pose.sites())
    push = pushed_by(plan, pose.nodes, pose.depth())
    head = render(pose, push, rng, skull=spec.skull)
    brain = brain_mask(head, rng)
    lesion = recipe.grow(plan, _surroundings(head, brain), rng) if plan.foci else None
    tissues = furnish(head, rng, skull=spec.skull)
    painted = contrast.paint(recipe.palette(rng), head, tissues, lesion, rng)

    if spec.skull:  # nothing was extracted: the anatomy itself says where the brain is
        brain = head.depth > 0
    mask = head.volume(brain.astype(np.float32)) > 0
    images = {}
    for sequence, image in painted.items():
        seen = digitise(acquire(image, head.index, draw_protocol(rng), rng), rng)
        seen = np.where(mask, np.maximum(seen, 1), seen if spec.skull else 0)
        images[sequence] = _on_grid(seen, head)
    labels = (
        lesion.labels(head.shape).array if lesion is not None else np.zeros(head.shape, np.uint8)
    )
    return Case(
        identity=f"phantom-{spec.family.value}-{spec.seed:05d}-{index:05d}",
        images=images,
        geometry=_geometry(),
        brain=_on_grid(mask, head),
        reference=LabelMap(_on_grid(labels, head), LabelScheme.BRATS2023),
    )


@dataclass(frozen=True)
class _Recipe:
    """What makes a family."""

    plan: Callable[[np.random.Generator, tuple[Volume, Volume]], Plan]
    grow: Callable[[Plan, Surroundings, np.random.Generator], Lesion]
    palette: Callable[[np.random.Generator], Palette]


_RECIPES = {
    Family.A: _Recipe(tumour.draw_plan, tumour.grow, contrast.draw_palette),
    Family.B: _Recipe(lobes.draw_plan, lobes.grow, relaxation.draw_palette),
}


def _surroundings(head: Head, brain: NDArray[np.bool_]) -> Surroundings:
    return Surroundings(
        white=head.volume(head.white),
        csf=head.volume(head.csf),
        brain=head.volume((brain & (head.depth > 0.5)).astype(np.float32)) > 0,
    )


def _on_grid(box: NDArray[Scalar], head: Head) -> NDArray[Scalar]:
    whole: NDArray[Scalar] = np.zeros(GRID, box.dtype)
    place = tuple(slice(o, o + n) for o, n in zip(head.origin, head.shape, strict=True))
    whole[place] = box
    return whole


def _geometry() -> Geometry:
    """Return the grid of BraTS files: LPS on disk, 1 mm."""
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    affine[1, 3] = GRID[1] - 1
    return Geometry(GRID, affine)
