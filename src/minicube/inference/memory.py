"""A case within a memory budget: what to cut, and what that will take."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from minicube._errors import InputError
from minicube._machine import resident_memory
from minicube.engines import Cut
from minicube.engines.calibration import Calibration
from minicube.planning import (
    NetworkCost,
    Partition,
    Task,
    in_words,
    least_bytes,
    plan_partition,
)
from minicube.volumes import Frame, Shape

__all__ = ["MemoryPlan", "Needs", "check_preparation", "plan_ahead", "plan_case"]


_FLOAT = 4
_MASKS = 2  # bytes a voxel: the brain, on the scan's grid and on the network's
_MAP = 8  # bytes a voxel of the scan, while a map of probabilities is written
_PREPARING = 16  # bytes a voxel of the scan, while it is prepared
_SLACK = 1.03  # of all that is held: pages, small blocks, what Python does meanwhile
_SPREAD = 24 << 20  # what one run held more than another, at the most


@dataclass(frozen=True)
class MemoryPlan:
    """How a case is kept within a budget.

    Args:
        cut: Parts that give the answer of the whole, or the model's own, or None: whole.
        budget: Bytes of the process, all in all.
        predicted: Most it will hold, bytes.
        overhead: Operations over those of the whole volume at once.
        seconds: That the network will take, about.
    """

    cut: Cut | Partition | None
    budget: int
    predicted: int
    overhead: float
    seconds: float

    def with_maps(self, frame: Frame) -> MemoryPlan:
        """The same where maps of probabilities are written afterwards, one after another.

        Called when all but the network is already in memory.

        Args:
            frame: Of the prepared case.

        Raises:
            InputError: The budget is too little for that.
        """
        made = math.prod(frame.network_shape) * _FLOAT + math.prod(frame.case_shape) * _MAP
        writing = int(((resident_memory() or 0) + made + _SPREAD) * _SLACK)
        if writing > self.budget:
            raise _too_small(self.budget, writing, "maps of probabilities are to be written")
        return replace(self, predicted=max(self.predicted, writing))

    def in_words(self) -> str:
        """For people."""
        if isinstance(self.cut, Cut):
            how = "in the model's own parts"
        else:
            how = (self.cut or Partition()).in_words()
        return (
            f"{how}; at most {in_words(self.predicted)} of {in_words(self.budget)}, "
            f"{self.overhead:.2f} times the whole volume's work, about {self.seconds:.0f} s"
        )

    def to_dict(self) -> dict[str, Any]:
        """For machines."""
        return {
            "cut": self.in_words().split(";")[0],
            "budget_bytes": self.budget,
            "predicted_bytes": self.predicted,
            "overhead": round(self.overhead, 3),
            "predicted_seconds": round(self.seconds, 1),
        }


@dataclass(frozen=True)
class Needs:
    """What runs: the network's cost, the model's own parts, how many bytes a feature has."""

    cost: NetworkCost
    cut: Cut | None
    feature_bytes: int


def check_preparation(needs: Needs, shape: Shape, budget: int, takes: Calibration) -> None:
    """Refuse, before it is prepared, what could not even be prepared.

    Args:
        needs: What runs.
        shape: Voxels of the scan along x, y, z.
        budget: Bytes of the whole process.
        takes: What the engine takes.

    Raises:
        InputError: The budget is too little; one that is enough whatever the brain's size is
            named.
    """
    resident = resident_memory() or takes.base
    prepared = resident + math.prod(shape) * _PREPARING
    if prepared * _SLACK > budget:
        own = least_bytes(Task(takes.cost or needs.cost, shape, needs.feature_bytes))
        enough = int((prepared + takes.scratch + _SPREAD + own) * _SLACK)
        raise _too_small(budget, enough, None)


def plan_ahead(needs: Needs, shape: Shape, budget: int, takes: Calibration) -> MemoryPlan:
    """Plan a case that is not there yet; as :func:`plan_case`."""
    images = math.prod(shape) * (needs.cost.sequences * _FLOAT + _MASKS)
    return _plan(needs, shape, budget, takes, takes.base + images)


def plan_case(needs: Needs, shape: Shape, budget: int, takes: Calibration) -> MemoryPlan:
    """Plan a prepared case; called when all but the network is already in memory.

    Args:
        needs: What runs.
        shape: Voxels of the prepared images along x, y, z.
        budget: Bytes of the whole process.
        takes: What the engine takes beside what is counted.

    Raises:
        InputError: No cut fits; the smallest budget that would is named.
    """
    return _plan(needs, shape, budget, takes, resident_memory() or takes.base)


def _plan(needs: Needs, shape: Shape, budget: int, takes: Calibration, resident: int) -> MemoryPlan:
    held = resident + takes.scratch + _SPREAD
    task = Task(takes.cost or needs.cost, shape, needs.feature_bytes)
    if needs.cut is not None:
        return _own_parts(needs, task, budget, held, takes)
    plan = plan_partition(task, int(budget / _SLACK) - held)
    if plan is None:
        least = int((held + least_bytes(task)) * _SLACK)
        raise _too_small(budget, least, needs.cost.whole_only)
    seconds = plan.flops / takes.flops_per_second
    predicted = int((held + plan.bytes) * _SLACK)
    return MemoryPlan(plan.partition, budget, predicted, plan.overhead, seconds)


def _own_parts(needs: Needs, task: Task, budget: int, held: int, takes: Calibration) -> MemoryPlan:
    """The model's parts are its answer: they are run as they are, or not at all."""
    assert needs.cut is not None
    part = Task(task.cost, _with_context(needs.cut, needs.cost), needs.feature_bytes)
    predicted = int((held + task.labels + part.whole_bytes) * _SLACK)
    if predicted > budget:
        raise _too_small(budget, predicted, "the model was made to run in parts of its own")
    parts = math.prod(-(-n // size) for n, size in zip(task.shape, needs.cut.minicube, strict=True))
    work = parts * part.whole_flops
    return MemoryPlan(
        needs.cut,
        budget,
        predicted,
        work / task.whole_flops,
        work / takes.flops_per_second,
    )


def _with_context(cut: Cut, cost: NetworkCost) -> Shape:
    """What a part's network answers for: its core and the context that is not used up."""
    beyond = max(0, cut.context - 2 * cost.margin)
    x, y, z = (n + beyond for n in cut.minicube)
    return x, y, z


def _too_small(budget: int, least: int, why: str | None) -> InputError:
    return InputError(
        f"{in_words(budget)} are too little for this case.",
        expected=f"at least {in_words(least)}" + (f": {why}" if why else ""),
        hint=f"--memory {math.ceil(least / 2**20 * 1.02)}MB, or a narrower network",
    )
