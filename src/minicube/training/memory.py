"""A training within a memory budget: what is given up for it, and what it will take."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from minicube._errors import InputError
from minicube.engines import Cut
from minicube.networks import LeveledNetwork, build_network, bytes_of_learning, cost_of
from minicube.planning import Partition, Task, in_words, least_bytes, plan_partition
from minicube.training.config import Sampling, TrainingConfig
from minicube.training.device import Device, held_before
from minicube.training.losses import build_loss
from minicube.training.ranks import ALONE, Ranks
from minicube.volumes import Shape

__all__ = ["TrainingPlan", "scoring_partition", "step_bytes", "within_memory"]

_FLOAT = 4
_STATES = 3  # the weights, and two moments of each; one more where they are averaged
_LOGITS = 7  # copies, in the loss of a whole case
_LABEL = 8  # bytes, in a sample
_DRAWING = 240  # bytes a voxel of a sample, while it is read and changed in every way
_DRAWING_ALONE = 1300  # the same with one thread: torch then blurs without oneDNN
_STACKING = 2  # copies of the images of a step beside those that stay
_SLACK = 1.06  # what the convolutions' backward pass takes for itself, small blocks, pages
_SCRATCH = 96 << 20
_SLABS = (96, 64, 48, 32, 24, 16)


@dataclass(frozen=True)
class TrainingPlan:
    """A training that stays within a budget.

    Args:
        config: With what the budget asks for.
        predicted: Most bytes that the process will hold in a step.
        budget: Bytes.
    """

    config: TrainingConfig
    predicted: int
    budget: int

    def in_words(self) -> str:
        """For people."""
        kept = [
            *(["samples of a step one after another"] if self.config.one_by_one else []),
            *(["blocks computed again"] if self.config.recompute else []),
            *([f"slabs of {self.config.slab}"] if self.config.slab else []),
        ]
        how = ", ".join(kept) or "as it was asked for"
        return f"{how}; at most {in_words(self.predicted)} of {in_words(self.budget)}"


def within_memory(
    config: TrainingConfig,
    budget: int,
    largest: Shape,
    device: Device = Device.CPU,
    ranks: Ranks = ALONE,
) -> TrainingPlan:
    """The first of ever more frugal ways that fits.

    They are: as asked; samples of a step one after another (BatchNorm then sees one at a time,
    and has to find a variance in it); blocks computed again in the backward pass; for whole
    volumes, ever thinner slabs.

    Args:
        config: As it was asked for.
        budget: Bytes of the whole process, which has loaded all but the network; of a card, what
            torch reserves there.
        largest: Voxels of the largest case along x, y, z; whole volumes are of that size.
        device: That the network lives on.
        ranks: That share a step's samples; the budget is that of one of them.

    Raises:
        InputError: None fits; the smallest budget that would is named.
    """
    resident = _resident(device)
    least = 0
    for way in _ways(config):
        predicted = int((resident + step_bytes(way, largest, ranks)) * _SLACK) + _SCRATCH
        if predicted <= budget:
            return TrainingPlan(way, predicted, budget)
        least = predicted if least == 0 else min(least, predicted)
    raise InputError(
        f"{in_words(budget)} are too little for this training.",
        expected=f"at least {in_words(least)}",
        hint=f"--memory {math.ceil(least / 2**20)}MB, smaller windows or a narrower network",
    )


def scoring_partition(
    config: TrainingConfig, shape: Shape, budget: int | None, device: Device = Device.CPU
) -> Cut | Partition | None:
    """How a held-out case is segmented to be scored.

    Args:
        config: Of the training; a model's own parts are its answer.
        shape: Voxels of the case along x, y, z.
        budget: Bytes of the process, or on a card; None sets no limit.
        device: That the network lives on.

    Raises:
        InputError: It does not fit.
    """
    if config.cut is not None or budget is None:
        return config.cut
    task = Task(cost_of(config.network_config), shape)
    resident = _resident(device)
    # Logits of the whole case, and what the loss makes of them.
    beside = math.prod(shape) * task.cost.classes * _FLOAT * _LOGITS + _SCRATCH
    plan = plan_partition(task, int(budget / _SLACK) - resident - beside)
    if plan is None:
        least = int((resident + beside + least_bytes(task)) * _SLACK)
        raise InputError(
            f"{in_words(budget)} are too little to score the held-out cases.",
            expected=f"at least {in_words(least)}",
            hint=f"--memory {math.ceil(least / 2**20)}MB, or minicubes: set minicube in the config",
        )
    return plan.partition


def step_bytes(config: TrainingConfig, largest: Shape, ranks: Ranks = ALONE) -> int:
    """Bytes that the network, its optimiser and one step hold; counted without numbers.

    Args:
        config: Of the training.
        largest: Voxels of the largest case along x, y, z.
        ranks: That share a step's samples; what the one with most of them holds counts.
    """
    drawn = math.ceil(config.batch / ranks.count)
    with torch.device("meta"):
        network = build_network(config.network_config)
        network.recompute = config.recompute
        batch = 1 if config.one_by_one else drawn
        shape = _answered(config, largest, network.stride)
        seen = [n + 2 * network.margin for n in shape]
        images = torch.zeros(batch, network.config.sequences, *seen)
        labels = torch.zeros(batch, *shape, dtype=torch.long)
    loss = build_loss(config.loss)

    def step() -> torch.Tensor:
        if config.slab and isinstance(network, LeveledNetwork):
            return loss(network.in_slabs(images, config.slab), labels)
        return loss(network(images), labels)

    pictures = drawn * images[0].numel() * _FLOAT
    samples = pictures + drawn * labels[0].numel() * _LABEL
    weights = network.parameter_count * _FLOAT
    # DDP keeps the gradients' places from step to step.
    kept = bool(config.average) + 2 * bool(config.start_share)  # the start, and its mixture
    states = _STATES + kept + (ranks.count > 1)
    # Samples are drawn before a step begins, beside the gradients of the step before.
    a_voxel = _DRAWING if torch.get_num_threads() > 1 else _DRAWING_ALONE
    drawing = weights + max(images[0, 0].numel() * a_voxel, pictures * _STACKING)
    return samples + weights * states + max(bytes_of_learning(network, step), drawing)


def _resident(device: Device) -> int:
    """Bytes that a training finds taken once everything it needs is loaded."""
    # What were loaded later would not be counted.
    import lightning_fabric  # noqa: F401

    import minicube.training.augment  # noqa: F401

    return held_before(device)


def _answered(config: TrainingConfig, largest: Shape, stride: Shape) -> Shape:
    if config.sampling is not Sampling.VOLUMES:
        return config.window
    region = config.region or largest
    x, y, z = (-(-n // s) * s for n, s in zip(region, stride, strict=True))
    return x, y, z


def _ways(config: TrainingConfig) -> Iterator[TrainingConfig]:
    yield config
    frugal = config
    alone = config.model_copy(update={"one_by_one": True})
    if config.batch > 1 and not config.one_by_one and alone.has_statistics:
        frugal = alone
        yield frugal
    if not config.recompute:
        frugal = frugal.model_copy(update={"recompute": True})
        yield frugal
    if config.slab:
        for slab in _SLABS:
            if slab < config.slab:
                yield frugal.model_copy(update={"slab": slab})
