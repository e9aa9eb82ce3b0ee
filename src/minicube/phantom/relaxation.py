"""The palette of family B: signal equations, with relaxation times and timings drawn.

Healthy relaxation times follow G. J. Stanisz et al., Magnetic Resonance in Medicine 54
(2005) 507–512, doi:10.1002/mrm.20605; those of tumours are round figures of our own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from minicube.phantom.materials import Material, Palette
from minicube.scans import Sequence

__all__ = ["draw_palette"]


@dataclass(frozen=True)
class Substance:
    """Proton density relative to water, T1 and T2 in ms, contrast agent taken up in mmol/l."""

    density: float
    t1: float
    t2: float
    agent: float = 0.0


AT_3_T: dict[Material, Substance] = {
    Material.WHITE: Substance(0.70, 1084, 69),
    Material.GREY: Substance(0.84, 1820, 99),
    Material.CSF: Substance(1.00, 4100, 1200),
    Material.VESSEL: Substance(0.25, 1900, 120, agent=0.9),
    Material.CHOROID: Substance(0.85, 1900, 180, agent=0.35),
    Material.HYPERINTENSITY: Substance(0.78, 1400, 115),
    Material.COVER: Substance(0.45, 1300, 60, agent=0.3),
    Material.BONE: Substance(0.05, 1000, 20),
    Material.SCALP: Substance(0.80, 380, 80),
    Material.NECROSIS: Substance(0.95, 2700, 330),
    Material.NON_ENHANCING: Substance(0.88, 2100, 190),
    Material.ENHANCING: Substance(0.85, 1750, 135, agent=0.28),
    Material.OEDEMA: Substance(0.85, 1800, 165),
}
RELAXIVITY = 4.5e-3  # gadolinium chelate, per ms and mmol/l


def draw_palette(rng: np.random.Generator) -> Palette:
    """Draw relaxation times and timings, and compute what they look like."""
    spread = 0.015  # small: grey and white matter differ little on FLAIR
    drawn = {
        material: replace(
            usual,
            t1=usual.t1 * np.exp(rng.normal(0, spread)),
            t2=usual.t2 * np.exp(rng.normal(0, spread * (1 + 10 * (usual.t2 > 110)))),
            agent=usual.agent * np.exp(rng.normal(0, 0.4)),
        )
        for material, usual in AT_3_T.items()
    }
    short, long = rng.uniform(480, 800), rng.uniform(4000, 7000)
    echo = rng.uniform(85, 120)
    repeat = rng.uniform(8000, 10000)
    fluid = drawn[Material.CSF].t1
    null = fluid * np.log(2 / (1 + np.exp(-repeat / fluid)))  # the inversion time without fluid
    inversion = null * rng.uniform(0.90, 1.0)
    signals = {
        Sequence.T1N: {m: _spin_echo(s, short, 10) for m, s in drawn.items()},
        Sequence.T1C: {m: _spin_echo(_enhanced(s), short, 10) for m, s in drawn.items()},
        Sequence.T2W: {m: _spin_echo(s, long, echo) for m, s in drawn.items()},
        Sequence.T2F: {m: _inversion(s, repeat, 1.1 * echo, inversion) for m, s in drawn.items()},
    }
    return {
        sequence: {material: value / values[Material.WHITE] for material, value in values.items()}
        for sequence, values in signals.items()
    }


def _enhanced(substance: Substance) -> Substance:
    return replace(substance, t1=1 / (1 / substance.t1 + RELAXIVITY * substance.agent))


def _spin_echo(substance: Substance, repeat: float, echo: float) -> float:
    """Signal of a spin echo; times in ms."""
    recovered = 1 - np.exp(-repeat / substance.t1)
    return float(substance.density * recovered * np.exp(-echo / substance.t2))


def _inversion(substance: Substance, repeat: float, echo: float, inversion: float) -> float:
    """Signal of an inversion-recovery spin echo; times in ms."""
    recovered = 1 - 2 * np.exp(-inversion / substance.t1) + np.exp(-repeat / substance.t1)
    return float(substance.density * abs(recovered) * np.exp(-echo / substance.t2))
