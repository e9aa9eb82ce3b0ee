"""What is done with each case that ``minicube segment`` was given, and how it was asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from minicube._preparing import PrepareName, carried_back, pictured, read
from minicube.cli._targets import Target

if TYPE_CHECKING:
    from minicube.engines import Model
    from minicube.inference import Limits, Made, MemoryPlan, Refinements, Segmentation, Segmenter
    from minicube.preparation import PreparedScan
    from minicube.scans import Case, LabelScheme
    from minicube.volumes import Origin

__all__ = ["Found", "Loaded", "Request", "Work", "limits_of", "loaded"]


def limits_of(memory: str | None, precision: str, engine: str) -> Limits:
    """What a segmentation may use, as the options say it.

    Raises:
        InputError: The memory cannot be read.
    """
    from minicube.engines import EngineName, Precision
    from minicube.inference import Limits
    from minicube.planning import parse_memory

    budget = None if memory is None else parse_memory(memory)
    return Limits(budget, Precision(precision), EngineName(engine))


@dataclass(frozen=True)
class Request:
    """What was asked for, whatever the case.

    Args:
        models: Run folders or exported files; none means the shipped model.
        scheme: Of the label maps.
        limits: Of memory and precision.
        refinements: Beside one run of each network.
        jobs: Cases computed at once.
        overwrite: False refuses to replace existing files.
        prepare: Whether raw scans are registered and stripped here.
    """

    models: Sequence[Path]
    scheme: LabelScheme
    limits: Limits
    refinements: Refinements
    jobs: int
    overwrite: bool
    prepare: PrepareName = "auto"

    def options(self, models: Sequence[Model]) -> dict[str, str]:
        """All that changes what is written, beside models and scans; models say some of it."""
        from minicube.inference import least_enhancing_of

        chosen = {
            "labels": self.scheme.value,
            "precision": self.limits.precision.value,
            "engine": self.limits.engine.value,
            "mirror": self.refinements.mirror,
            "even": self.refinements.even,
            "prepare": self.prepare,
            **asdict(self.refinements.post.or_else(least_enhancing_of(models))),
        }
        return {name: str(value) for name, value in chosen.items()}

    def load_models(self) -> list[Model]:
        """All that are averaged.

        Raises:
            InputError: One cannot be used.
        """
        from minicube.engines import load_model
        from minicube.inference import shipped_model

        return [load_model(place) for place in self.models] or [shipped_model()]

    def settings(self, models: Sequence[Model]) -> str:
        """A name for all but the scans that what is written depends on."""
        from minicube.inference import settings_of

        known = settings_of(models, self.options(models))
        return sha256(repr(sorted(known.items())).encode()).hexdigest()[:32]


@dataclass(frozen=True, eq=False)
class Loaded:
    """A case that was read.

    Args:
        case: For the network.
        prepared: What it was made of, where the scans were raw.
        origin: What its results will have been made from.
    """

    case: Case
    prepared: PreparedScan | None
    origin: Origin


@dataclass(frozen=True, eq=False)
class Found:
    """A case that was segmented.

    Args:
        result: On the grid of the scan.
        loaded: What it was found in.
    """

    result: Segmentation
    loaded: Loaded


def loaded(target: Target, request: Request, models: Sequence[Model], *, frugal: bool) -> Loaded:
    """Read a case, and note what its results will have been made from."""
    from minicube.inference import origin_of_segmentation

    # Before it is read: a change in between is noticed later.
    origin = origin_of_segmentation(target.case, models, request.options(models))
    case, prepared = read(target.case, request.prepare, frugal=frugal)
    return Loaded(case, prepared, origin)


class Work:
    """Reads, computes and writes cases.

    Args:
        request: How.
        models: Its own, loaded.
        planned: Told the name of a case and how it is kept within the memory.
        measuring: Told how far the engine is measured, where it has to be.

    Raises:
        InputError: A model cannot be used, or the memory is too little for any case.
    """

    def __init__(
        self,
        request: Request,
        models: Sequence[Model],
        planned: Callable[[str, MemoryPlan], None],
        measuring: Callable[[int, int], None],
    ) -> None:
        from minicube.inference import Segmenter

        self._request, self._planned = request, planned
        # One for each case that is computed at a time: an engine runs one case.
        segmenters = [
            Segmenter(models, request.limits, request.refinements, measuring)
            for _ in range(request.jobs)
        ]
        self._models, self._frugal = segmenters[0].models, segmenters[0].is_frugal
        self._idle: SimpleQueue[Segmenter] = SimpleQueue()
        for segmenter in segmenters:
            self._idle.put(segmenter)

    @cached_property
    def settings(self) -> str:
        """A name for all but the scans that what is written depends on."""
        return self._request.settings(self._models)

    def made_before(self, target: Target) -> dict[str, Any] | None:
        """The row of a case that needs not be segmented again."""
        from minicube.inference import made_before, origin_of_segmentation

        options = self._request.options(self._models)
        origin = partial(origin_of_segmentation, target.case, self._models, options)
        made = made_before(target.out, target.outputs, origin)
        return None if made is None else self._row(target, made) | {"made_before": True}

    def read(self, target: Target) -> Loaded:
        """The case, and what its results will have been made from."""
        return loaded(target, self._request, self._models, frugal=self._frugal)

    def compute(self, loaded: Loaded) -> Found:
        """Segment a case."""
        case, prepared = loaded.case, loaded.prepared
        segmenter = self._idle.get()
        try:
            result = segmenter.segment(case, partial(self._planned, case.identity))
        finally:
            self._idle.put(segmenter)
        return Found(result if prepared is None else carried_back(result, prepared), loaded)

    def write(self, target: Target, found: Found) -> dict[str, Any]:
        """Write all that is wanted of a case; returns its row."""
        from minicube.inference import Made, keep_made

        result, origin, places = found.result, found.loaded.origin, target.places
        scheme, overwrite = self._request.scheme, self._request.overwrite
        result.save(places.out, scheme=scheme, overwrite=overwrite)
        if places.probabilities is not None:
            result.save_probabilities(places.probabilities, overwrite=overwrite)
        if places.uncertainty is not None:
            result.save_uncertainty(places.uncertainty, overwrite=overwrite)
        if places.report is not None:
            _write_report(places.report, found, scheme, overwrite=overwrite)
        made = Made(
            volumes_ml=result.volumes_ml,
            seconds=round(result.seconds, 2),
            warnings=list(result.case.warnings),
        )
        keep_made(target.out, origin, target.outputs, made)
        return self._row(target, made) | {"memory": _memory(result)}

    def whole(self, target: Target) -> dict[str, Any]:
        """Do all of a case, unless that needs not be; returns its row."""
        made = self.made_before(target)
        return self.write(target, self.compute(self.read(target))) if made is None else made

    def _row(self, target: Target, made: Made) -> dict[str, Any]:
        from minicube.scans import absent_from, undeterminable

        scheme, present = self._request.scheme, target.case.sequences
        return {
            "case": target.case.identity,
            "output": str(target.out),
            "label_scheme": scheme.value,
            "labels": {str(value): tissue.value for value, tissue in scheme.tissues.items()},
            "volumes_ml": made.volumes_ml,
            "absent_sequences": [sequence.value for sequence in absent_from(present)],
            "not_determinable": [region.value for region in undeterminable(present)],
            "model": " + ".join(model.description.name for model in self._models),
            "settings": self.settings,
            "seconds": made.seconds,
            "memory": None,
            "warnings": made.warnings,
            "note": "research use only, not a medical device",
        }


def _memory(result: Segmentation) -> dict[str, Any] | None:
    from minicube._machine import peak_memory

    if result.plan is None:
        return None
    return result.plan.to_dict() | {"peak_bytes": peak_memory()}


def _write_report(path: Path, found: Found, scheme: LabelScheme, *, overwrite: bool) -> None:
    from minicube.reporting import case_report, write_report

    result, prepared = found.result, found.loaded.prepared
    # In the scheme of the file, so that the values on the page are those in it.
    html = case_report(
        result.case,
        result.labels.to(scheme),
        scores=None,
        provenance=result.provenance,
        preparation=None if prepared is None else pictured(prepared),
    )
    write_report(path, html, overwrite=overwrite)
