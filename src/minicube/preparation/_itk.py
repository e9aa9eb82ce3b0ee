"""Between arrays in RAS+ and the images of SimpleITK; the only module that knows both.

Physical points are ours (RAS+, mm) on both sides: SimpleITK is told no other, and it never reads
or writes a file.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray

from minicube.volumes import resample

__all__ = ["Matrix", "Volume", "as_image", "as_transform", "at_most", "moved", "quiet"]

Matrix = NDArray[np.float64]
"""From points of one space to points of another, mm, homogeneous ``(4, 4)``."""


@dataclass(frozen=True, eq=False)
class Volume:
    """An array and where it lies.

    Args:
        array: ``(x, y, z)``, float32.
        affine: Voxel index to RAS+ coordinates, mm, ``(4, 4)``.
    """

    array: NDArray[np.float32]
    affine: Matrix

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along x, y, z."""
        x, y, z = self.array.shape
        return x, y, z

    @property
    def spacing(self) -> NDArray[np.float64]:
        """Distance between voxel centres, mm, ``(3,)``."""
        return np.asarray(np.linalg.norm(self.affine[:3, :3], axis=0), np.float64)

    def at(self, index: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points, mm, ``(n, 3)``, of voxel indices ``(n, 3)``."""
        return np.asarray(index @ self.affine[:3, :3].T + self.affine[:3, 3], np.float64)


def as_image(volume: Volume) -> sitk.Image:
    """The same as SimpleITK has it."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.array.T))
    image.SetOrigin(volume.affine[:3, 3].tolist())
    image.SetSpacing(volume.spacing.tolist())
    image.SetDirection((volume.affine[:3, :3] / volume.spacing).ravel().tolist())
    return image


def as_transform(matrix: Matrix) -> sitk.AffineTransform:
    """A matrix as SimpleITK has it: from points of the fixed image to points of the moving one."""
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(matrix[:3, :3].ravel().tolist())
    transform.SetTranslation(matrix[:3, 3].tolist())
    return transform


def moved(
    moving: Volume,
    shape: tuple[int, int, int],
    affine: Matrix,
    way: Matrix | sitk.Transform,
    *,
    outside: float = 0.0,
) -> Volume:
    """Interpolate linearly onto another grid.

    Args:
        moving: What is sampled.
        shape: Voxels of the new grid.
        affine: Of the new grid.
        way: From the new grid's space to that of ``moving``.
        outside: What voxels get that lie outside of ``moving``.
    """
    transform = as_transform(way) if isinstance(way, np.ndarray) else way
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    out = sitk.Resample(
        as_image(moving),
        [int(n) for n in shape],
        transform,
        sitk.sitkLinear,
        affine[:3, 3].tolist(),
        spacing.tolist(),
        (affine[:3, :3] / spacing).ravel().tolist(),
        outside,
        sitk.sitkFloat32,
    )
    return Volume(sitk.GetArrayFromImage(out).T, affine)


def at_most(volume: Volume, mm: float) -> Volume:
    """The same field of view; axes whose voxels are finer than ``mm`` get voxels of about that."""
    sizes = np.array(volume.shape) * volume.spacing
    x, y, z = np.minimum(volume.shape, np.maximum(1, np.round(sizes / mm))).astype(int).tolist()
    factor = np.array(volume.shape) / (x, y, z)
    affine = volume.affine @ np.diag([*factor, 1.0])
    affine[:3, 3] = volume.at(((factor - 1) / 2)[None])[0]  # the outer faces stay where they are
    return Volume(resample(volume.array, (x, y, z)), affine)


def quiet(volume: Volume) -> Volume:
    """Intensities cut at the 0.5 and 99.8 percentile of what is not 0: they span a histogram."""
    seen = volume.array[volume.array != 0]
    if not seen.size:
        return volume
    low, high = np.percentile(seen, (0.5, 99.8))
    return Volume(volume.array.clip(min(0.0, float(low)), float(high)), volume.affine)
