"""Cases of whose tumour only the outline is drawn; what lies in it is told by the patient's map.

An expert's map on a coarse grid, without scans, and scans with an outline of the whole tumour,
without its parts, make a labelled case together where both are of one patient.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from minicube._errors import InputError
from minicube.scans import (
    NETWORK_SCHEME,
    CaseFiles,
    LabelMap,
    find_cases,
    read_volume,
    write_label_map,
)
from minicube.simulator import FIELD, Shape, load_material
from minicube.volumes import bounding_box

__all__ = ["OUTLINE", "find_outlined_cases"]

OUTLINE: Final = "whole_tumour.nii.gz"
"""Beside a case's scans: 1 in the whole tumour, 0 elsewhere, on their grid."""


def find_outlined_cases(
    folder: Path, shapes: Path, home: Path, *, leave_out: Collection[str]
) -> list[CaseFiles]:
    """Return a data set's cases with references that are written from outlines and expert maps.

    Args:
        folder: Of the cases, each in a folder of its own with :data:`OUTLINE`, named after its
            BraTS 2020 patient; scans on the BraTS grid.
        shapes: Expert maps, as :func:`minicube.simulator.load_material` reads them.
        home: Folder that the references are written to.
        leave_out: BraTS 2020 numbers of patients whose maps may not be used.

    Raises:
        InputError: A case has no outline, or none that fits; or no map is there, or it may not be
            used.
    """
    maps = {
        shape.patient: shape for shape in load_material(shapes, None, leave_out=leave_out).shapes
    }
    found = []
    for files in find_cases(folder):
        if files.identity not in maps:
            raise InputError(
                f"What lies in the outline of {files.identity} cannot be told.",
                expected=f"a map of that patient in {shapes}",
                hint="maps of patients who are judged on are never learnt from: take the case out",
            )
        place = folder / files.identity / OUTLINE
        outline, grid = read_volume(place)
        try:
            drawn = _filled(grid.to_ras(outline) > 0, maps[files.identity])
        except ValueError as error:
            raise InputError(f"{place} cannot be used.", found=str(error)) from error
        reference = home / f"{files.identity}.nii.gz"
        labels = LabelMap(np.asfortranarray(grid.from_ras(drawn)), NETWORK_SCHEME)
        write_label_map(reference, labels, grid)
        found.append(replace(files, reference=reference, scheme=NETWORK_SCHEME))
    return found


def _filled(outline: NDArray[np.bool_], shape: Shape) -> NDArray[np.uint8]:
    """Labels that fill the outline and leave the rest: each voxel that of the nearest of the map.

    Raises:
        ValueError: They are of different grids, or have nothing in common.
    """
    if outline.shape != FIELD:
        raise ValueError(f"a grid of {outline.shape} voxels, not the {FIELD} of BraTS")
    places = []
    for length, first, size, count in zip(
        FIELD, shape.corner, shape.spacing, shape.labels.shape, strict=True
    ):
        nearest = np.rint((np.arange(length) - first) / size).astype(int)
        places.append(np.clip(nearest, 0, count - 1))  # there is background around a shape
    parts = shape.labels[np.ix_(*places)]
    if not (outline & (parts > 0)).any():
        raise ValueError("nothing of the patient's map lies in it")
    box = bounding_box(outline | (parts > 0)).slices  # all there is to do lies in it
    nearest_part = ndimage.distance_transform_edt(
        parts[box] == 0, return_distances=False, return_indices=True
    )
    drawn = np.zeros(outline.shape, np.uint8)
    drawn[box] = np.where(outline[box], parts[box][tuple(nearest_part)], 0)
    return drawn
