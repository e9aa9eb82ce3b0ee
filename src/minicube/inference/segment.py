"""One case through one model."""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from minicube._errors import MissingExtra
from minicube.engines import Engine, Model, load_model, segment_volume
from minicube.scans import (
    Case,
    LabelMap,
    LabelScheme,
    Region,
    Tissue,
    write_label_map,
)
from minicube.volumes import Intensities, prepare, restore

__all__ = ["Segmentation", "Segmenter", "segment", "shipped_model"]

DEFAULT_SCHEME = LabelScheme.BRATS2023


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The labels found in a case.

    Args:
        case: What was segmented.
        labels: On the case's RAS+ grid.
        model: What segmented it.
        seconds: Time it took, preparation included, reading and writing not.
    """

    case: Case
    labels: LabelMap
    model: Model
    seconds: float

    def save(
        self,
        path: Path | str,
        *,
        scheme: LabelScheme = DEFAULT_SCHEME,
        overwrite: bool = True,
    ) -> Path:
        """Write the labels in the geometry of the input, with their scheme stated.

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
        write_label_map(Path(path), on_file, geometry, overwrite=overwrite)
        return Path(path)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel, millilitres."""
        return float(np.prod(self.case.spacing)) / 1000

    @property
    def volumes_ml(self) -> dict[str, float]:
        """Millilitres of each tissue found and of the regions WT, TC, ET."""
        counts = np.bincount(self.labels.array.ravel(), minlength=256)
        found: dict[Tissue | Region, float] = {
            tissue: float(counts[value]) * self.voxel_ml
            for value, tissue in self.labels.scheme.tissues.items()
        }
        for region in Region:
            values = list(self.labels.scheme.region_values(region))
            found[region] = float(counts[values].sum()) * self.voxel_ml
        return {name.value: round(ml, 3) for name, ml in found.items()}


class Segmenter:
    """A model made ready once, for any number of cases.

    Args:
        model: As :func:`minicube.engines.load_model` gives it; the shipped one by default.

    Raises:
        InputError: PyTorch is not installed, or the weights are damaged.
    """

    def __init__(self, model: Model | None = None) -> None:
        self.model = model or shipped_model()
        self._engine = _engine(self.model)

    def segment(self, case: Case) -> Segmentation:
        """Segment one case."""
        began = time.perf_counter()
        description = self.model.description
        prepared = prepare(_without_reference(case), denoise=description.denoise)
        images = prepared.images_as(description.normalisation)
        found = segment_volume(self._engine, images, description.cut)
        labels = restore(found, prepared.frame)
        return Segmentation(case, labels, self.model, time.perf_counter() - began)


def segment(case: Case, model: Path | str | None = None) -> Segmentation:
    """Segment a case with a trained model.

    Args:
        case: From :func:`minicube.load_case`.
        model: A run folder; the shipped model when left out.

    Raises:
        InputError: The case or the model cannot be used.
    """
    return Segmenter(None if model is None else load_model(Path(model))).segment(case)


def shipped_model() -> Model:
    """The model inside the package."""
    return load_model(Path(__file__).parents[1] / "weights" / "provisional")


def _engine(model: Model) -> Engine:
    if find_spec("torch") is None:
        raise MissingExtra("Segmenting", "train")
    from minicube.engines.torch_engine import TorchEngine, has_bf16, load_network

    # Raw intensities need more digits than bf16 has; such models were trained in fp32.
    z_scores = model.description.normalisation is Intensities.Z_SCORE
    return TorchEngine(load_network(model), bf16=z_scores and has_bf16())


def _without_reference(case: Case) -> Case:
    """A reference that came along is not the network's business, nor its resampling's cost."""
    return Case(case.identity, case.images, case.geometry, case.brain)
