"""One case through one model, or through several."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from minicube._errors import InputError
from minicube._machine import give_back_freed_memory
from minicube._version import __version__
from minicube.engines import (
    AnyEngine,
    EngineName,
    HeldImages,
    Model,
    ModelDescription,
    Precision,
    load_model,
    open_engine,
    segment_volume,
)
from minicube.engines.calibration import Calibration, calibrated
from minicube.inference.averaging import CLASSES, Probabilities, ProbabilitySum, Run
from minicube.inference.memory import MemoryPlan, Needs, check_preparation, plan_case
from minicube.inference.postprocess import PostProcessing, postprocess
from minicube.planning import in_words
from minicube.scans import (
    Case,
    LabelMap,
    LabelScheme,
    Region,
    Tissue,
    write_label_map,
    write_probability_map,
)
from minicube.volumes import Prepared, Shape, prepare, restore

__all__ = [
    "Limits",
    "Refinements",
    "Segmentation",
    "Segmenter",
    "probability_files",
    "segment",
    "shipped_model",
]

DEFAULT_SCHEME = LabelScheme.BRATS2023


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The labels found in a case.

    Args:
        case: What was segmented.
        labels: On the case's RAS+ grid.
        models: What segmented it; of several, the mean of their probabilities did.
        seconds: Time it took, preparation included, reading and writing not.
        plan: How it was kept within a memory budget, where there was one.
        probabilities: Before post-processing, where they were asked for.
    """

    case: Case
    labels: LabelMap
    models: tuple[Model, ...]
    seconds: float
    plan: MemoryPlan | None = None
    probabilities: Probabilities | None = None

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

    def save_probabilities(self, folder: Path | str, *, overwrite: bool = True) -> list[Path]:
        """Write a map of each region's probability in the geometry of the input.

        Args:
            folder: The files are named as :func:`probability_files` says.
            overwrite: False refuses to replace an existing file.

        Raises:
            InputError: They were not asked for, or a file cannot be written.
        """
        if self.probabilities is None:
            raise InputError("Probabilities were not kept.", hint="ask for them: Refinements")
        files = probability_files(Path(folder), self.case.identity)
        geometry = self.case.geometry
        for region, path in files.items():
            array = geometry.from_ras(self.probabilities.of(region))
            write_probability_map(path, array, geometry, overwrite=overwrite)
        return list(files.values())

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel, millilitres."""
        return _voxel_ml(self.case)

    @property
    def provenance(self) -> dict[str, str]:
        """What made it, in words for a report."""
        described = [model.description for model in self.models]
        return {
            "minicube": __version__,
            "model": " + ".join(f"{d.name} ({d.network}, {d.steps} steps)" for d in described),
            "trained on": " + ".join(dict.fromkeys(d.trained_on for d in described)),
            "checksum of the weights": " ".join(d.sha256[:16] for d in described),
            "time": f"{self.seconds:.1f} s",
        }

    @property
    def volumes_ml(self) -> dict[str, float]:
        """Millilitres of each tissue found and of the regions WT, TC, ET."""
        voxels = self.labels.array.ravel(order="K")
        counts = np.bincount(voxels[voxels > 0], minlength=256)
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
        precision: Number format, as for :func:`minicube.engines.open_engine`.
        engine: What runs the network.
    """

    memory: int | None = None
    precision: Precision = Precision.AUTO
    engine: EngineName = EngineName.AUTO


@dataclass(frozen=True)
class Refinements:
    """What is done beside one run of each network; nothing, unless asked for.

    Args:
        mirror: Take the mean with the head that has left and right exchanged.
        probabilities: Keep the probabilities.
        post: Steps after the network.
    """

    mirror: bool = False
    probabilities: bool = False
    post: PostProcessing = field(default_factory=PostProcessing)


