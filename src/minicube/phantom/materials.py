"""What a phantom's voxel can be made of: the words its modules share."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from minicube.scans import Sequence

__all__ = ["Material", "Palette"]


class Material(StrEnum):
    """Something with a signal of its own."""

    GREY = "grey matter"
    WHITE = "white matter"
    CSF = "cerebrospinal fluid"
    VESSEL = "vessel or sinus"
    CHOROID = "choroid plexus"
    HYPERINTENSITY = "white-matter hyperintensity"
    COVER = "dura and what brain extraction left behind"
    BONE = "skull"
    SCALP = "scalp"
    NECROSIS = "necrosis"
    NON_ENHANCING = "non-enhancing tumour"
    ENHANCING = "enhancing tumour"
    OEDEMA = "oedema"


Palette = Mapping[Sequence, Mapping[Material, float]]
"""Signal of every material in every sequence, in units of that sequence's white matter."""
