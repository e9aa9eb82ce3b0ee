"""How one image of a head lies against another: rigid and affine, by mutual information.

Reference: D. Mattes et al., PET-CT image registration in the chest using free-form deformations,
IEEE TMI 22 (2003) 120–128, doi:10.1109/TMI.2003.809072, as SimpleITK has it. One thread and
seeded samples: equal input gives equal answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray

from minicube._errors import InputError
from minicube.preparation._itk import (
    Matrix,
    Volume,
    as_image,
    as_transform,
    at_most,
    quiet,
)

__all__ = [
    "Freedom",
    "Search",
    "displacement",
    "in_words",
    "register",
    "rigid_part",
    "same_middle",
    "turn_of",
]

_SEED = 17
_SAMPLES = 20_000
_BINS = 32


class Freedom(StrEnum):
    """What may change."""

    RIGID = "rigid"
    AFFINE = "affine"


@dataclass(frozen=True)
class Search:
    """How a registration is searched for.

    Args:
        levels: Millimetres at which images are compared, coarse to fine.
        freedom: What may change.
        steps: Most of the optimiser at each level.
        patience: What is left of the length of a step when the way turns round, in (0, 1).
    """

    levels: tuple[float, ...] = (6.0, 3.0, 1.5)
    freedom: Freedom = Freedom.RIGID
    steps: int = 300
    patience: float = 0.8


def register(
    fixed: Volume,
    moving: Volume,
    *,
    starts: Sequence[Matrix],
    inside: NDArray[np.bool_] | None = None,
    search: Search = Search(),
) -> tuple[Matrix, float]:
    """Find where the moving image shows what the fixed one does.

    Args:
        fixed: Of any contrast.
        moving: Of any contrast.
        starts: Where to begin; all are followed at the coarsest level, the best one further.
        inside: Where images are compared, on the grid of ``fixed``; everywhere by default.
        search: How.

    Returns:
        From points of ``fixed`` to points of ``moving``, and the mutual information there.

    Raises:
        InputError: The images do not overlap from any start.
    """
    region = None if inside is None else Volume(inside.astype(np.float32), fixed.affine)
    pairs = _pyramid(quiet(fixed), quiet(moving), region, search.levels)
    first, *others = pairs
    best, value = max((_optimised(first, start, search) for start in starts), key=lambda f: f[1])
    if value == -np.inf:
        raise InputError(
            "Two images do not lie over each other, wherever one begins to search.",
            hint="look at the series: they must show the same head",
        )
    for pair in others:
        best, value = _optimised(pair, best, search)
    return best, value


def _pyramid(
    fixed: Volume, moving: Volume, region: Volume | None, levels: Sequence[float]
) -> list[_Pair]:
    """The pairs of all levels, coarse to fine; each is made of the next finer one."""
    pairs: list[_Pair] = []
    for mm in sorted(levels):
        fixed, moving = at_most(fixed, mm), at_most(moving, mm)
        region = None if region is None else at_most(region, mm)
        pairs.insert(0, _Pair.of(fixed, moving, region, mm))
    return pairs


@dataclass(frozen=True, eq=False)
class _Pair:
    """Both images as they are compared at a level."""

    fixed: sitk.Image
    moving: sitk.Image
    mask: sitk.Image | None
    centre: tuple[float, float, float]
    share: float
    mm: float

    @classmethod
    def of(cls, fixed: Volume, moving: Volume, region: Volume | None, mm: float) -> _Pair:
        mask = None
        counted = np.ones(fixed.shape, np.bool_)
        if region is not None:
            counted = region.array > 0.5
            as_mask = as_image(Volume(counted.astype(np.float32), fixed.affine))
            mask = sitk.Cast(as_mask, sitk.sitkUInt8)
        index = np.argwhere(counted).astype(np.float64)
        x, y, z = fixed.at(index.mean(axis=0)[None])[0].tolist()
        share = min(1.0, _SAMPLES / len(index))
        return cls(as_image(fixed), as_image(moving), mask, (x, y, z), share, mm)


def _optimised(pair: _Pair, start: Matrix, search: Search) -> tuple[Matrix, float]:
    is_rigid = search.freedom is Freedom.RIGID
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)
    method.SetNumberOfWorkUnits(1)  # else sums are added in any order
    method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetMetricSamplingStrategy(method.RANDOM if pair.share < 1 else method.NONE)
    if pair.share < 1:
        method.SetMetricSamplingPercentage(pair.share, _SEED)
    if pair.mask is not None:
        method.SetMetricFixedMask(pair.mask)
    method.SetMetricUseFixedImageGradientFilter(False)
    method.SetMetricUseMovingImageGradientFilter(False)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=pair.mm / (2 if is_rigid else 8),
        minStep=pair.mm / 400,
        numberOfIterations=search.steps,
        relaxationFactor=search.patience,
        gradientMagnitudeTolerance=1e-6,
    )
    method.SetOptimizerScalesFromPhysicalShift()
    # The start stays outside of what is optimised, so that turns are about the middle.
    method.SetMovingInitialTransform(as_transform(start))
    change = sitk.Euler3DTransform() if is_rigid else sitk.AffineTransform(3)
    change.SetCenter(pair.centre)
    method.SetInitialTransform(change, inPlace=True)
    try:
        method.Execute(pair.fixed, pair.moving)
    except RuntimeError:  # too few samples lie in the moving image
        return start, -np.inf
    return start @ _matrix_of(change), -float(method.GetMetricValue())


def _matrix_of(transform: sitk.Transform) -> Matrix:
    """The same as a matrix, whatever its centre."""
    turn = np.array(transform.GetMatrix()).reshape(3, 3)
    centre = np.array(transform.GetCenter())
    matrix = np.eye(4)
    matrix[:3, :3] = turn
    matrix[:3, 3] = np.array(transform.GetTranslation()) + centre - turn @ centre
    return matrix


def same_middle(fixed: Volume, moving: Volume) -> Matrix:
    """A shift that lays the bright voxels' mean place of one image on that of the other."""
    matrix = np.eye(4)
    matrix[:3, 3] = _middle(moving) - _middle(fixed)
    return matrix


