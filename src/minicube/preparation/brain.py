"""Where the brain is in a head: the atlas laid on it, corrected by what the sequences show."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

import edt
import numpy as np
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray

from minicube.preparation._itk import Matrix, Volume, as_image, at_most, moved, quiet
from minicube.preparation.atlas import AtlasHead
from minicube.preparation.registration import Freedom, Search, register, same_middle
from minicube.scans import components, enclosed
from minicube.volumes import bounding_box

__all__ = ["LARGEST", "brain_in", "lay_on_atlas"]

_FIND = Search(levels=(8.0,), steps=60, patience=0.6)
_FIT = Search((4.0, 2.0), Freedom.AFFINE, steps=120, patience=0.6)
_USUAL_SIZE = 0.93  # of brains against the template, which is a large one
_HEAD_MM = 20.0  # around the brain that is compared to find it: up to the air around the head,
_RIM_MM = 6.0  # and to fit it: fluid and bone, and no scalp, which varies
_TRIED_HEIGHTS = (-20.0, 0.0, 20.0)  # mm
_TRIED_TILTS = (-15.0, 0.0, 15.0)  # degrees of nodding
_TRIED_SIZES = (1.0, 0.88)
LARGEST = 1.05
"""Volume of a brain against the template's; 15 real ones have 0.69 to 0.92."""

_AIR_MM = 4.0
_LEAST_SIGNAL = 0.15  # of what is bright: less is air
_BONE_MM = 12.0  # gaps of twice that between scalp and brain are no air

_INSIDE_MM = (2.0, 14.0)  # depths that brains are learnt from,
_OUTSIDE_MM = (-14.0, -4.0)  # and what lies around them
_BAND_MM = 8.0  # how far the atlas may be wrong
_CODES = 32
_MOST = 2.5  # of the logarithm of one sequence's odds,
_MOST_OF_ALL = 3.0  # and of all together
_COUNTS_AS = 2.4  # of however many: sequences repeat each other
_SMOOTH_MM = 1.5
_PRIOR_PER_MM = 0.2
_ENOUGH = 0.5  # more than even: fluid around the brain speaks for brain, and is not wanted
_GROOVE_MM = 4.0


def lay_on_atlas(scan: Volume, atlas: AtlasHead, *, stripped: bool = False) -> Matrix:
    """Find where the atlas lies in a scan.

    Args:
        scan: T1 with contrast, or another sequence.
        atlas: From :func:`atlas_head`.
        stripped: Whether the scan shows a brain alone.

    Returns:
        From points of the atlas to points of the scan, affine.
    """
    whole, rim = (atlas.depth.array > -mm for mm in (_HEAD_MM, _RIM_MM))
    image, shown = (atlas.brain, scan) if stripped else (atlas.image, _without_air(scan))
    start = same_middle(image, scan) @ _scaled(_USUAL_SIZE)
    tries = product(_TRIED_HEIGHTS, _TRIED_TILTS)
    starts = [start @ _nod(degrees, height) for height, degrees in tries]
    rigid, _ = register(image, shown, starts=starts, inside=whole, search=_FIND)
    fits = [
        register(image, scan, starts=[rigid @ _scaled(size)], inside=rim, search=_FIT)
        for size in _TRIED_SIZES
    ]
    # Where bone is taken for air, mutual information likes a brain as large as the whole head.
    return max(fits, key=lambda fit: (np.linalg.det(fit[0]) <= LARGEST, fit[1]))[0]


def _without_air(scan: Volume) -> Volume:
    """A head, its surroundings as bright as fat, since how thick a scalp is says nothing."""
    coarse, fine = at_most(scan, _AIR_MM), quiet(at_most(scan, _AIR_MM / 2))
    bright = float(np.percentile(coarse.array[coarse.array > 0], 98))
    head = _closed(_largest(coarse.array > _LEAST_SIGNAL * bright), _BONE_MM, coarse.spacing)
    there = Volume((head | enclosed(head)).astype(np.float32), coarse.affine)
    inside = moved(there, fine.shape, fine.affine, np.eye(4)).array > 0.5
    fat = np.percentile(fine.array[inside], 99)
    return Volume(np.where(inside, fine.array.clip(0, fat), fat).astype(np.float32), fine.affine)


