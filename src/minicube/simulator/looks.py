"""How the parts of a tumour look: learnt from real patches, or drawn from wide ranges.

A *look* says, for oedema, core and enhancing tumour and for each sequence, which values occur and
how often (a table of quantiles), and how the sequences go together (a matrix that mixes four
independent normal fields into four correlated ones). Field and table together make a Gaussian
copula: real histograms and correlations on textures that never repeat.

Values are z-scores of the whole brain, counted from the median of the normal tissue nearby.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as ListOf
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import special

from minicube.simulator.material import ENHANCING, Material, Patch

__all__ = ["CORE", "OEDEMA", "PARTS", "Look", "Looks", "draw_look", "learn", "reference_of"]

OEDEMA, CORE = 1, 2
PARTS: Final = (OEDEMA, CORE, ENHANCING)
SHARES: Final = np.concatenate([[0.005], np.linspace(0.03, 0.97, 19), [0.995]])
NORMAL: Final[NDArray[np.float32]] = special.ndtri(SHARES).astype(np.float32)
"""Where the quantiles of a table lie on the axis of a unit normal."""

_BRIGHTEST = 0.3  # middle of what does not enhance, beside what does, on T1 with agent
_ENOUGH = 150  # voxels of a part that are worth a table
_USUAL_REFERENCE = np.array([0.25, 0.1, -0.3, 0.05], np.float32)

# Range of the middle and of the spread of every part in t1n, t1c, t2w, t2f, when nothing is
# learnt: dark on T1, bright where there is water; wide, so that no scanner is learnt by heart.
_MIDDLES: Final = {
    OEDEMA: ((-1.1, 0.2), (-1.1, 0.2), (0.5, 2.6), (0.8, 3.2)),
    CORE: ((-2.0, 0.0), (-2.0, 0.2), (0.7, 4.0), (-0.8, 3.4)),
    ENHANCING: ((-1.2, 0.6), (0.7, 4.5), (0.3, 2.6), (0.4, 3.2)),
}
_SPREADS: Final = {
    OEDEMA: ((0.15, 0.45), (0.15, 0.45), (0.25, 0.8), (0.25, 0.8)),
    CORE: ((0.2, 0.7), (0.2, 0.8), (0.3, 1.1), (0.3, 1.2)),
    ENHANCING: ((0.2, 0.6), (0.4, 1.4), (0.3, 0.9), (0.3, 0.9)),
}


@dataclass(frozen=True, eq=False)
class Look:
    """How one tumour looks.

    Args:
        tables: Values at :data:`NORMAL`, by part, ``(sequence, quantile)``.
        mixing: By part, ``(sequence, field)``; rows have length 1. The first field is the one
            that most of the variation goes along, positive where T2 is bright.
    """

    tables: dict[int, NDArray[np.float32]]
    mixing: dict[int, NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Looks:
    """Looks of real tumours, by what they are.

    Args:
        enhancing: Of tumours with enhancement.
        plain: Of tumours without.
        by_patient: All of them, and what was too small to tell.
    """

    enhancing: tuple[Look, ...]
    plain: tuple[Look, ...]
    by_patient: Mapping[str, Look]


def reference_of(patches: ListOf[Patch]) -> NDArray[np.float32]:
    """Median z-score of normal tissue in some patches of one patient, ``(sequence,)``."""
    normal = [patch.scores[:, patch.known & (patch.labels == 0)] for patch in patches]
    values = np.concatenate(normal, axis=1)
    if values.shape[1] < _ENOUGH:
        return _USUAL_REFERENCE
    return np.asarray(np.median(values, axis=1), np.float32)


def learn(material: Material) -> Looks:
    """Learn one look from every patient's patches."""
    by_patient: dict[str, list[Patch]] = {}
    for patch in material.patches:
        by_patient.setdefault(patch.patient, []).append(patch)
    with_agent = {shape.patient for shape in material.shapes if shape.enhances}
    enhancing, plain, looks = [], [], {}
    for patient, patches in by_patient.items():
        look = looks[patient] = _learn_one(patches)
        if ENHANCING in look.tables:
            enhancing.append(look)
        elif patient not in with_agent and CORE in look.tables:
            plain.append(look)
    return Looks(tuple(enhancing), tuple(plain), looks)


