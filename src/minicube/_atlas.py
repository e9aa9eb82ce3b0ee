"""The shipped anatomy: tissue maps of the ICBM-152 atlas, read with numpy alone.

Reference: V. Fonov et al., NeuroImage 54 (2011) 313–327, doi:10.1016/j.neuroimage.2010.07.033.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

__all__ = ["MIDDLE", "Atlas", "load_atlas"]

MIDDLE = np.array([98.0, 117.0, 92.0])
"""Centre of the template's brain, template voxels of 1 mm."""


@dataclass(frozen=True)
class Atlas:
    """The shipped maps, each on the whole template, ``(x, y, z)`` in RAS+."""

    grey: NDArray[np.float32]  # 0–1, 1 mm
    white: NDArray[np.float32]  # 0–1, 1 mm
    depth: NDArray[np.float32]  # mm to the brain's surface, positive inside, 2 mm
    ventricle: NDArray[np.float32]  # mm to the lateral ventricles' wall, positive inside, 2 mm


@cache
def load_atlas() -> Atlas:
    """Load the shipped maps; they are symmetric, so half of each is stored."""
    # From the package's root: what draws phantoms asks for more than the base install has.
    with (files("minicube") / "phantom/assets/icbm152.npz").open("rb") as file:
        arrays = np.load(file, allow_pickle=False)
        halves = {name: arrays[name].astype(np.float32) for name in arrays.files}

    def whole(name: str, unit: int) -> NDArray[np.float32]:
        half = halves[name] / np.float32(unit)
        return np.concatenate([half, half[-2::-1]])

    return Atlas(whole("grey", 15), whole("white", 15), whole("depth", 2), whole("ventricle", 2))
