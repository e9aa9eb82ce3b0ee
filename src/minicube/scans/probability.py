"""Probabilities as NIfTI files."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from minicube.scans._header import header_bytes
from minicube.scans.geometry import Geometry
from minicube.scans.nifti import write_file

__all__ = ["write_probability_map"]

_STEPS: Final = 255
_WRITTEN_BY: Final = "minicube {what}; research use only"


def write_probability_map(
    path: Path,
    array: NDArray[np.float32],
    geometry: Geometry,
    *,
    what: str = "probabilities",
    overwrite: bool = True,
) -> None:
    """Write probabilities as bytes with a slope of 1/255, as SPM writes its tissue maps.

    Whatever reads NIfTI gives them back as fractions, at most 0.002 from what they were.

    Args:
        path: Ends in ``.nii`` or ``.nii.gz``.
        array: In [0, 1], in the file's axis order, of shape ``geometry.shape``.
        geometry: The grid.
        what: For the header's text.
        overwrite: False refuses to replace an existing file.

    Raises:
        InputError: The file cannot be written or must not be replaced.
    """
    steps = np.empty_like(array, np.uint8)
    for z in range(array.shape[2]):  # nothing else of the volume's size is made
        np.rint(array[:, :, z] * np.float32(_STEPS), out=steps[:, :, z], casting="unsafe")
    text = _WRITTEN_BY.format(what=what)
    head = header_bytes(geometry, steps.dtype, slope=1 / _STEPS, description=text)
    write_file(path, head, [steps], overwrite=overwrite)
