"""Label maps that a reader has corrected."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from minicube._errors import InputError
from minicube.inference import DEFAULT_SCHEME
from minicube.scans import LabelMap, read_labels, volumes_ml, write_label_map
from minicube.server.folders import JobFolder, Outputs
from minicube.server.jobs import Correction
from minicube.server.worker import tissue_rows

__all__ = ["keep_correction"]


def keep_correction(folder: JobFolder, arrived: Path) -> Correction:
    """Write a corrected map beside the one that was found, on its grid and in its scheme.

    Args:
        folder: Of the job.
        arrived: NIfTI file with the same voxels, in any order of its axes.

    Raises:
        InputError: It is no label map, or of another grid or scheme.
    """
    labels, grid = read_labels(folder.outputs / Outputs.LABELS, DEFAULT_SCHEME)
    try:
        given, given_grid = read_labels(arrived, DEFAULT_SCHEME)
    except InputError as error:
        problem = error.problem.replace(str(arrived), "The corrected map")
        raise InputError(problem, expected=error.expected, found=error.found) from error
    if not given_grid.ras_grid().matches(grid.ras_grid()):
        raise InputError("The corrected map lies on another grid than the labels.")
    array = grid.from_ras(given_grid.to_ras(given.array))
    corrected = LabelMap(array, DEFAULT_SCHEME)
    write_label_map(folder.outputs / Outputs.CORRECTION, corrected, grid)
    return Correction(
        saved=datetime.now(UTC),
        changed_voxels=int(np.count_nonzero(array != labels.array)),
        tissues=tissue_rows(volumes_ml(corrected, grid)),
    )
