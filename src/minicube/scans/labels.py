"""What a label value means: schemes, tissues, regions, and the one table between them.

Releases of the same data use the same small integers for different tissues, so an integer
alone says nothing. A :class:`LabelMap` therefore always carries its :class:`LabelScheme`,
and only this module knows the numbers.

==========  ================  ===============  =============  =========  ================
scheme      1                 2                3              4          used by
==========  ================  ===============  =============  =========  ================
decathlon   oedema            core             enhancing      –          MSD Task01
brats2015   necrosis          oedema           non-enhancing  enhancing  BraTS 2012–2015
brats2021   core              oedema           –              enhancing  BraTS 2016–2021
brats2023   core              oedema           enhancing      –          BraTS 2023
brats2024   core              oedema           enhancing      cavity     BraTS 2024 post-op
==========  ================  ===============  =============  =========  ================

*core* is necrosis and non-enhancing tumour together, which most releases do not tell apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from minicube._errors import InputError

__all__ = ["NETWORK_SCHEME", "LabelMap", "LabelScheme", "Region", "Tissue"]


class Tissue(StrEnum):
    """What a voxel can be."""

    BACKGROUND = "background"
    OEDEMA = "oedema"
    NECROSIS = "necrosis"
    NON_ENHANCING = "non-enhancing tumour"
    CORE = "non-enhancing tumour (with necrosis)"
    ENHANCING = "enhancing tumour"
    CAVITY = "resection cavity"


class Region(StrEnum):
    """The nested regions that BraTS scores."""

    WT = "WT"
    TC = "TC"
    ET = "ET"

    @property
    def title(self) -> str:  # type: ignore[override]  # str.title is of no use on an abbreviation
        """The region's name in words."""
        return {"WT": "whole tumour", "TC": "tumour core", "ET": "enhancing tumour"}[self.value]


_REGION_TISSUES: Final[dict[Region, frozenset[Tissue]]] = {
    Region.ET: frozenset({Tissue.ENHANCING}),
    Region.TC: frozenset({Tissue.ENHANCING, Tissue.CORE, Tissue.NECROSIS, Tissue.NON_ENHANCING}),
    Region.WT: frozenset(
        {Tissue.ENHANCING, Tissue.CORE, Tissue.NECROSIS, Tissue.NON_ENHANCING, Tissue.OEDEMA}
    ),
}


class LabelScheme(StrEnum):
    """A convention that gives tissues their integer label values."""

    DECATHLON = "decathlon"
    BRATS2015 = "brats2015"
    BRATS2021 = "brats2021"
    BRATS2023 = "brats2023"
    BRATS2024 = "brats2024"

    @property
    def tissues(self) -> dict[int, Tissue]:
        """Label value to tissue, background left out."""
        return _SCHEMES[self]

    @property
    def values(self) -> tuple[int, ...]:
        """Every value a map in this scheme may hold, 0 included."""
        return (0, *self.tissues)

    def value_of(self, tissue: Tissue) -> int:
        """Return the label value of ``tissue``.

        Raises:
            KeyError: The scheme has no value for it.
        """
        if tissue is Tissue.BACKGROUND:
            return 0
        return {t: v for v, t in self.tissues.items()}[tissue]

    def region_values(self, region: Region) -> tuple[int, ...]:
        """Return the label values whose union is ``region``."""
        return tuple(v for v, t in self.tissues.items() if t in _REGION_TISSUES[region])

    def legend(self) -> str:
        """Return the values in words, for headers, sidecars and messages."""
        return ", ".join(f"{value} {tissue.value}" for value, tissue in self.tissues.items())


_SCHEMES: Final[dict[LabelScheme, dict[int, Tissue]]] = {
    LabelScheme.DECATHLON: {1: Tissue.OEDEMA, 2: Tissue.CORE, 3: Tissue.ENHANCING},
    LabelScheme.BRATS2015: {
        1: Tissue.NECROSIS,
        2: Tissue.OEDEMA,
        3: Tissue.NON_ENHANCING,
        4: Tissue.ENHANCING,
    },
    LabelScheme.BRATS2021: {1: Tissue.CORE, 2: Tissue.OEDEMA, 4: Tissue.ENHANCING},
    LabelScheme.BRATS2023: {1: Tissue.CORE, 2: Tissue.OEDEMA, 3: Tissue.ENHANCING},
    LabelScheme.BRATS2024: {
        1: Tissue.CORE,
        2: Tissue.OEDEMA,
        3: Tissue.ENHANCING,
        4: Tissue.CAVITY,
    },
}

