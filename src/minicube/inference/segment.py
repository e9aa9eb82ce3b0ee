"""One case through one model."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minicube._errors import InputError, MissingExtra
from minicube._machine import give_back_freed_memory
from minicube.engines import Model, Precision, load_model, segment_volume
from minicube.engines.calibration import Calibration, calibrated
from minicube.engines.engine import HeldImages
from minicube.inference.memory import MemoryPlan, Needs, check_preparation, plan_case
from minicube.planning import in_words
from minicube.scans import (
    Case,
    LabelMap,
    LabelScheme,
    Region,
    Tissue,
    write_label_map,
)
from minicube.volumes import Intensities, prepare, restore

if TYPE_CHECKING:
    from minicube.engines.torch_engine import TorchEngine

__all__ = ["Limits", "Segmentation", "Segmenter", "segment", "shipped_model"]

DEFAULT_SCHEME = LabelScheme.BRATS2023


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The labels found in a case.

    Args:
        case: What was segmented.
        labels: On the case's RAS+ grid.
        model: What segmented it.
        seconds: Time it took, preparation included, reading and writing not.
        plan: How it was kept within a memory budget, where there was one.
    """

    case: Case
    labels: LabelMap
    model: Model
    seconds: float
    plan: MemoryPlan | None = None

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


@dataclass(frozen=True)
class Limits:
    """What a segmentation may use.

    Args:
        memory: Bytes of the whole process; None sets no limit.
        precision: Number format; "auto" takes bf16 where the processor has it and the model
            was not made for raw intensities.
    """

    memory: int | None = None
    precision: Precision = Precision.AUTO


class Segmenter:
    """A model made ready once, for any number of cases.

    Args:
        model: As :func:`minicube.engines.load_model` gives it; the shipped one by default.
        limits: Of memory and precision.

    Raises:
        InputError: PyTorch is not installed, the weights are damaged, or the memory is too
            little for any case.
    """

    def __init__(self, model: Model | None = None, limits: Limits | None = None) -> None:
        self.model = model or shipped_model()
        self._memory = None if limits is None else limits.memory
        self._takes = None if self._memory is None else _calibrated(self._memory)
        self._engine = _engine(self.model, Precision.AUTO if limits is None else limits.precision)

    @property
    def is_frugal(self) -> bool:
        """Whether cases had better leave their images on disk."""
        return self._memory is not None

    def segment(
        self, case: Case, planned: Callable[[MemoryPlan], None] | None = None
    ) -> Segmentation:
        """Segment one case.

        Args:
            case: From :func:`minicube.load_case`.
            planned: Is told the plan, where there is one, before the network runs.

        Raises:
            InputError: It cannot be prepared, or not be kept within the memory.
        """
        began = time.perf_counter()
        description = self.model.description
        limits = self._limits()
        if limits is not None:
            check_preparation(limits[0], case.shape, *limits[1:])
        prepared = prepare(_without_reference(case), denoise=description.denoise)
        images = prepared.images_as(description.normalisation)
        shape = HeldImages(images).shape
        plan = None if limits is None else plan_case(limits[0], shape, *limits[1:])
        if plan is not None and planned is not None:
            planned(plan)
        found = segment_volume(self._engine, images, description.cut if plan is None else plan.cut)
        labels = restore(found, prepared.frame)
        return Segmentation(case, labels, self.model, time.perf_counter() - began, plan)

    def _limits(self) -> tuple[Needs, int, Calibration] | None:
        if self._memory is None or self._takes is None:
            return None
        engine = self._engine
        needs = Needs(engine.cost, self.model.description.cut, engine.feature_bytes)
        return needs, self._memory, self._takes


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


def _engine(model: Model, precision: Precision) -> TorchEngine:
    if find_spec("torch") is None:
        raise MissingExtra("Segmenting", "train")
    from minicube.engines.torch_engine import TorchEngine, has_bf16, load_network

    # Raw intensities need more digits than bf16 has; such models were trained in fp32.
    z_scores = model.description.normalisation is Intensities.Z_SCORE
    bf16 = (z_scores and has_bf16()) if precision is Precision.AUTO else precision is Precision.BF16
    return TorchEngine(load_network(model), bf16=bf16, cost=model.description.cost)


def _calibrated(memory: int) -> Calibration:
    if find_spec("torch") is None:
        raise MissingExtra("Segmenting", "train")
    takes = calibrated()
    least = takes.base + takes.scratch
    if memory < least:
        raise InputError(
            f"{in_words(memory)} are too little for any case.",
            expected=f"more than {in_words(least)}, which the engine takes on this machine",
        )
    give_back_freed_memory()
    return takes


def _without_reference(case: Case) -> Case:
    """A reference that came along is not the network's business, nor its resampling's cost."""
    return Case(case.identity, case.images, case.geometry, case.brain)
