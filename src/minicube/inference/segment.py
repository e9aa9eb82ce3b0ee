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
from minicube.engines.calibration import Calibration, Measuring, calibrated
from minicube.inference.averaging import CLASSES, Probabilities, ProbabilitySum, Run
from minicube.inference.memory import (
    MemoryPlan,
    Needs,
    check_preparation,
    plan_ahead,
    plan_case,
)
from minicube.inference.postprocess import PostProcessing, postprocess
from minicube.inference.quality import quality_warnings
from minicube.inference.segmentation import Segmentation
from minicube.inference.shipped import model_place, shipped_model
from minicube.planning import in_words
from minicube.scans import Case, LabelMap, Region, undeterminable, without_enhancement
from minicube.volumes import Prepared, Shape, even, prepare, restore

__all__ = [
    "Limits",
    "Refinements",
    "Segmenter",
    "least_enhancing_of",
    "segment",
]


@dataclass(frozen=True)
class Limits:
    """What a segmentation may use.

    Args:
        memory: Bytes of the whole process; None sets no limit.
        precision: Number format, as for :func:`minicube.engines.open_engine`.
        engine: What runs the network.
        threads: Of the engine; None for all cores.
    """

    memory: int | None = None
    precision: Precision = Precision.AUTO
    engine: EngineName = EngineName.AUTO
    threads: int | None = None


@dataclass(frozen=True)
class Refinements:
    """What is done beside one run of each network; nothing, unless asked for.

    Args:
        mirror: Take the mean with the head that has left and right exchanged.
        even: Take the mean with the scans whose shading was taken out.
        probabilities: Keep the probabilities.
        uncertainty: Keep what the map of uncertainty is made of, which is the same.
        post: Steps after the network.
    """

    mirror: bool = False
    even: bool = False
    probabilities: bool = False
    uncertainty: bool = False
    post: PostProcessing = field(default_factory=PostProcessing)

    @property
    def keeps_probabilities(self) -> bool:
        """Whether probabilities outlast the run."""
        return self.probabilities or self.uncertainty