NETWORK_SCHEME: Final = LabelScheme.DECATHLON
"""The scheme networks are trained in: its values are their output channels, 0 background."""

# What becomes of a tissue that the target scheme has no value for. Only in this order, and
# only when the caller accepts the loss.
_STAND_INS: Final[dict[Tissue, tuple[Tissue, ...]]] = {
    Tissue.NECROSIS: (Tissue.CORE,),
    Tissue.NON_ENHANCING: (Tissue.CORE,),
    Tissue.CORE: (Tissue.NON_ENHANCING,),
    Tissue.CAVITY: (Tissue.BACKGROUND,),
}


@dataclass(frozen=True, eq=False)
class LabelMap:
    """Integer labels on a grid, with what they mean.

    Args:
        array: ``uint8`` array of any shape; for a case ``(x, y, z)``.
        scheme: What the values stand for.

    Raises:
        InputError: A value is outside the scheme.
    """

    array: NDArray[np.uint8]
    scheme: LabelScheme

    def __post_init__(self) -> None:
        unknown = set(range(int(self.array.max(initial=0)) + 1)) - set(self.scheme.values)
        strange = [value for value in sorted(unknown) if (self.array == value).any()]
        if strange:
            raise InputError(
                f"The label map holds values that the scheme {self.scheme.value} does not have.",
                expected=f"0 and {self.scheme.legend()}",
                found="value" + "s" * (len(strange) > 1) + " " + ", ".join(map(str, strange)),
                hint=f"name the scheme of this file with a flag: one of {_names()}",
            )

    def losses(self, target: LabelScheme) -> list[str]:
        """Return in words what this map would lose as ``target``; empty when nothing."""
        there = set(target.tissues.values())
        lost = []
        for value, tissue in self.scheme.tissues.items():
            if tissue not in there and bool(np.any(self.array == value)):
                stand_in = _stand_in(tissue, target)
                lost.append(
                    f"{tissue.value} (value {value}) becomes {stand_in.value}: "
                    f"{target.value} has no value for it"
                )
        return lost

    def to(self, target: LabelScheme, *, lossy: bool = False) -> LabelMap:
        """Return the same labels in another scheme.

        Args:
            target: The scheme wanted.
            lossy: Accept that tissues are merged or dropped (see :meth:`losses`).

        Raises:
            InputError: Something would be lost and ``lossy`` is false.
        """
        if target is self.scheme:
            return self
        lost = self.losses(target)
        if lost and not lossy:
            raise InputError(
                f"These labels cannot be written as {target.value} without a loss.",
                found="; ".join(lost),
                hint="choose another scheme, or convert them with a loss: "
                f"`minicube data convert … --scheme {target.value} --lossy`",
            )
        table = np.zeros(256, np.uint8)
        for value, tissue in self.scheme.tissues.items():
            table[value] = target.value_of(_stand_in(tissue, target))
        return LabelMap(table[self.array], target)

    def counts(self) -> dict[Tissue | Region, int]:
        """Voxels of each tissue of the scheme, background left out, and of WT, TC and ET."""
        voxels = self.array.ravel(order="K")
        of_value = np.bincount(voxels[voxels > 0], minlength=256)
        found: dict[Tissue | Region, int] = {
            tissue: int(of_value[value]) for value, tissue in self.scheme.tissues.items()
        }
        for region in Region:
            found[region] = int(of_value[list(self.scheme.region_values(region))].sum())
        return found

    def region(self, region: Region) -> NDArray[np.bool_]:
        """Return the mask of one region, same shape as the map."""
        return np.isin(self.array, self.scheme.region_values(region))

    def tissue(self, tissue: Tissue) -> NDArray[np.bool_]:
        """Return the mask of one tissue; all false when the scheme has no such value."""
        values = [v for v, t in self.scheme.tissues.items() if t is tissue]
        return np.isin(self.array, values)


def _stand_in(tissue: Tissue, target: LabelScheme) -> Tissue:
    there = {Tissue.BACKGROUND, *target.tissues.values()}
    return next(t for t in (tissue, *_STAND_INS.get(tissue, ())) if t in there)


def _names() -> str:
    return ", ".join(scheme.value for scheme in LabelScheme)
