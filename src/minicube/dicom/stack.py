"""Images of one volume put in order of where they lie, and the grid they make."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from minicube._errors import InputError
from minicube.dicom.frames import Frame
from minicube.scans import Geometry

__all__ = ["LPS_TO_RAS", "MOST_VOXELS", "stacked"]

LPS_TO_RAS: Final = np.diag([-1.0, -1.0, 1.0, 1.0])
MOST_VOXELS: Final = 1 << 28  # 1 GB as intensities; a head at half a millimetre has an eighth
_AT_RIGHT_ANGLES: Final = 1e-3
_SAME_PLACE_MM: Final = 1e-3
# Scanners write places to a hundredth of a millimetre, or worse.
_UNEVEN_MM: Final = 0.02
_UNEVEN_SHARE: Final = 0.02  # of the distance between slices
_ASKEW_PIXELS: Final = 0.5  # over the whole stack; less goes into the affine as it is

Vector = NDArray[np.float64]


def stacked(frames: Sequence[Frame]) -> tuple[tuple[Frame, ...], Geometry]:
    """Order images along the normal of their planes.

    Args:
        frames: Of one shape, in any order; what numbers they carry does not matter.

    Returns:
        The images in order, and the grid of their voxels, indexed by column, row and image:
        the affine leads to millimetres in RAS+.

    Raises:
        InputError: They make no volume: places are missing, used twice, uneven or askew.
    """
    if any(f.position is None or f.orientation is None or f.spacing is None for f in frames):
        raise InputError("does not say where its images lie")
    if len(frames) < 2:
        raise InputError("a single image")
    along, down = np.array(frames[0].orientation, float).reshape(2, 3)
    rows, columns = frames[0].shape
    if rows * columns * len(frames) > MOST_VOXELS:
        raise InputError(f"too large: {len(frames):,} images of {columns} × {rows}")
    spacing = np.array(frames[0].spacing)
    if not np.isfinite([*along, *down, *spacing]).all() or spacing.min() <= 0:
        raise InputError("does not say where its images lie")
    lengths = np.linalg.norm([along, down], axis=1)
    if abs(along @ down) > _AT_RIGHT_ANGLES or np.abs(lengths - 1).max() > _AT_RIGHT_ANGLES:
        raise InputError("rows and columns are not at right angles")
    normal = np.cross(along, down)
    places = np.array([frame.position for frame in frames])
    if not np.isfinite(places).all():
        raise InputError("does not say where its images lie")
    order = np.argsort(places @ normal, kind="stable")
    step = _step(places[order], normal, float(spacing.min()))
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = along * spacing[1], down * spacing[0]
    affine[:3, 2], affine[:3, 3] = step, places[order[0]]
    shape = columns, rows, len(frames)
    return tuple(frames[i] for i in order), Geometry(shape, LPS_TO_RAS @ affine)


def _step(places: Vector, normal: Vector, pixel: float) -> Vector:
    """From one image to the next, mm, ``(3,)``; ``places`` in order, ``(image, 3)``."""
    heights = places @ normal
    gaps = np.diff(heights)
    if gaps.min() < _SAME_PLACE_MM:
        raise InputError(_repeated(heights))
    step: Vector = (places[-1] - places[0]) / len(gaps)
    off = places - (places[0] + np.arange(len(places))[:, None] * step)
    upright = off @ normal
    if np.abs(upright).max() > max(_UNEVEN_MM, _UNEVEN_SHARE * float(np.median(gaps))):
        raise InputError(_uneven(heights, gaps))
    sideways = step - (step @ normal) * normal
    if np.linalg.norm(sideways) * len(gaps) > _ASKEW_PIXELS * pixel:
        degrees = math.degrees(math.atan2(float(np.linalg.norm(sideways)), float(step @ normal)))
        raise InputError(f"images are stacked askew by {degrees:.1f}° (gantry tilt)")
    if np.linalg.norm(off, axis=1).max() > _ASKEW_PIXELS * pixel:
        raise InputError("images are shifted against each other")
    return step


def _repeated(heights: Vector) -> str:
    count = len(np.unique(np.round(heights / _SAME_PLACE_MM / 10)))
    times, left = divmod(len(heights), count)
    if left:
        return "some places hold more images than others"
    return f"{times} images at each place: repeated, or a series over time"


def _uneven(heights: Vector, gaps: Vector) -> str:
    usual = float(np.median(gaps))
    counts = gaps / usual
    if np.abs(counts - counts.round()).max() < 2 * _UNEVEN_SHARE and counts.round().min() >= 1:
        first = int(np.argmax(counts > 1.5))
        missing = int((counts.round() - 1).sum())
        return (
            f"{missing} image{'s' * (missing > 1)} missing, "
            f"first between {heights[first]:.1f} and {heights[first + 1]:.1f} mm"
        )
    return f"images lie {gaps.min():.2f} to {gaps.max():.2f} mm apart, not evenly"
