"""The atlas as a head that can be registered to: its brain, with a skull and scalp drawn around.

The shipped maps hold no intensities, only fractions of tissue and the distance to the brain's
surface. Mutual information asks for no more than that each material has a grey value of its own,
so the values here are round figures of a T1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minicube._atlas import MIDDLE, load_atlas
from minicube.preparation._itk import Matrix, Volume, moved

__all__ = ["CENTRE", "GRID", "TO_ATLAS", "AtlasHead", "atlas_head", "grid_affine"]

GRID = (197, 233, 189)
"""Voxels of 1 mm of the grid that scans are prepared on: the template's own."""

CENTRE = np.zeros(3)
"""Middle of the template's brain, mm: where its coordinates begin."""

_TILT = np.deg2rad(-10.4)
TO_ATLAS = np.array(
    [
        [1, 0, 0, 0],
        [0, np.cos(_TILT), -np.sin(_TILT), 0],
        [0, np.sin(_TILT), np.cos(_TILT), 0],
        [0, 0, 0, 1],
    ]
)
"""From points of the prepared grid to points of the atlas: BraTS has heads with the face up by ten
degrees against this atlas (15 cases: 4 to 17, 10.4 on average), and that is what networks know."""

_WHITE, _GREY, _FLUID, _BONE, _SCALP = 1.0, 0.75, 0.3, 0.08, 1.3
_SKULL_MM = (-2.0, -8.0)  # depth at which bone and scalp begin; scalp is without end here


@dataclass(frozen=True, eq=False)
class AtlasHead:
    """What is registered to.

    Args:
        image: Grey values of a T1-like head, 2 mm.
        brain: The same without skull and scalp.
        depth: Distance to the brain's surface, mm, positive inside, 2 mm.
    """

    image: Volume
    brain: Volume
    depth: Volume


def grid_affine(mm: float = 1.0) -> Matrix:
    """Voxel index to mm from the middle of the template's brain, for voxels of ``mm``."""
    affine = np.diag([mm, mm, mm, 1.0])
    affine[:3, 3] = -MIDDLE
    return affine


def atlas_head() -> AtlasHead:
    """Draw the head at 2 mm."""
    atlas = load_atlas()
    affine, one = grid_affine(2.0), grid_affine()
    depth = Volume(atlas.depth, affine)
    white, grey = _halved(atlas.white, one, depth), _halved(atlas.grey, one, depth)
    fluid = np.clip(1 - white - grey, 0, 1)
    tissue = _WHITE * white + _GREY * grey + _FLUID * fluid
    inside = atlas.depth > 0
    bone, scalp = _SKULL_MM
    shell = np.select([atlas.depth > bone, atlas.depth > scalp], [_FLUID, _BONE], _SCALP)
    head = np.where(inside, tissue, shell).astype(np.float32)
    stripped = np.where(inside, tissue, 0).astype(np.float32)
    return AtlasHead(Volume(head, affine), Volume(stripped, affine), depth)


def _halved(map_: NDArray[np.float32], affine: Matrix, like: Volume) -> NDArray[np.float32]:
    return moved(Volume(map_, affine), like.shape, like.affine, np.eye(4)).array