def _learn_one(patches: ListOf[Patch]) -> Look:
    reference = reference_of(patches)
    tables, mixing = {}, {}
    for part in PARTS:
        inside = [patch.scores[:, patch.known & (patch.labels == part)] for patch in patches]
        values = np.concatenate(inside, axis=1) - reference[:, None]
        if values.shape[1] < _ENOUGH:
            continue
        tables[part] = np.quantile(values, SHARES, axis=1).T.astype(np.float32)
        clipped = np.clip(values, tables[part][:, :1], tables[part][:, -1:])
        ramp = 1e-6 * np.arange(values.shape[1])  # a sequence that is flat there has no correlation
        mixing[part] = _mixing_of(np.corrcoef(clipped + ramp))
    return Look(tables, mixing)


def _mixing_of(correlation: NDArray[np.float64]) -> NDArray[np.float32]:
    strength, ways = np.linalg.eigh(correlation)
    mixing = (ways * np.sqrt(np.maximum(strength, 1e-4)))[:, ::-1]
    mixing = mixing * np.where(mixing[2] + mixing[3] < 0, -1, 1)
    mixing /= np.linalg.norm(mixing, axis=1, keepdims=True)
    return np.asarray(mixing, np.float32)


def draw_look(rng: np.random.Generator, looks: Looks, *, enhances: bool, learnt: float) -> Look:
    """Draw how one tumour looks.

    Args:
        rng: Where the randomness comes from.
        looks: Of real tumours.
        enhances: Whether it takes up contrast agent.
        learnt: Probability of a real tumour's look, changed a little, where there are any.
    """
    look = _made_up(rng, enhances=enhances)
    pool = looks.enhancing if enhances else looks.plain
    if pool and rng.random() < learnt:
        real, other = (pool[rng.integers(len(pool))] for _ in range(2))
        look = Look(
            look.tables | other.tables | real.tables, look.mixing | other.mixing | real.mixing
        )
    moved = rng.normal(0, 0.12, 4)[:, None]
    stretched = np.exp(rng.normal(0, 0.12, 4))[:, None]
    if rng.random() < (0.10 if enhances else 0.30):  # faint
        stretched *= rng.uniform(0.35, 0.8)
    if rng.random() < 0.12:  # barely visible on FLAIR and T2
        stretched[2:] *= rng.uniform(0.4, 0.8)
    tables = {
        part: (stretched * (table + moved + rng.normal(0, 0.12, (4, 1)))).astype(np.float32)
        for part, table in look.tables.items()
    }
    for part in (OEDEMA, CORE):  # what is bright with agent alone would be called enhancing
        middle = float(tables[part][1, len(NORMAL) // 2])
        tables[part][1] -= max(0.0, middle - (_BRIGHTEST if enhances else 0.0))
    return Look(tables, look.mixing)


def _made_up(rng: np.random.Generator, *, enhances: bool) -> Look:
    tables, mixing = {}, {}
    level = rng.uniform(0, 1, (3, 4))
    level[:, 3] = 0.5 * level[:, 3] + 0.5 * level[0, 3]  # parts of one tumour are alike
    together = np.array([[1, 0.8, 0, 0], [0.8, 1, 0, 0], [0, 0, 1, 0.6], [0, 0, 0.6, 1]])
    together[:2, 2:] = together[2:, :2] = -rng.uniform(0.2, 0.7)  # what is wet is dark on T1
    agent = rng.normal(0, 0.2, 3)
    for row, part in enumerate(PARTS):
        low, high = np.array(_MIDDLES[part]).T
        middle = low + level[row] * (high - low)
        if part != ENHANCING:  # without agent, both T1 images are the same picture
            middle[1] = middle[0] + agent[row] + (0.3 * enhances if part == CORE else 0)
        spread = np.array([rng.uniform(*limits) for limits in _SPREADS[part]])
        skew = rng.normal(0, 0.12, (4, 1))
        shape = NORMAL + skew * (NORMAL**2 - 1)
        tables[part] = (middle[:, None] + spread[:, None] * shape).astype(np.float32)
        mixing[part] = _mixing_of(together)
    return Look(tables, mixing)