def _middle(volume: Volume) -> NDArray[np.float64]:
    coarse = at_most(volume, 4)
    seen = coarse.array > 0.5 * coarse.array[coarse.array > 0].mean()
    return np.asarray(coarse.at(np.argwhere(seen).mean(axis=0)[None])[0], np.float64)


def rigid_part(matrix: Matrix, about: NDArray[np.float64]) -> Matrix:
    """The turn and shift nearest to an affine map, which take ``about`` where that takes it.

    Args:
        matrix: Affine, not mirrored.
        about: A point, mm, ``(3,)``.
    """
    left, _, right = np.linalg.svd(matrix[:3, :3])
    rigid = np.eye(4)
    rigid[:3, :3] = left @ right
    rigid[:3, 3] = matrix[:3, :3] @ about + matrix[:3, 3] - rigid[:3, :3] @ about
    return rigid


def displacement(one: Matrix, other: Matrix, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far apart two maps take points, mm, ``(n,)``.

    Args:
        one: From the points' space.
        other: Likewise.
        points: mm, ``(n, 3)``.
    """
    apart = points @ (one - other)[:3, :3].T + (one - other)[:3, 3]
    return np.asarray(np.linalg.norm(apart, axis=1), np.float64)


def in_words(matrix: Matrix, about: NDArray[np.float64]) -> str:
    """A rigid map as a turn, degrees, and how far it takes a point, mm."""
    shift = np.linalg.norm(matrix[:3, :3] @ about + matrix[:3, 3] - about)
    return f"turned by {turn_of(matrix):.1f}° and moved by {shift:.1f} mm"


def turn_of(matrix: Matrix) -> float:
    """Degrees that a rigid map turns by, about whatever axis."""
    return float(np.rad2deg(np.arccos(np.clip((np.trace(matrix[:3, :3]) - 1) / 2, -1, 1))))
