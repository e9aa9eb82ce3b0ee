"""A study as a list of trainings, each of which can be made on its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from minicube.engines import Cut
from minicube.study.setting import CaseFacts, Plan
from minicube.study.systems import ABLATION_BASES, AS_REPORTED, SYSTEMS, ablation_rows
from minicube.training import TrainingConfig
from minicube.volumes import REPORT_MINICUBE

__all__ = ["CONTEXTS", "CONTEXT_SYSTEM", "PHANTOM", "REAL", "Unit", "units_of"]

REAL, PHANTOM = "real", "phantom"
_PRETRAINING = "pretraining"
ABLATION_FOLD = 0

CONTEXT_SYSTEM: Final = "unet3d-report"
"""Its minicubes are predicted again with context; it was trained without."""

CONTEXTS: Final[Mapping[str, Cut | None]] = {
    "10": Cut(REPORT_MINICUBE, 10),
    "20": Cut(REPORT_MINICUBE, 20),
    "whole volume": None,
}
"""How, by the amount of context; uncut, the volume is what exact parts would give."""
_PROBED = 8  # points of a loss curve


@dataclass(frozen=True)
class Unit:
    """One training and the predictions that follow it.

    Args:
        name: Also that of its files: ``system/fold-0-seed-0``.
        system: That it belongs to; "ablation" for a row of it.
        fold: That it is tested in; None for pre-training.
        seed: Of weights and samples.
        config: Whole, steps included.
        learns_from: Cases; a name that stands there twice is seen twice an epoch.
        tests: Cases never learnt from; predicted in the end.
        start: The unit whose weights it begins with.
    """

    name: str
    system: str
    fold: int | None
    seed: int
    config: TrainingConfig
    learns_from: tuple[str, ...]
    tests: tuple[str, ...]
    start: str | None = None


def units_of(plan: Plan) -> list[Unit]:
    """All trainings of a study in the order they are made.

    The report's systems repaired come first, in all seeds, then its own setting, the ablation, and
    last what it discussed and did not run.
    """
    names = plan.setting.systems
    reported = [name for name in names if name + AS_REPORTED in SYSTEMS]
    units = _all_seeds(plan, reported)
    if plan.setting.as_reported:
        first = plan.setting.seeds[0]
        units += [u for name in reported for u in _system(plan, name + AS_REPORTED, first)]
    if plan.setting.ablation_minutes:
        units += _ablation(plan)
    return units + _all_seeds(plan, [name for name in names if name not in reported])


def steps_in(plan: Plan, timed_as: str, minutes: float) -> int:
    """Steps that fit into so many minutes, as measured before the study began."""
    return max(1, round(minutes * 60 / plan.seconds_a_step[timed_as]))


def _all_seeds(plan: Plan, names: Sequence[str]) -> list[Unit]:
    """Every fold with the first seed, then fold 0 with the others."""
    first, *more = plan.setting.seeds
    units = [unit for name in names for unit in _system(plan, name, first)]
    again = [unit for seed in more for name in names for unit in _system(plan, name, seed)]
    return units + [unit for unit in again if unit.fold == 0]


def _system(plan: Plan, name: str, seed: int) -> Iterator[Unit]:
    system, setting = SYSTEMS[name], plan.setting
    before = setting.minutes * setting.pretraining_share if _is_pretrained(plan) else 0.0
    start = None
    if before:
        start = f"{name}/{_PRETRAINING}"
        if seed == setting.seeds[0]:
            config = _settled(system.config, steps_in(plan, name, before), seed)
            cases = [c for c in plan.cases if c.group == PHANTOM]
            yield Unit(
                start,
                name,
                None,
                seed,
                config,
                learns_from=tuple(c.case for c in cases if c.fold is None),
                tests=tuple(c.case for c in cases if c.fold is not None),
            )
    config = _settled(system.config, steps_in(plan, name, setting.minutes - before), seed)
    for fold in plan.folds:
        learns, tests = _material(plan, fold)
        yield Unit(
            f"{name}/fold-{fold}-seed-{seed}", name, fold, seed, config, learns, tests, start
        )


def _ablation(plan: Plan) -> list[Unit]:
    """Rows of a side make as many steps as its base: one thing is changed, not two."""
    learns, tests = _material(plan, ABLATION_FOLD)
    group = {case.case: case.group for case in plan.cases}
    real = tuple(name for name in tests if group[name] == REAL)
    seed, minutes = plan.setting.seeds[0], plan.setting.ablation_minutes
    steps = {side: steps_in(plan, name, minutes) for side, name in ABLATION_BASES.items()}
    return [
        Unit(
            row.name,
            "ablation",
            ABLATION_FOLD,
            seed,
            _settled(row.config, steps[row.side], seed),
            learns,
            real or tests,
        )
        for row in ablation_rows()
    ]


def _is_pretrained(plan: Plan) -> bool:
    groups = {case.group for case in plan.cases if case.group == REAL or case.fold is None}
    return groups == {REAL, PHANTOM} and plan.setting.pretraining_share > 0


def _settled(config: TrainingConfig, steps: int, seed: int) -> TrainingConfig:
    warmup = min(config.warmup, steps // 10)
    settled = {"steps": steps, "seed": seed, "warmup": warmup, "validations": _PROBED}
    return config.model_copy(update=settled)


def _material(plan: Plan, fold: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a fold learns from and is tested on; real cases repeated to make up their share."""
    learns = [case for case in plan.cases if case.fold != fold and _may_be_learnt(case)]
    tests = tuple(case.case for case in plan.cases if case.fold == fold)
    real = [case.case for case in learns if case.group == REAL]
    phantoms = [case.case for case in learns if case.group == PHANTOM]
    share = plan.setting.real_share
    times = max(1, round(len(phantoms) * share / (1 - share) / len(real))) if real else 0
    return _interleaved(real * times, phantoms), tests


def _interleaved(more: list[str], fewer: list[str]) -> tuple[str, ...]:
    """Both in their order, evenly mixed: a training that does not shuffle sees them alike."""
    places = [
        ((i + 0.5) / len(names), name) for names in (more, fewer) for i, name in enumerate(names)
    ]
    return tuple(name for _, name in sorted(places, key=lambda place: place[0]))


def _may_be_learnt(case: CaseFacts) -> bool:
    """Unseen phantoms stay unseen in every fold: they are of seeds that nothing learns from."""
    return case.group == REAL or case.fold is None
