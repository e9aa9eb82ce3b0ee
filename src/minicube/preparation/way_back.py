"""What was found on the prepared grid, back onto the grid of a series."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from minicube.preparation._itk import Matrix, Volume, moved
from minicube.scans import Geometry, LabelMap

__all__ = ["labels_onto", "shares_onto"]

_FINEST_MM = 1.0
_SLACK = 0.05  # a voxel of 1.04 mm is not worth two samples


def shares_onto(volume: Volume, home: Geometry, to_home: Matrix) -> NDArray[np.float32]:
    """Interpolate linearly, and average over each voxel of the other grid.

    A voxel that is 5 mm long is sampled five times along: it gets the mean of what lies in it,
    not what lies at its centre.

    Args:
        volume: On the prepared grid; 0 beyond it.
        home: Of the series.
        to_home: From points of the prepared grid to points of the series, rigid.

    Returns:
        ``(x, y, z)`` on the RAS+ grid of ``home``.
    """
    times = np.maximum(1, np.ceil(np.array(home.ras_spacing) / _FINEST_MM - _SLACK)).astype(int)
    fine = home.ras_affine @ np.diag([*(1 / times), 1.0])
    # The first of several samples lies before the voxel's centre.
    fine[:3, 3] += home.ras_affine[:3, :3] @ ((1 / times - 1) / 2)
    x, y, z = home.ras_shape
    a, b, c = times.tolist()
    found = moved(volume, (a * x, b * y, c * z), fine, np.linalg.inv(to_home)).array
    blocks = found.reshape(x, a, y, b, z, c)
    return np.asarray(blocks.mean(axis=(1, 3, 5), dtype=np.float32), np.float32)


def labels_onto(labels: LabelMap, affine: Matrix, home: Geometry, to_home: Matrix) -> LabelMap:
    """Bring labels onto the grid of a series: in each voxel the class with the largest share.

    Args:
        labels: On the prepared grid, background beyond it.
        affine: Of that grid.
        home: As for :func:`shares_onto`, like the next.
        to_home: Rigid.
    """
    chosen = np.zeros(home.ras_shape, np.uint8, order="F")
    best = np.ones(home.ras_shape, np.float32)  # the background's share, in the end
    shares = {}
    for value in labels.scheme.tissues:
        mask = labels.array == value
        if mask.any():
            shares[value] = shares_onto(Volume(mask.astype(np.float32), affine), home, to_home)
            best -= shares[value]
    for value, share in shares.items():
        wins = share > best
        best[wins] = share[wins]
        chosen[wins] = value
    return LabelMap(chosen, labels.scheme)
