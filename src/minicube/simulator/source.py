"""Simulated cases by number, ready for training, for processes that share no memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import torch

from minicube._files import checksum
from minicube.simulator.generator import Simulation, simulate
from minicube.simulator.material import Material, load_material
from minicube.volumes import Origin, Prepared, prepare

__all__ = ["Source"]


@dataclass(frozen=True)
class Source:
    """Makes numbered cases (a :class:`minicube.volumes.stream.Maker`).

    Args:
        shapes: File of expert label maps, if any.
        patches: File of real patches, if any.
        leave_out: Patients of whom nothing is used.
        seed: Another one gives other cases.
        options: How often what happens.
    """

    shapes: Path | None = None
    patches: Path | None = None
    leave_out: frozenset[str] = frozenset()
    seed: int = 0
    options: Simulation = field(default_factory=Simulation)

    @property
    def origin(self) -> Origin:
        """What its cases are made from: the files' contents, and everything else in words."""
        return {
            "simulation": "1",  # to be counted up when the same number gives another case
            "options": repr(self.options),
            "seed": str(self.seed),
            "left out": " ".join(sorted(self.leave_out)),
            "shapes": _content(self.shapes),
            "patches": _content(self.patches),
        }

    def begin(self) -> None:
        """Take one core. Files are read with the first case, so that what is wrong is told."""
        torch.set_num_threads(1)

    def __call__(self, number: int) -> Prepared:
        """Make a case; files are read once a process.

        Args:
            number: From 0 to 999,999.

        Raises:
            InputError: A file cannot be used.
        """
        material = _material(self.shapes, self.patches, self.leave_out)
        return prepare(simulate(self.seed * 1_000_000 + number, material, self.options))


@lru_cache(maxsize=1)
def _material(shapes: Path | None, patches: Path | None, leave_out: frozenset[str]) -> Material:
    return load_material(shapes, patches, leave_out=leave_out)


@lru_cache
def _content(path: Path | None) -> str:
    return "none" if path is None else checksum(path)