class Segmenter:
    """One model or several made ready once, for any number of cases.

    Args:
        model: As :func:`minicube.engines.load_model` gives it, the shipped one by default; of
            several, the mean of their probabilities counts.
        limits: Of memory and precision.
        refinements: Beside one run of each network.

    Raises:
        InputError: The engine is not installed, the weights are damaged, the memory is too
            little for any case, or the models want scans prepared in different ways.
    """

    def __init__(
        self,
        model: Model | Sequence[Model] | None = None,
        limits: Limits | None = None,
        refinements: Refinements | None = None,
    ) -> None:
        given = [model] if isinstance(model, Model) else list(model or [])
        self.models = tuple(given or [shipped_model()])
        _check_prepared_alike(self.models)
        self._refine = refinements or Refinements()
        limits = limits or Limits()
        self._memory = limits.memory
        self._members = [_Member.ready(model, limits) for model in self.models]

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
            planned: Told how it is kept within the memory, before the network runs.

        Raises:
            InputError: It cannot be prepared, or not be kept within the memory.
        """
        began = time.perf_counter()
        self._check_preparation(case.shape)
        denoise = self.models[0].description.denoise
        prepared = prepare(_without_reference(case), denoise=denoise)
        found, plan, probabilities = self._run(prepared, planned)
        labels = restore(found, prepared.frame)
        labels = postprocess(labels, _voxel_ml(case), self._refine.post)
        seconds = time.perf_counter() - began
        return Segmentation(case, labels, self.models, seconds, plan, probabilities)

    @property
    def _averages(self) -> bool:
        refine = self._refine
        return len(self.models) > 1 or refine.mirror or refine.probabilities

    def _run(
        self, prepared: Prepared, planned: Callable[[MemoryPlan], None] | None
    ) -> tuple[LabelMap, MemoryPlan | None, Probabilities | None]:
        ways = {model.description.normalisation for model in self.models}
        images = {way: prepared.images_as(way) for way in ways}
        shape = HeldImages(prepared.images).shape
        total = ProbabilitySum(shape) if self._averages else None
        plans = [self._plan(member, shape) for member in self._members]
        runs = [
            Run(
                member.engine,
                images[member.description.normalisation],
                member.description.cut if plan is None else plan.cut,
            )
            for member, plan in zip(self._members, plans, strict=True)
        ]
        if self._refine.mirror:
            runs += [replace(run, mirrored=True) for run in runs]
        plan = _together([plan for plan in plans if plan is not None], len(runs))
        if plan is not None and planned is not None:
            planned(plan)
        if total is None:
            return segment_volume(runs[0].engine, runs[0].images, runs[0].cut), plan, None
        for run in runs:
            labels = total.add(run)
        found = Probabilities(total.mean(), prepared.frame)
        if len(runs) > 1:
            labels = found.likeliest()
        return labels, plan, found if self._refine.probabilities else None

    def _check_preparation(self, shape: Shape) -> None:
        for member in self._members:
            takes = self._takes(member, shape)
            if takes is not None and self._memory is not None:
                averaging = _bytes_of(CLASSES, shape) if self._averages else 0
                takes = takes.with_more(averaging)
                check_preparation(member.needs, shape, self._memory, takes)

    def _plan(self, member: _Member, shape: Shape) -> MemoryPlan | None:
        takes = self._takes(member, shape)
        if takes is None or self._memory is None:
            return None
        return plan_case(member.needs, shape, self._memory, takes)

    def _takes(self, member: _Member, shape: Shape) -> Calibration | None:
        takes = member.takes
        if takes is None or not self._refine.mirror:
            return takes
        # A window turned round is a copy.
        turned = _bytes_of(member.engine.cost.sequences, shape)
        return takes.with_more(turned)


@dataclass(frozen=True)
class _Member:
    """A model, what runs it, and what that takes where memory is limited."""

    model: Model
    engine: AnyEngine
    takes: Calibration | None

    @classmethod
    def ready(cls, model: Model, limits: Limits) -> _Member:
        takes = None
        if limits.memory is not None:
            takes = calibrated(model, limits.engine, limits.precision)
            _check_any_fits(limits.memory, takes)
            give_back_freed_memory()
        engine = open_engine(model, engine=limits.engine, precision=limits.precision)
        return cls(model, engine, takes)

    @property
    def description(self) -> ModelDescription:
        return self.model.description

    @property
    def needs(self) -> Needs:
        return Needs(self.engine.cost, self.description.cut, self.engine.feature_bytes)


def segment(case: Case, model: Path | str | None = None) -> Segmentation:
    """Segment a case with a trained model.

    Args:
        case: From :func:`minicube.load_case`.
        model: A run folder; the shipped model when left out.

    Raises:
        InputError: The case or the model cannot be used.
    """
    return Segmenter(None if model is None else load_model(Path(model))).segment(case)


def probability_files(folder: Path, identity: str) -> dict[Region, Path]:
    """Where the probabilities of a case are written.

    Args:
        folder: Of the maps.
        identity: Name of the case.
    """
    return {region: folder / f"{identity}_{region.value}.nii.gz" for region in Region}


def shipped_model() -> Model:
    """The model inside the package."""
    return load_model(Path(__file__).parents[1] / "weights" / "provisional")


def _check_any_fits(memory: int, takes: Calibration) -> None:
    if memory < takes.least:
        raise InputError(
            f"{in_words(memory)} are too little for any case.",
            expected=f"more than {in_words(takes.least)}, which the engine takes on this machine",
        )


def _without_reference(case: Case) -> Case:
    """A reference that came along is not the network's business, nor its resampling's cost."""
    return Case(case.identity, case.images, case.geometry, case.brain)


def _voxel_ml(case: Case) -> float:
    return float(np.prod(case.spacing)) / 1000


def _bytes_of(channels: int, shape: Shape) -> int:
    return channels * math.prod(shape) * np.dtype(np.float32).itemsize


def _together(plans: list[MemoryPlan], runs: int) -> MemoryPlan | None:
    """The plan of the run that holds most, with the time of all."""
    if not plans:
        return None
    seconds = sum(plan.seconds for plan in plans) * runs / len(plans)
    return replace(max(plans, key=lambda plan: plan.predicted), seconds=seconds)


def _check_prepared_alike(models: tuple[Model, ...]) -> None:
    if len({model.description.denoise for model in models}) > 1:
        raise InputError(
            "These models cannot be averaged: they want scans prepared in different ways.",
            found="some take noise away first (denoise), some do not",
            hint="give --model only models that were trained alike in this",
        )