def brain_in(
    heads: Iterable[tuple[NDArray[np.float32], NDArray[np.bool_]]], depth: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Correct where the atlas says the brain is by how bright the head is there.

    What each grey value speaks for is learnt from the head itself, by how often it is found
    safely inside and safely outside of what the atlas says; the evidence is smoothed, and the
    atlas' own word added, which counts the more the farther a voxel lies from its surface.

    Args:
        heads: Of each sequence, ``(x, y, z)`` at 1 mm: the image, and where it has voxels.
        depth: By the atlas, mm to the brain's surface, positive inside, ``(x, y, z)``.

    Returns:
        Mask of one piece without holes, ``(x, y, z)``.
    """
    whole = np.zeros(depth.shape, np.bool_)
    box = bounding_box(depth > _OUTSIDE_MM[0]).slices
    depth = depth[box]
    evidence = np.zeros(depth.shape, np.float32)
    given = list(heads)
    for image, seen in given:
        evidence += _odds(image[box], seen[box], depth)
    evidence *= np.float32(_COUNTS_AS / len(given))
    evidence = evidence.clip(-_MOST_OF_ALL, _MOST_OF_ALL)
    image = as_image(Volume(evidence, np.eye(4)))
    smooth = sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(image, _SMOOTH_MM)).T
    near = np.abs(depth) < _BAND_MM
    brain = np.where(near, smooth + _PRIOR_PER_MM * depth > _ENOUGH, depth > 0)
    closed = _closed(_largest(brain), _GROOVE_MM, np.ones(3))
    whole[box] = closed | enclosed(closed)
    return whole


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Its piece with most voxels, joined by faces."""
    pieces = components(mask, 6)
    voxels = np.bincount(pieces.ravel())
    voxels[0] = 0  # what lies outside
    return np.asarray(pieces == voxels.argmax())


def _closed(mask: NDArray[np.bool_], mm: float, spacing: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Fill grooves and gaps up to twice as wide, such as that of the falx."""
    margin = np.ceil(mm / spacing).astype(int) + 1
    padded = np.pad(mask, [(n, n) for n in margin])
    sides = tuple(spacing.tolist())
    grown = np.asarray(edt.edt(~padded, anisotropy=sides)) <= mm
    closed = np.asarray(edt.edt(grown, anisotropy=sides)) > mm
    x, y, z = (slice(n, -n) for n in margin)
    return np.asarray(closed[x, y, z])


def _odds(
    image: NDArray[np.float32], seen: NDArray[np.bool_], depth: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Logarithm of how much likelier each voxel's grey value is inside than outside."""
    within, around = (
        (depth > low) & (depth < high) & seen for low, high in (_INSIDE_MM, _OUTSIDE_MM)
    )
    if not within.any() or not around.any():
        return np.zeros_like(depth)
    low, high = np.percentile(image[within | around], (0.5, 99.5)).tolist()
    scaled = (image - low) * ((_CODES - 1) / max(high - low, 1e-6))
    codes = scaled.clip(0, _CODES - 1).astype(np.uint8)
    odds = np.log(_shares(codes[within]) / _shares(codes[around])).clip(-_MOST, _MOST)
    return np.where(seen, odds.astype(np.float32)[codes], np.float32(0))


def _shares(codes: NDArray[np.uint8]) -> NDArray[np.float64]:
    counts = np.bincount(codes, minlength=_CODES) + 1.0
    soft = np.convolve(np.pad(counts, 1, mode="edge"), (0.25, 0.5, 0.25), "valid")
    return np.asarray(soft / soft.sum(), np.float64)


def _scaled(size: float) -> Matrix:
    return np.diag([size, size, size, 1.0])


def _nod(degrees: float, height: float) -> Matrix:
    """A turn about the axis from left to right, the face up, and a shift upwards, mm."""
    matrix = np.eye(4)
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    matrix[1:3, 1:3] = [[c, -s], [s, c]]
    matrix[2, 3] = height
    return matrix
