"""The grid a file was written on, its RAS+ twin, and the way between them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["Geometry", "StoredForm"]

Scalar = TypeVar("Scalar", bound=np.generic)

_CODES = ("LR", "PA", "IS")  # where an axis points, by RAS+ axis and direction


@dataclass(frozen=True)
class StoredForm:
    """Spatial fields of a NIfTI header as they lie in it, so that they go back bit by bit.

    A quaternion does not survive the way through a matrix to the last bit, and a file may
    carry two forms that differ: only the affine counts for us, but both belong to the file.

    Args:
        version: Of NIfTI, 1 or 2.
        pixdim: The first four entries: handedness of the quaternion form, then spacing, mm.
        quaternion: b, c, d.
        offset: Of the quaternion form, mm.
        units: The header's ``xyzt_units``.
    """

    version: int
    pixdim: tuple[float, ...]
    quaternion: tuple[float, ...]
    offset: tuple[float, ...]
    units: int


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
        stored: What else the file's header says of its place; None for a grid made here.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    qform_code: int = 1
    sform_code: int = 1
    stored: StoredForm | None = None

    @cached_property
    def orientation(self) -> tuple[tuple[int, int], ...]:
        """For each axis of the file the RAS+ axis nearest to it, and 1 or −1: its direction."""
        left, _, right = np.linalg.svd(self.affine[:3, :3] / self.spacing)
        turned = left @ right  # without shear
        found = [(0, 1)] * 3
        # Those that point most clearly along an axis choose first, as in nibabel.
        for axis in np.argsort(-(turned**2).max(axis=0), kind="stable").tolist():
            target = int(np.abs(turned[:, axis]).argmax())
            found[axis] = target, 1 if turned[target, axis] > 0 else -1
            turned[target] = 0
        return tuple(found)

    @property
    def spacing(self) -> NDArray[np.float64]:
        """Distance between voxel centres along the file's axes, mm, ``(3,)``."""
        return np.asarray(np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0)), np.float64)

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel, millilitres."""
        return abs(float(np.linalg.det(self.affine[:3, :3]))) / 1000

    @property
    def axis_codes(self) -> str:
        """Where the file's axes point, e.g. ``LPS``."""
        return "".join(_CODES[target][direction > 0] for target, direction in self.orientation)

    @cached_property
    def ras_affine(self) -> NDArray[np.float64]:
        """RAS+ voxel index to scanner coordinates, mm, ``(4, 4)``."""
        way = np.zeros((4, 4))  # RAS+ voxel index to the file's
        way[3, 3] = 1
        for axis, (target, direction) in enumerate(self.orientation):
            way[axis, target] = direction
            way[axis, 3] = 0 if direction > 0 else self.shape[axis] - 1
        return np.asarray(self.affine @ way, np.float64)

    @property
    def ras_shape(self) -> tuple[int, int, int]:
        """Voxels along the RAS+ axes."""
        shape = [0, 0, 0]
        for axis, (target, _) in enumerate(self.orientation):
            shape[target] = self.shape[axis]
        return shape[0], shape[1], shape[2]

    @property
    def ras_spacing(self) -> tuple[float, float, float]:
        """Distance between voxel centres along the RAS+ axes, mm."""
        x, y, z = np.linalg.norm(self.ras_affine[:3, :3], axis=0).tolist()
        return x, y, z

    def to_ras(self, array: NDArray[Scalar]) -> NDArray[Scalar]:
        """Reorder an array on the file's grid, ``shape``, to RAS+. A view where possible."""
        order = np.argsort([target for target, _ in self.orientation])
        return array[self._flips].transpose(order)

    def from_ras(self, array: NDArray[Scalar]) -> NDArray[Scalar]:
        """Reorder a RAS+ array back to the file's grid; the inverse of :meth:`to_ras`."""
        return array.transpose([target for target, _ in self.orientation])[self._flips]

    @property
    def _flips(self) -> tuple[slice, ...]:
        return tuple(slice(None, None, direction) for _, direction in self.orientation)

    def matches(self, other: Geometry, *, tolerance_mm: float = 0.1) -> bool:
        """Whether both grids hold the same voxels: same shape, corners within tolerance."""
        if self.shape != other.shape:
            return False
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape])).reshape(3, -1)
        homogeneous = np.vstack([corners, np.ones(corners.shape[1])])
        apart = (self.affine - other.affine) @ homogeneous
        return bool(np.abs(apart[:3]).max() <= tolerance_mm)

    def ras_grid(self) -> Geometry:
        """Return the grid of the RAS+ arrays, for comparing files of different axis order."""
        return Geometry(self.ras_shape, self.ras_affine)

    def in_words(self) -> str:
        """Return shape, spacing and affine for a message."""
        rows = "; ".join(" ".join(f"{value:.4g}" for value in row) for row in self.affine[:3])
        return f"{self.size_in_words()}, affine [{rows}]"

    def size_in_words(self) -> str:
        """Return shape and spacing for people."""
        shape = " × ".join(map(str, self.shape))
        spacing = " × ".join(f"{mm:.3g}" for mm in self.spacing)
        return f"{shape} voxels of {spacing} mm"
