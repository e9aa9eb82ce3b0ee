"""One optimiser step at a time: network, optimiser, samples, learning rate."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from enum import StrEnum
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from minicube._errors import InputError
from minicube.networks import LeveledNetwork, Network, build_network
from minicube.training.averaging import averaged, mixed
from minicube.training.config import (
    Augmentation,
    Optimiser,
    Schedule,
    TrainingConfig,
)
from minicube.training.device import Device, computes_bf16
from minicube.training.losses import build_loss
from minicube.training.ranks import ALONE, Ranks
from minicube.training.sampling import Sampler
from minicube.training.statistics import in_turn, share_statistics
from minicube.volumes import StoredCase
from minicube.volumes.stream import Stream

__all__ = ["Cause", "Diverged", "Stepper", "learning_rate", "seconds_a_step"]

_TIMED_STEPS = 5


class Cause(StrEnum):
    """What a training's time goes to."""

    LOADING = "loading"
    AUGMENTATION = "augmentation"
    NETWORK = "network"
    SCORING = "scoring"


class Diverged(InputError):
    """The loss is no number any more.

    Args:
        step: Where it happened.
        loss: What it became, or else its gradient.
        seconds: Spent until then, by cause.
        batch: Images and labels of the step, and the weights that met them; nothing where it was
            noticed on samples that are not learnt from.
    """

    def __init__(
        self,
        step: int,
        loss: float,
        seconds: Mapping[Cause, float],
        batch: Mapping[str, Tensor],
    ) -> None:
        self.step = step
        self.seconds = seconds
        self.batch = batch
        super().__init__(
            f"The loss became {loss} at step {step}; model and checkpoint are those from before.",
            hint="begin anew in another folder: a lower learning rate usually helps, and a run "
            "goes on with its own",
        )


