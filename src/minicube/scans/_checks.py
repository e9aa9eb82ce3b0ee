"""What must be true of sequences before they make a case, in words a clinician uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from minicube._errors import InputError, NotPrepared
from minicube.scans.geometry import Geometry

__all__ = ["ValueCheck", "check_same_grid", "check_skull_off", "skull_on"]

# Adult brains with their fluid measure 1.0 to 2.0 litres, heads 3.5 and more.
_LARGEST_BRAIN_LITRES: Final = 2.4
# A volume cropped close to a stripped brain is still a third air.
_FULLEST_VOLUME: Final = 0.9
_FULL_MATTERS_LITRES: Final = 0.3

_STRIP: Final = "remove the skull first (brain extraction), then give the stripped scans"


class ValueCheck:
    """Refuses a volume with values that are no numbers, or with nothing in it; sees it in pieces.

    Args:
        name: Of the volume, for messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._bad = self._voxels = 0
        self._anything = False

    def look_at(self, piece: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Take note of a piece; returns where it is not 0."""
        self._voxels += piece.size
        # A sum is NaN or infinite when a value is, and is much quicker than looking at each.
        with np.errstate(all="ignore"):
            suspicious = not np.isfinite(piece.sum())
        if suspicious:
            self._bad += int(np.count_nonzero(~np.isfinite(piece)))
        shown: NDArray[np.bool_] = piece != 0
        self._anything = self._anything or bool(shown.any())
        return shown

    def finish(self) -> None:
        """Complain, when there is something to complain about."""
        if self._bad:
            raise InputError(
                f"{self._name} holds values that are not numbers (NaN or infinite).",
                found=f"{self._bad:,} of {self._voxels:,} voxels",
                hint="export the scan again, or set these voxels to 0 if they are background",
            )
        if not self._anything:
            raise InputError(
                f"{self._name} is empty: every voxel is 0.",
                hint="export the scan again, or leave it out: a case can do without",
            )


def check_same_grid(grids: Mapping[str, Geometry]) -> None:
    """Refuse volumes that do not lie on the grid of the first, axis order apart."""
    (first, grid), *others = grids.items()
    for name, other in others:
        if not grid.ras_grid().matches(other.ras_grid()):
            raise NotPrepared(
                f"{first} and {name} lie on different grids.",
                expected=f"{grid.in_words()} as {first}",
                found=f"{other.in_words()} in {name}",
                hint="register all sequences to one of them and resample them to its grid first",
            )


def skull_on(shown: NDArray[np.bool_], geometry: Geometry) -> str:
    """Say how a head is noticed: more signal than a brain has, or no empty background around it.

    Args:
        shown: Every voxel that is not 0, holes filled.
        geometry: Of the file.

    Returns:
        What was found; empty of a brain alone.
    """
    voxels = np.count_nonzero(shown)
    share, litres = voxels / shown.size, voxels * geometry.voxel_ml / 1000
    if litres > _LARGEST_BRAIN_LITRES:
        return f"{litres:.1f} litres that are not 0, which is how it was noticed"
    if share > _FULLEST_VOLUME and litres > _FULL_MATTERS_LITRES:
        return f"{share:.0%} of the volume is not 0, which is how it was noticed"
    return ""


def check_skull_off(identity: str, brain: NDArray[np.bool_], geometry: Geometry) -> None:
    """Refuse a head.

    Args:
        identity: For the message.
        brain: Every voxel that any sequence shows, holes filled.
        geometry: Of the files.
    """
    found = skull_on(brain, geometry)
    if found:
        raise NotPrepared(
            f"{identity}: the skull is still on.",
            expected=f"a brain alone, at most {_LARGEST_BRAIN_LITRES:g} litres, with 0 around it",
            found=found,
            hint=_STRIP,
        )
