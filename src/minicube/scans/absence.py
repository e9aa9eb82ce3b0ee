"""Sequences that a case does not have: what is asked for, and what can be told without them."""

from __future__ import annotations

from collections.abc import Container
from typing import Final

import numpy as np

from minicube._errors import InputError
from minicube.scans.case import Sequence, absent_from
from minicube.scans.geometry import Geometry
from minicube.scans.labels import LabelMap, Region, Tissue

__all__ = [
    "check_complete",
    "check_enough",
    "remarks_on_absence",
    "remarks_on_scores",
    "undeterminable",
    "volumes_ml",
    "without_enhancement",
]

# On a T1 without contrast alone a glioma is hardly seen: grey on grey, and so is its oedema. Each
# of the others shows a part of it by itself.
_TELLING: Final = (Sequence.T1C, Sequence.T2W, Sequence.T2F)

_LESS_SURE: Final = "what is found without it is less sure"


def undeterminable(present: Container[Sequence]) -> tuple[Region, ...]:
    """Return the regions that nobody can tell from these sequences.

    Whether tumour enhances shows only after contrast was given.
    """
    return () if Sequence.T1C in present else (Region.ET,)


def volumes_ml(
    labels: LabelMap, grid: Geometry, present: Container[Sequence] = tuple(Sequence)
) -> dict[Tissue | Region, float | None]:
    """Return what is not determinable as None, and else the millilitres of tissues and regions.

    Args:
        labels: On the voxels of ``grid``, in any order of axes.
        grid: Says how large a voxel is.
        present: The sequences that are there.
    """
    unknown: set[Tissue | Region] = {*undeterminable(present)}
    if Region.ET in unknown:
        unknown.add(Tissue.ENHANCING)
    return {
        part: None if part in unknown else voxels * grid.voxel_ml
        for part, voxels in labels.counts().items()
    }


def check_enough(identity: str, present: Container[Sequence]) -> None:
    """Refuse a case that has no sequence a tumour can be seen on.

    Raises:
        InputError: At most a T1 without contrast is there.
    """
    if not any(sequence in present for sequence in _TELLING):
        raise InputError(
            f"{identity}: no sequence is there that a tumour can be seen on.",
            expected="at least one of T1 with contrast, T2 and FLAIR",
            found=_lacks(present),
            hint="add one of them; `minicube data list` shows what is recognised",
        )


def check_complete(identity: str, present: Container[Sequence], purpose: str) -> None:
    """Refuse a case without all four sequences.

    Args:
        identity: For the message.
        present: The sequences that are there.
        purpose: What all four are asked for, such as "to learn from".

    Raises:
        InputError: A sequence is missing.
    """
    missing = absent_from(present)
    if missing:
        raise InputError(
            f"{identity}: a sequence is missing."
            if len(missing) == 1
            else f"{identity}: {len(missing)} sequences are missing.",
            expected=f"T1, T1 with contrast, T2 and FLAIR, {purpose}",
            found=_lacks(present),
            hint="add the missing scan, or leave the case out; `minicube segment` does without it",
        )


def remarks_on_absence(present: Container[Sequence]) -> tuple[str, ...]:
    """Return what a user should know about sequences that are not there; nothing if all are."""
    remarks = [f"no {s.label} ({s.value}): {_LESS_SURE}" for s in absent_from(present)]
    if undeterminable(present):
        remarks.append(
            "without T1 with contrast it is not determinable whether tumour enhances: what was "
            f"taken for enhancing is labelled {Tissue.CORE.value}, and no volume of enhancing "
            "tumour is given"
        )
    return tuple(remarks)


def remarks_on_scores(present: Container[Sequence]) -> tuple[str, ...]:
    """Return what belongs beside scores of regions that nobody can tell from these sequences."""
    return tuple(
        f"{region.value} is not determinable: scored as not found"
        for region in undeterminable(present)
    )


def without_enhancement(labels: LabelMap) -> LabelMap:
    """Return labels that do not claim enhancement: enhancing tumour becomes core.

    Args:
        labels: In a scheme with both.
    """
    array = labels.array.copy(order="K")
    enhancing = labels.scheme.value_of(Tissue.ENHANCING)
    np.copyto(array, labels.scheme.value_of(Tissue.CORE), where=array == enhancing)
    return LabelMap(array, labels.scheme)


def _lacks(present: Container[Sequence]) -> str:
    return "no " + ", no ".join(f"{s.label} ({s.value})" for s in absent_from(present))