class Stepper:
    """Everything that a step needs and that a checkpoint keeps.

    Args:
        config: Of the run.
        cases: To learn from.
        device: That the network lives on; samples are made on the CPU.
        stream: Cases made meanwhile, to learn from as well.
        ranks: That share the samples of a step; each ends it with the same weights.

    Raises:
        InputError: A step has fewer samples than there are ranks.
    """

    def __init__(
        self,
        config: TrainingConfig,
        cases: list[StoredCase],
        device: Device = Device.CPU,
        stream: Stream | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        # Here, for it takes seconds, which a refusal or a table need not wait for.
        from minicube.training.augment import augmentation

        ranks.refuse_idle(config.batch)
        torch.manual_seed(config.seed)
        self.bf16 = computes_bf16(device, config.precision)
        self.seconds = dict.fromkeys(Cause, 0.0)
        self._ranks = ranks
        self._fabric = ranks.fabric(device, "bf16-mixed" if self.bf16 else "32-true")
        self.network = build_network(config.network_config).channels_last()
        self.network.recompute = config.recompute
        if ranks.count > 1 and not config.one_by_one:
            share_statistics(self.network, ranks)
        self._module, self._optimizer = self._fabric.setup(
            self.network, _optimizer(self.network, config)
        )
        self._average = averaged(self.network, config.average) if config.average else None
        self._start: dict[str, Tensor] = {}
        self._config = config
        self._loss = build_loss(config.loss)
        self._loss_of_step = build_loss(config.loss, ranks=ranks)
        self._sampler = Sampler(cases, config, self.network.margin, self.network.stride, stream)
        self._augment = augmentation(config.augmentation, planar=not all(self.network.axes))
        self._plain = augmentation(Augmentation.none())

    def step(self, step: int) -> tuple[float, float]:
        """Make one step; returns its loss and learning rate."""
        rate = learning_rate(step, self._config)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        images, labels = self._fabric.to_device(self.batch(step))
        with self.timed(Cause.NETWORK):
            self.network.train()
            if self._config.frozen_statistics:
                _freeze_statistics(self.network)
            self._optimizer.zero_grad(set_to_none=True)
            value = self._learn_from(images, labels)
            norm = self._clipped()
            if not math.isfinite(value) or not math.isfinite(norm):
                batch = {"images": images, "labels": labels, **self.network.state_dict()}
                worst = norm if math.isfinite(value) else value
                raise Diverged(step, worst, self.seconds, batch)
            self._optimizer.step()
            if self._average is not None:
                self._average.update_parameters(self.network)
        return value, rate

    @property
    def learnt(self) -> Network:
        """The network that is scored and kept: averaged, mixed, as the config asks for."""
        network = self.network
        if self._average is not None and self._average.n_averaged:
            average = self._average.module
            assert isinstance(average, Network)
            network = average
        return mixed(network, self._start, self._config.start_share) if self._start else network

    def _learn_from(self, images: Tensor, labels: Tensor) -> float:
        """Leave the gradient of the loss at the weights; return the loss.

        DDP averages the gradients of the ranks. The loss of a whole step is the same number on
        each, and its sums hand on the gradients of all: the average is the gradient.
        """
        if self._config.one_by_one:
            return self._learn_one_by_one(images, labels)
        loss = self._loss_of_step(self._logits(images), labels)
        self._fabric.backward(loss)
        return float(loss.detach())

    def _learn_one_by_one(self, images: Tensor, labels: Tensor) -> float:
        ranks, batch = self._ranks, self._config.batch
        value = 0.0
        with in_turn(self.network, ranks, batch) if ranks.count > 1 else nullcontext():
            for i in range(len(images)):
                more = i + 1 < len(images)
                with self._fabric.no_backward_sync(self._module, enabled=more):
                    loss = self._loss(self._logits(images[i : i + 1]), labels[i : i + 1])
                    loss = loss / (batch / ranks.count)
                    value += float(loss.detach())
                    self._fabric.backward(loss)
        if ranks.count == 1:
            return value
        return float(ranks.sum(images.new_tensor(value, dtype=torch.float64))) / ranks.count

    def _clipped(self) -> float:
        """Clip the gradient, where the config asks for it; its norm before."""
        norm = self._fabric.clip_gradients(
            self._module,
            self._optimizer,
            max_norm=self._config.clip or math.inf,
            error_if_nonfinite=False,
        )
        assert norm is not None
        return float(norm)

    def _logits(self, images: Tensor) -> Tensor:
        if not self._config.slab:
            logits: Tensor = self._module(images)
            return logits
        assert isinstance(self.network, LeveledNetwork)  # the config sees to it
        with self._fabric.autocast():
            return self.network.in_slabs(images, self._config.slab).float()

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """This rank's of one step: ``(samples, sequence, x, y, z)`` and ``(samples, x, y, z)``.

        Images have the network's margin around what there are labels for.
        """
        images, labels = zip(*self._samples(step), strict=True)
        stacked = torch.stack(images).contiguous(memory_format=torch.channels_last_3d)
        return stacked, torch.stack(labels)

    def _samples(self, step: int) -> Iterator[tuple[Tensor, Tensor]]:
        margin = self.network.margin
        inside = slice(margin, -margin or None)
        for i in self._ranks.share(self._config.batch):
            with self.timed(Cause.LOADING):
                images, labels, seed = self._sampler.draw(step, step * self._config.batch + i)
            with self.timed(Cause.AUGMENTATION):
                changed, moved = self._augment(images, labels, seed)
            yield changed, moved[inside, inside, inside]

    def probe(self, cases: list[StoredCase], count: int) -> float:
        """Mean loss, without learning, of ``count`` fixed samples of any cases.

        Drawn as training samples are, with another seed and not augmented: the way to hold
        training and held-out cases against each other.
        """
        config = self._config.model_copy(update={"seed": self._config.seed + 1, "shuffle": True})
        sampler = Sampler(cases, config, self.network.margin, self.network.stride)
        margin = self.network.margin
        inside = slice(margin, -margin or None)
        self.network.eval()
        losses = []
        with torch.no_grad():
            for index in sampler.spread(count):
                images, labels = self._fabric.to_device(self._plain(*sampler.draw(0, index)))
                logits = self._logits(images[None])
                losses.append(float(self._loss(logits, labels[None, inside, inside, inside])))
        return sum(losses) / len(losses)

    def start_from(self, weights: dict[str, Tensor]) -> None:
        """Take over the weights of a network like this one."""
        self.network.load_state_dict(weights)
        if self._config.start_share:
            self._start = {name: now.clone() for name, now in self.network.state_dict().items()}

    @contextmanager
    def timed(self, cause: Cause) -> Iterator[None]:
        """Count the seconds of a block towards a cause.

        Of this thread's processor time, so that other work on the machine does not count; the
        others of a training compute while this one does.
        """
        began = time.thread_time()
        yield
        self.seconds[cause] += time.thread_time() - began

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        average = {} if self._average is None else {"average": self._average.state_dict()}
        start = {"start": self._start} if self._start else {}
        return (
            average
            | start
            | {
                "network": self.network.state_dict(),
                "optimizer": self._optimizer.state_dict(),
                "seconds by cause": {cause.value: spent for cause, spent in self.seconds.items()},
            }
        )

    def restore(self, state: dict[str, Any]) -> None:
        """Put a checkpoint's state back."""
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        if self._config.start_share:
            device = next(self.network.parameters()).device
            self._start = {name: kept.to(device) for name, kept in state["start"].items()}
        self.seconds = {Cause(name): spent for name, spent in state["seconds by cause"].items()}


def _freeze_statistics(network: Network) -> None:
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm3d):
            layer.eval()


def _optimizer(network: Network, config: TrainingConfig) -> torch.optim.Optimizer:
    if config.optimiser is Optimiser.ADAM:
        return torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    return torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )


def learning_rate(step: int, config: TrainingConfig) -> float:
    """Linear warm-up, then half a cosine to zero, or constant.

    Reference: Loshchilov and Hutter, "SGDR", ICLR 2017, arXiv:1608.03983, equation (5)
    without restarts.
    """
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    if config.schedule is Schedule.CONSTANT:
        return config.learning_rate
    progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def seconds_a_step(
    config: TrainingConfig,
    cases: list[StoredCase],
    clock: Callable[[], float],
    device: Device = Device.CPU,
    ranks: Ranks = ALONE,
) -> float:
    """Seconds of a step, the median of a few after one that warms up; nothing is learnt.

    Args:
        config: Of the training.
        cases: To learn from.
        clock: ``time.monotonic``, or ``time.thread_time`` where other work on the machine shall
            not count; the latter sees this thread alone.
        device: That the network lives on.
        ranks: That make a step together, and all call this.
    """
    trial = Stepper(config, cases, device, ranks=ranks)
    trial.step(0)
    spent = []
    for step in range(1, _TIMED_STEPS + 1):
        began = clock()
        trial.step(step)
        spent.append(clock() - began)
    return median(spent)
