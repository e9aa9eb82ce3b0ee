"""Prepared cases on disk, so that training reads windows of them and never a whole case."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicube._files import read_json, replacing, write_json
from minicube.scans import NETWORK_SCHEME, LabelMap
from minicube.volumes.box import Box, Shape
from minicube.volumes.prepare import Intensities, Prepared, Scale, unscaled

__all__ = ["BRAIN", "StoredCase", "open_stored", "store_one"]

BRAIN = "brain"
_SPOTS_A_CLASS = 4096


@dataclass(frozen=True)
class StoredCase:
    """A prepared, labelled case whose arrays are mapped from disk.

    Args:
        folder: Holds ``images.npy`` (float16, ``(sequence, x, y, z)``), ``labels.npy``
            (uint8, ``(x, y, z)``), ``spots.npz`` and ``case.json``.
    """

    folder: Path

    @property
    def identity(self) -> str:
        """Name of the case."""
        return str(self._facts["identity"])

    @property
    def scales(self) -> tuple[Scale, ...]:
        """What the z-scores of each sequence were made with."""
        return tuple(Scale(*pair) for pair in self._facts["scales"])

    @cached_property
    def _facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = read_json(self.folder / "case.json")
        return facts

    # Mapped anew at each use: what stays mapped counts as this process's memory.
    @property
    def images(self) -> NDArray[np.float16]:
        """Z-scores, ``(sequence, x, y, z)``, mapped read-only."""
        mapped: NDArray[np.float16] = np.load(self.folder / "images.npy", mmap_mode="r")
        return mapped

    @property
    def labels(self) -> LabelMap:
        """Labels in :data:`NETWORK_SCHEME`, ``(x, y, z)``, mapped read-only."""
        return LabelMap(np.load(self.folder / "labels.npy", mmap_mode="r"), NETWORK_SCHEME)

    @cached_property
    def spots(self) -> dict[str, NDArray[np.int16]]:
        """Up to 4096 voxels, ``(n, 3)``, of each tissue present and of the brain as a whole."""
        with np.load(self.folder / "spots.npz") as archive:
            return {name: archive[name] for name in archive.files}

    @cached_property
    def shape(self) -> Shape:
        """Voxels along x, y, z."""
        x, y, z = self.images.shape[1:]
        return x, y, z

    def read(
        self, box: Box, intensities: Intensities = Intensities.Z_SCORE
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Read one window: images ``(sequence, *box.shape)`` and labels; 0 outside the case."""
        images = np.asarray(box.cut(self.images), np.float32)
        if intensities is Intensities.RAW:
            images = unscaled(images, self.scales)
        labels = np.array(box.cut(self.labels.array), np.uint8)
        return images, labels


def store_one(case: Prepared, folder: Path) -> StoredCase:
    """Write one prepared case with its labels into ``folder``."""
    stored = StoredCase(folder / case.identity)
    if case.labels is None:
        raise ValueError(f"{case.identity} has no labels to learn from")
    spots = _spots(case.brain, case.labels)
    for name, array in (("images", case.images.astype(np.float16)), ("labels", case.labels.array)):
        with replacing(stored.folder / f"{name}.npy") as temporary, temporary.open("wb") as file:
            np.save(file, array)
    with replacing(stored.folder / "spots.npz") as temporary, temporary.open("wb") as file:
        np.savez(file, **spots)  # type: ignore[arg-type]
    # Last, so that its presence says the case is complete.
    scales = [(scale.mean, scale.deviation) for scale in case.scales]
    write_json(stored.folder / "case.json", {"identity": case.identity, "scales": scales})
    return stored


def open_stored(folder: Path, identity: str) -> StoredCase | None:
    """Return the stored case, or None when it is not there complete."""
    stored = StoredCase(folder / identity)
    return stored if (stored.folder / "case.json").exists() else None


def _spots(brain: NDArray[np.bool_], labels: LabelMap) -> dict[str, NDArray[np.int16]]:
    rng = np.random.default_rng(0)
    found = {}
    masks = {tissue.value: labels.tissue(tissue) for tissue in labels.scheme.tissues.values()}
    for name, mask in (masks | {BRAIN: brain}).items():
        flat = np.flatnonzero(mask)
        if flat.size > _SPOTS_A_CLASS:
            flat = np.sort(rng.choice(flat, _SPOTS_A_CLASS, replace=False))
        if flat.size:
            found[name] = np.stack(np.unravel_index(flat, mask.shape), axis=1).astype(np.int16)
    return found
