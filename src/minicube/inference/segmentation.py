"""What was found in a case, and how it is written."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minicube._errors import InputError
from minicube._version import __version__
from minicube.engines import Model
from minicube.inference.averaging import Probabilities
from minicube.inference.memory import MemoryPlan
from minicube.inference.postprocess import PostProcessing
from minicube.scans import (
    Case,
    LabelMap,
    LabelScheme,
    Region,
    Sequence,
    undeterminable,
    volumes_ml,
    write_label_map,
    write_probability_map,
)

__all__ = ["DEFAULT_SCHEME", "Segmentation", "probability_files"]

DEFAULT_SCHEME = LabelScheme.BRATS2023


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The labels found in a case.

    Args:
        case: What was segmented, its warnings and those of its quality together.
        labels: On the case's RAS+ grid.
        models: What segmented it; of several, the mean of their probabilities did.
        seconds: Time it took, preparation included, reading and writing not.
        plan: How it was kept within a memory budget, where there was one.
        probabilities: Before post-processing, where they were asked for.
        post: What was tidied up after the network.
    """

    case: Case
    labels: LabelMap
    models: tuple[Model, ...]
    seconds: float
    plan: MemoryPlan | None = None
    probabilities: Probabilities | None = None
    post: PostProcessing = field(default_factory=PostProcessing)

    @property
    def undeterminable(self) -> tuple[Region, ...]:
        """Regions that nobody can tell from the sequences that are there."""
        return undeterminable(self.case.images)

    def carried(
        self,
        case: Case,
        labels: LabelMap,
        maps: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    ) -> Segmentation:
        """Return the same on another grid.

        Args:
            case: On that grid.
            labels: Likewise.
            maps: Brings a map ``(x, y, z)`` from the old grid there.
        """
        kept = self.probabilities
        return replace(
            self,
            case=case,
            labels=labels,
            probabilities=None if kept is None else replace(kept, home=maps),
        )

    def save(
        self,
        path: Path | str,
        *,
        scheme: LabelScheme = DEFAULT_SCHEME,
        overwrite: bool = True,
    ) -> Path:
        """Write the labels in the geometry of the input, with their scheme stated.

        The JSON file beside them says which sequences were absent, what is not determinable
        without them, and what else a user should know.

        Args:
            path: Ends in ``.nii`` or ``.nii.gz``.
            scheme: What the values in the file shall mean.
            overwrite: False refuses to replace an existing file.

        Raises:
            InputError: The file cannot be written.
        """
        labels = self.labels.to(scheme)
        geometry = self.case.geometry
        on_file = LabelMap(geometry.from_ras(labels.array), scheme)
        write_label_map(Path(path), on_file, geometry, overwrite=overwrite, remarks=self.remarks)
        return Path(path)

    @property
    def remarks(self) -> dict[str, list[str]]:
        """What is absent, not determinable, and to be noted; plain values for JSON."""
        return {
            "absent_sequences": [sequence.value for sequence in self.case.absent],
            "not_determinable": [region.value for region in self.undeterminable],
            "warnings": list(self.case.warnings),
        }

    def save_probabilities(self, folder: Path | str, *, overwrite: bool = True) -> list[Path]:
        """Write a map of each region's probability in the geometry of the input.

        Of a region that is not determinable there is none.

        Args:
            folder: The files are named as :func:`probability_files` says.
            overwrite: False refuses to replace an existing file.

        Raises:
            InputError: They were not asked for, or a file cannot be written.
        """
        kept = self._kept()
        files = probability_files(Path(folder), self.case.identity, self.case.images)
        geometry = self.case.geometry
        for region, path in files.items():
            array = geometry.from_ras(kept.of(region))
            write_probability_map(path, array, geometry, overwrite=overwrite)
        return list(files.values())

    def save_uncertainty(self, path: Path | str, *, overwrite: bool = True) -> Path:
        """Write how unsure the network is of each voxel, in the geometry of the input.

        Args:
            path: Ends in ``.nii`` or ``.nii.gz``; see :meth:`Probabilities.uncertainty`.
            overwrite: False refuses to replace an existing file.

        Raises:
            InputError: It was not asked for, or the file cannot be written.
        """
        geometry = self.case.geometry
        array = geometry.from_ras(self._kept().uncertainty())
        write_probability_map(Path(path), array, geometry, what="uncertainty", overwrite=overwrite)
        return Path(path)

    def _kept(self) -> Probabilities:
        if self.probabilities is None:
            raise InputError("Probabilities were not kept.", hint="ask for them: Refinements")
        return self.probabilities

    @property
    def provenance(self) -> dict[str, str]:
        """What made it, in words for a report."""
        described = [model.description for model in self.models]
        return {
            "minicube": __version__,
            "model": " + ".join(f"{d.name} ({d.network}, {d.steps} steps)" for d in described),
            "trained on": " + ".join(dict.fromkeys(d.trained_on for d in described)),
            "checksum of the weights": " ".join(d.sha256[:16] for d in described),
            "post-processing": self.post.in_words(),
            "time": f"{self.seconds:.1f} s",
        }

    @property
    def volumes_ml(self) -> dict[str, float | None]:
        """Millilitres of each tissue found and of WT, TC, ET; None where not determinable."""
        found = volumes_ml(self.labels, self.case.geometry, self.case.images)
        return {n.value: None if ml is None else round(ml, 3) for n, ml in found.items()}


def probability_files(
    folder: Path, identity: str, present: Container[Sequence]
) -> dict[Region, Path]:
    """Where the probabilities of a case are written: of each region that is determinable.

    Args:
        folder: Of the maps.
        identity: Name of the case.
        present: The sequences that are there.
    """
    regions = [region for region in Region if region not in undeterminable(present)]
    return {region: folder / f"{identity}_{region.value}.nii.gz" for region in regions}
