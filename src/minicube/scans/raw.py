"""Scans as a scanner made them: each sequence on a grid of its own, the skull still on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minicube._errors import InputError
from minicube.scans._brain import brain_mask
from minicube.scans._case_files import CaseFiles
from minicube.scans._checks import ValueCheck, skull_on
from minicube.scans.absence import check_enough, remarks_on_absence
from minicube.scans.case import Sequence
from minicube.scans.geometry import Geometry
from minicube.scans.on_disk import ImagesOnDisk
from minicube.scans.reading import orientation_remark

__all__ = ["RawScan", "load_raw"]


@dataclass(frozen=True, eq=False)
class RawScan:
    """The sequences of one head, each on its own grid.

    Args:
        identity: Name of the case.
        images: ``(x, y, z)`` float32 in RAS+ order, intensities as the scanner gave them.
        geometries: The grid of each file.
        warnings: Remarks of the reader.
    """

    identity: str
    images: Mapping[Sequence, NDArray[np.float32]]
    geometries: Mapping[Sequence, Geometry]
    warnings: tuple[str, ...] = ()

    def brain(self, sequence: Sequence) -> NDArray[np.bool_] | None:
        """Where a sequence that was stripped before shows something; None with the skull on."""
        shown = brain_mask([self.images[sequence] != 0])
        return None if skull_on(shown, self.geometries[sequence]) else shown


def load_raw(files: CaseFiles) -> RawScan:
    """Read sequences that may lie on different grids, and check their values.

    Args:
        files: From :func:`find_cases`; a reference among them is left alone.

    Raises:
        InputError: No sequence is there that a tumour can be seen on, or a file is damaged, empty,
            or holds values that are no numbers.
    """
    check_enough(files.identity, files.sequences)
    left = ImagesOnDisk.of(files.in_order)
    images = {}
    for sequence in left:
        name = f"{sequence.label} ({left.places[sequence]})"
        check = ValueCheck(name)
        image = images[sequence] = left[sequence]
        check.look_at(image)
        check.finish()
        if not image.max() > 0:
            raise InputError(
                f"{name} has no value above 0.",
                expected="a head brighter than the air around it",
                found=f"values from {image.min():g} to {image.max():g}",
                hint="export the scan again, without a shift of its values",
            )
    unsided = [remark for grid in left.geometries.values() for remark in orientation_remark(grid)]
    remarks = (*files.remarks, *remarks_on_absence(files.sequences), *dict.fromkeys(unsided))
    return RawScan(files.identity, images, left.geometries, remarks)