class Segmenter:
    """One model or several made ready once, for any number of cases.

    Args:
        model: As :func:`minicube.engines.load_model` gives it, the shipped one by default; of
            several, the mean of their probabilities counts.
        limits: Of memory and precision.
        refinements: Beside one run of each network.
        measuring: Called while an engine is measured, the first time that memory is limited.

    Raises:
        InputError: The engine is not installed, the weights are damaged, the memory is too
            little for any case, or the models want scans prepared in different ways.
    """

    def __init__(
        self,
        model: Model | Sequence[Model] | None = None,
        limits: Limits | None = None,
        refinements: Refinements | None = None,
        measuring: Measuring = lambda done, of: None,
    ) -> None:
        given = [model] if isinstance(model, Model) else list(model or [])
        self.models = tuple(given or [shipped_model()])
        _check_prepared_alike(self.models)
        self._refine = refinements or Refinements()
        limits = limits or Limits()
        self._memory = limits.memory
        self._members = [_Member.ready(model, limits, measuring) for model in self.models]

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
        case = replace(case, warnings=(*case.warnings, *quality_warnings(case, prepared)))
        found, plan, probabilities = self._run(prepared, planned)
        labels = restore(found, prepared.frame)
        if undeterminable(case.images):
            labels = without_enhancement(labels)
        how = self._refine.post.or_else(least_enhancing_of(self.models))
        voxel_ml, least = case.geometry.voxel_ml, how.least_enhancing_ml or 0.0
        labels = postprocess(labels, voxel_ml, replace(how, least_enhancing_ml=0.0))
        tidy = postprocess(labels, voxel_ml, PostProcessing(least_enhancing_ml=least))
        if told := _disbelieved(labels, tidy, voxel_ml, least):
            case = replace(case, warnings=(*case.warnings, told))
        seconds = time.perf_counter() - began
        return Segmentation(case, tidy, self.models, seconds, plan, probabilities, how)

    def foresee(self, shape: Shape) -> MemoryPlan | None:
        """How a case would be kept within the memory, before there is one; None without a limit.

        Args:
            shape: Voxels of the brain's box along x, y, z at 1 mm.

        Raises:
            InputError: It could not be.
        """
        if self._memory is None:
            return None
        plans = []
        for member in self._members:
            takes = self._takes(member, shape)
            assert takes is not None
            takes = takes.with_more(self._beside(member, shape))
            plans.append(plan_ahead(member.needs, shape, self._memory, takes))
        return _together(plans, len(plans))

    @property
    def _averages(self) -> bool:
        refine = self._refine
        return len(self.models) > 1 or refine.mirror or refine.even or refine.keeps_probabilities

    def _run(
        self, prepared: Prepared, planned: Callable[[MemoryPlan], None] | None
    ) -> tuple[LabelMap, MemoryPlan | None, Probabilities | None]:
        views = [prepared, even(prepared)] if self._refine.even else [prepared]
        ways = {model.description.normalisation for model in self.models}
        images = {way: [view.images_as(way) for view in views] for way in ways}
        shape = HeldImages(prepared.images).shape
        total = ProbabilitySum(shape) if self._averages else None
        plans = [self._plan(member, shape) for member in self._members]
        runs = [
            [
                Run(
                    member.engine,
                    seen,
                    member.description.cut if plan is None else plan.cut,
                    temperature=member.description.temperature,
                )
                for seen in images[member.description.normalisation]
            ]
            for member, plan in zip(self._members, plans, strict=True)
        ]
        times = len(runs) * len(views) * (2 if self._refine.mirror else 1)
        plan = _together([plan for plan in plans if plan is not None], times)
        if plan is not None and self._refine.keeps_probabilities:
            plan = plan.with_maps(prepared.frame)
        if plan is not None and planned is not None:
            planned(plan)
        for member, its in zip(self._members, runs, strict=True):
            labels = self._through(member, its, total)
        if total is None:
            return labels, plan, None
        found = Probabilities(total.mean(), prepared.frame)
        if times > 1:
            labels = found.likeliest()
        if not self._refine.keeps_probabilities:
            return labels, plan, None
        if undeterminable(prepared.present):
            found = found.without_enhancement()
        return labels, plan, found

    def _through(self, member: _Member, runs: list[Run], total: ProbabilitySum | None) -> LabelMap:
        """The likeliest classes by a member's last run; its probabilities go to the total."""
        try:
            for run in runs:
                if total is None:
                    return segment_volume(run.engine, run.images, run.cut)
                labels = total.add(run)
                if self._refine.mirror:
                    labels = total.add(replace(run, mirrored=True))
            return labels
        finally:
            if self._memory is not None:  # else the next network, and case, had less of it
                member.engine.let_go()
                give_back_freed_memory()

    def _beside(self, member: _Member, shape: Shape) -> int:
        """Bytes that a case holds beside a run, but for the images as they are."""
        averaged = CLASSES if self._averages else 0
        evened = member.engine.cost.sequences if self._refine.even else 0
        return _bytes_of(averaged + evened, shape)

    def _check_preparation(self, shape: Shape) -> None:
        for member in self._members:
            takes = self._takes(member, shape)
            if takes is not None and self._memory is not None:
                takes = takes.with_more(self._beside(member, shape))
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
    def ready(cls, model: Model, limits: Limits, measuring: Measuring) -> _Member:
        takes = None
        if limits.memory is not None:
            takes = calibrated(
                model, limits.engine, limits.precision, limits.threads, measuring=measuring
            )
            _check_any_fits(limits.memory, takes)
            give_back_freed_memory()
        engine = open_engine(
            model, engine=limits.engine, precision=limits.precision, threads=limits.threads
        )
        return cls(model, engine, takes)

    @property
    def description(self) -> ModelDescription:
        return self.model.description

    @property
    def needs(self) -> Needs:
        return Needs(self.engine.cost, self.description.cut, self.engine.feature_bytes)


def least_enhancing_of(models: Sequence[Model]) -> float:
    """Millilitres of enhancing tumour from which on it is believed: the most that a model says."""
    return max(model.description.least_enhancing_ml for model in models)


def _disbelieved(found: LabelMap, tidy: LabelMap, voxel_ml: float, least: float) -> str | None:
    """Say that a little enhancing tumour was found and is not shown as that."""
    ml = float(np.count_nonzero(found.region(Region.ET)) * voxel_ml)
    if not 0 < ml < least or tidy.region(Region.ET).any():
        return None
    return (
        f"{ml:.2f} ml of enhancing tumour was found and is counted as core: less than {least:g} ml "
        "is not believed"
    )


def segment(case: Case, model: Path | str | None = None) -> Segmentation:
    """Segment a case with a trained model.

    Args:
        case: From :func:`minicube.load_case`.
        model: A run folder, an exported file, or the name of a model inside the package, which
            is ``"default"`` when left out.

    Raises:
        InputError: The case or the model cannot be used.
    """
    return Segmenter(None if model is None else load_model(model_place(model))).segment(case)


def _check_any_fits(memory: int, takes: Calibration) -> None:
    if memory < takes.least:
        raise InputError(
            f"{in_words(memory)} are too little for any case.",
            expected=f"more than {in_words(takes.least)}, which the engine takes on this machine",
        )


def _without_reference(case: Case) -> Case:
    """A reference that came along is not the network's business, nor its resampling's cost."""
    return Case(case.identity, case.images, case.geometry, case.brain)


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
