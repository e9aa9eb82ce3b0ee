"""What both families of tumour have in common: the plan, the push and the finished lesion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from minicube.phantom._fields import Volume
from minicube.phantom.materials import Material
from minicube.scans import LabelMap, LabelScheme, Tissue

__all__ = ["Growth", "Lesion", "Pattern", "Plan", "Surroundings", "finish", "pushed_by"]


class Pattern(StrEnum):
    """How a tumour takes up contrast."""

    RING = "ring"  # enhancing rim around necrosis
    SOLID = "solid"  # enhancing nearly throughout
    PATCHY = "patchy"  # islands of enhancement
    NONE = "none"  # low grade: no enhancement


@dataclass(frozen=True)
class Growth:
    """One focus of a tumour before it is grown.

    Args:
        centre: Place in the head's box, voxels ``(3,)``.
        radius: Radius of a ball of the core's volume, mm.
        pattern: How it enhances.
    """

    centre: NDArray[np.float64]
    radius: float
    pattern: Pattern


@dataclass(frozen=True)
class Plan:
    """A tumour before it is grown.

    Args:
        foci: Its foci, none for a head without a tumour.
        oedema: Volume of oedema wanted, ml.
        strain: How strongly it pushes, 0 (infiltrates) to 0.5 (displaces half its radius).
    """

    foci: tuple[Growth, ...]
    oedema: float
    strain: float


@dataclass(frozen=True)
class Surroundings:
    """The tissue a tumour grows in, each ``(x, y, z)`` at 1 mm, fractions 0–1."""

    white: Volume
    csf: Volume
    brain: NDArray[np.bool_]


@dataclass(frozen=True)
class Lesion:
    """A grown tumour.

    Args:
        index: Flat place in the head's box of every voxel with any tumour, ``(m,)``.
        fractions: Fraction of every part, 0–1, ``(m,)``; together at most 1.
    """

    index: NDArray[np.intp]
    fractions: Mapping[Material, Volume]

    def labels(self, shape: tuple[int, int, int]) -> LabelMap:
        """Return the labels an expert would draw, on the head's box."""
        scheme = LabelScheme.BRATS2023
        enhancing = self.fractions[Material.ENHANCING]
        core = self.fractions[Material.NECROSIS] + self.fractions[Material.NON_ENHANCING]
        whole = enhancing + core + self.fractions[Material.OEDEMA]
        drawn = np.zeros(len(self.index), np.uint8)
        drawn[whole >= 0.5] = scheme.value_of(Tissue.OEDEMA)
        drawn[(core + enhancing >= 0.5)] = scheme.value_of(Tissue.CORE)
        # What visibly enhances is drawn as enhancing, though less than half of the voxel does.
        visible = (core + enhancing >= 0.5) & (enhancing >= 0.7 * core)
        drawn[visible] = scheme.value_of(Tissue.ENHANCING)
        box = np.zeros(shape, np.uint8)
        box.reshape(-1)[self.index] = drawn
        return LabelMap(box, scheme)


def finish(
    parts: Mapping[Material, Volume], corner: NDArray[np.intp], around: Surroundings
) -> Lesion:
    """Put the parts of a tumour, known in a sub-box, into the head's box.

    Args:
        parts: Fractions of every part, 0–1, ``(a, b, c)``.
        corner: First voxel of the sub-box in the head's box, ``(3,)``.
        around: The tissue around; nothing grows outside the brain.
    """
    total = sum(parts.values(), np.float32(0))
    size = next(iter(parts.values())).shape
    box = tuple(slice(int(c), int(c) + n) for c, n in zip(corner, size, strict=True))
    where = np.nonzero((total > 0.01) & around.brain[box])
    flat = np.ravel_multi_index(
        tuple(w + c for w, c in zip(where, corner, strict=True)), around.brain.shape
    )
    return Lesion(flat, {part: values[where] for part, values in parts.items()})


def pushed_by(plan: Plan, nodes: Volume, depth: Volume) -> Volume:
    """Return how far the plan's foci push the tissue, mm.

    Args:
        plan: The tumour.
        nodes: Places, voxels (mm), ``(3, a, b, c)``.
        depth: Distance to the brain's surface there, mm: the skull does not yield.

    Returns:
        Displacement ``(3, a, b, c)``; away from each centre, greatest at its border.
    """
    push = np.zeros_like(nodes)
    yielding = np.clip(depth / 14, 0, 1)
    for focus in plan.foci:
        away = nodes - focus.centre.astype(np.float32)[:, None, None, None]
        distance = np.sqrt((away**2).sum(0)) + np.float32(1e-3)
        beyond = np.maximum(0, distance - focus.radius)
        reach = np.minimum(distance, focus.radius) * np.exp(-beyond / (8 + 0.8 * focus.radius))
        push += away / distance * (plan.strain * reach * yielding)
    return push
