"""Simulated cases to learn from: real tumour shapes, looks and patches in made-up heads."""

from minicube.simulator.generator import Simulation, simulate
from minicube.simulator.material import (
    FIELD,
    Material,
    Patch,
    Shape,
    cases_named,
    load_material,
    patients_of,
)
from minicube.simulator.source import Source

__all__ = [
    "FIELD",
    "Material",
    "Patch",
    "Shape",
    "Simulation",
    "Source",
    "cases_named",
    "load_material",
    "patients_of",
    "simulate",
]
