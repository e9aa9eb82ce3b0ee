"""The grid a file was written on, its RAS+ twin, and the way between them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

__all__ = ["Geometry"]

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Geometry:
    """The spatial part of a NIfTI header.

    "File" is the order of axes on disk; "RAS+" is the order and direction closest to
    right, anterior, superior that is reached by swapping and flipping axes alone.

    Args:
        shape: Voxels along the file's three axes.
        affine: File voxel index to scanner coordinates, mm, ``(4, 4)``.
        qform_code: NIfTI code of the quaternion form (0–4).
        sform_code: NIfTI code of the affine form (0–4).
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    qform_code: int = 1
    sform_code: int = 1

    @cached_property
    def orientation(self) -> NDArray[np.float64]:
        """nibabel orientation array, file → RAS+, ``(3, 2)``."""
        found: NDArray[np.float64] = nib.orientations.io_orientation(self.affine)  # type: ignore[no-untyped-call]
        return found

    @property
    def axis_codes(self) -> str:
        """Where the file's axes point, e.g. ``LPS``."""
        return "".join(nib.orientations.ornt2axcodes(self.orientation))  # type: ignore[no-untyped-call]

    @cached_property
    def ras_affine(self) -> NDArray[np.float64]:
        """RAS+ voxel index to scanner coordinates, mm, ``(4, 4)``."""
        flip: NDArray[np.float64] = nib.orientations.inv_ornt_aff(self.orientation, self.shape)  # type: ignore[no-untyped-call]
        return np.asarray(self.affine @ flip, np.float64)

    @property
    def ras_shape(self) -> tuple[int, int, int]:
        """Voxels along the RAS+ axes."""
        shape = [0, 0, 0]
        for axis, (target, _) in enumerate(self.orientation):
            shape[int(target)] = self.shape[axis]
        return shape[0], shape[1], shape[2]

    @property
    def ras_spacing(self) -> tuple[float, float, float]:
        """Distance between voxel centres along the RAS+ axes, mm."""
        x, y, z = np.linalg.norm(self.ras_affine[:3, :3], axis=0).tolist()
        return x, y, z

    def to_ras(self, array: NDArray[Scalar]) -> NDArray[Scalar]:
        """Reorder an array on the file's grid, ``shape``, to RAS+. A view where possible."""
        moved: NDArray[Scalar] = nib.orientations.apply_orientation(array, self.orientation)  # type: ignore[no-untyped-call]
        return moved

    def from_ras(self, array: NDArray[Scalar]) -> NDArray[Scalar]:
        """Reorder a RAS+ array back to the file's grid; the inverse of :meth:`to_ras`."""
        ras = np.array([[0, 1], [1, 1], [2, 1]], np.float64)
        way = nib.orientations.ornt_transform(ras, self.orientation)  # type: ignore[no-untyped-call]
        moved: NDArray[Scalar] = nib.orientations.apply_orientation(array, way)  # type: ignore[no-untyped-call]
        return moved

    def matches(self, other: Geometry, *, tolerance_mm: float = 0.1) -> bool:
        """Whether both grids hold the same voxels: same shape, corners within tolerance."""
        if self.shape != other.shape:
            return False
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape])).reshape(3, -1)
        homogeneous = np.vstack([corners, np.ones(corners.shape[1])])
        apart = (self.affine - other.affine) @ homogeneous
        return bool(np.abs(apart[:3]).max() <= tolerance_mm)
