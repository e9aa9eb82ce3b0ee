"""The processes that make one training together, and what they tell each other.

A *rank* is one of them. Each draws its share of a step's samples, and what a step couples is
added up over all of them with its gradients: the sums inside the losses here and in ``losses/``,
BatchNorm's statistics in ``statistics.py``; the gradients of the weights are DDP's business. So
a step does not depend on how many ranks make it, but for rounding.

torchrun or srun starts the ranks. The CPU speaks gloo, cards NCCL; the latter was not verified.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from inspect import signature
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.parallel import DistributedDataParallel

from minicube._errors import InputError, InternalError
from minicube.training.device import Device

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment

__all__ = ["ALONE", "Ranks", "joined", "rank_here"]

_T = TypeVar("_T")

# A rank that ends is noticed at once. This is for one that prepares or scores larger scans than
# the others, which wait meanwhile.
_PATIENCE: Final = timedelta(hours=6)


@dataclass(frozen=True)
class Ranks:
    """This rank and how many there are.

    Args:
        number: Of this one, from 0.
        count: Of all.
    """

    number: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this one writes and is heard."""
        return self.number == 0

    def share(self, whole: int) -> range:
        """The numbers below ``whole`` that are this rank's; the first ranks get what is over."""
        each, over = divmod(whole, self.count)
        start = self.number * each + min(self.number, over)
        return range(start, start + each + (self.number < over))

    def refuse_idle(self, batch: int) -> None:
        """Raise an :class:`InputError` when a step has no sample for each rank."""
        if batch < self.count:
            raise InputError(
                f"A step of {batch} sample{'s' * (batch != 1)} cannot be shared by {self.count} "
                "processes.",
                hint=f"start at most {batch}, or set batch = {self.count} in the config",
            )

    def sum(self, local: Tensor) -> Tensor:
        """Add up over ranks; the gradient is added up over ranks too."""
        if self.count == 1:
            return local
        total: Tensor = _Sum.apply(local)  # type: ignore[no-untyped-call]
        return total

    def any(self, here: bool) -> bool:
        """Whether it is so on any rank; all of them have to ask."""
        if self.count == 1:
            return here
        return any(self.everyone(lambda: here))

    def stacked(self, local: Tensor) -> Tensor:
        """What each rank has, ``(ranks, …)``, in their order and without gradients."""
        parts = [torch.empty_like(local) for _ in range(self.count)]
        dist.all_gather(parts, local)
        return torch.stack(parts)

    def mean(self, local: Tensor, weight: Tensor | int) -> Tensor:
        """Mean of each rank's mean, by what it is the mean of: a scalar and its weight, > 0."""
        if self.count == 1:
            return local
        parts = torch.stack([local * weight, torch.as_tensor(weight).to(local)])
        total, weights = self.sum(parts)
        mean: Tensor = total / weights
        return mean

    def everyone(self, make: Callable[[], _T]) -> list[_T]:
        """What each rank makes, on all of them, in their order.

        Raises:
            InputError: One of them could not use what it was given.
            InternalError: One of them failed otherwise.
        """
        if self.count == 1:
            return [make()]
        mine, error = _tried(make)
        told: list[Any] = [None] * self.count
        dist.all_gather_object(told, (mine, _in_words(error)))
        if error is not None:
            raise error
        return [_heard(number, said) for number, said in enumerate(told)]

    def from_first(self, make: Callable[[], _T]) -> _T:
        """What the first rank makes, on all of them.

        Raises:
            InputError, InternalError: As :meth:`everyone`.
        """
        if self.count == 1:
            return make()
        said: list[Any] = [None]
        error: Exception | None = None
        if self.first:
            mine, error = _tried(make)
            said = [(mine, _in_words(error))]
        dist.broadcast_object_list(said, src=0)
        if error is not None:
            raise error
        made: _T = _heard(0, said[0])
        return made

    def fabric(self, device: Device, precision: Literal["bf16-mixed", "32-true"]) -> Fabric:
        """What the network is set up with."""
        from lightning_fabric import Fabric
        from lightning_fabric.plugins.environments.lightning import LightningEnvironment
        from lightning_fabric.strategies.ddp import DDPStrategy

        # It announces itself at every start, and its import makes it loud.
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
        place = _launched()
        if self.count == 1 or place is None:
            # Said, or Fabric would believe a scheduler's variables that nobody meant for it.
            return Fabric(
                accelerator=device.value,
                devices=1,
                precision=precision,
                plugins=[LightningEnvironment()],
            )
        # Of kernels of one voxel, whose layout has two names: DDP copies their few gradients.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view", UserWarning)
        here = _ranks_here()
        fabric = Fabric(
            accelerator=device.value,
            devices=here,
            num_nodes=self.count // here,
            precision=precision,
            # No buffers are handed out in a step: BatchNorm's are the same everywhere as they are.
            strategy=DDPStrategy(timeout=_PATIENCE, gradient_as_bucket_view=True, **_no_buffers()),
            plugins=[place],
        )
        fabric.launch()
        return fabric


ALONE: Final = Ranks()
"""The only process of a training."""


class _Sum(torch.autograd.Function):
    """All-reduce of what every rank's loss depends on: its gradient is all of theirs together."""

    @staticmethod
    def forward(_: Any, local: Tensor) -> Tensor:
        total = local.detach().clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    @once_differentiable
    def backward(_: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total


@contextmanager
def joined(device: Device) -> Iterator[Ranks]:
    """Meet the ranks that were started with this process; part from them at the end.

    Raises:
        InputError: A machine has more ranks than cards.
    """
    place = _launched()
    if place is None:
        yield ALONE
        return
    if device is Device.CUDA and _ranks_here() > torch.cuda.device_count():
        raise InputError(
            "There are more processes than graphics cards on this machine.",
            expected=f"at most {torch.cuda.device_count()}",
            found=str(_ranks_here()),
        )
    ranks = Ranks(place.global_rank(), place.world_size())
    ranks.fabric(device, "32-true")
    try:
        yield ranks
    finally:
        dist.destroy_process_group()


def rank_here() -> int:
    """Number of this process among those that it was started with; 0 when it is alone."""
    place = _launched()
    return 0 if place is None else place.global_rank()


def _launched() -> ClusterEnvironment | None:
    """Who started several ranks, if somebody did."""
    if not dist.is_available():
        return None
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    if TorchElasticEnvironment.detect():
        place: ClusterEnvironment = TorchElasticEnvironment()
    # Of the step that srun made. The job's own variables are also there without srun, and then
    # there is one process, which would wait for the others for ever.
    elif int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        place = SLURMEnvironment()
    else:
        return None
    return place if place.world_size() > 1 else None


def _ranks_here() -> int:
    """How many ranks this machine has; each has as many."""
    words = os.environ
    return int(words.get("LOCAL_WORLD_SIZE") or words["SLURM_NTASKS_PER_NODE"])


def _no_buffers() -> dict[str, Any]:
    """DDP's word for handing out no buffers in a step, which torch 2.13 has renamed."""
    known = signature(DistributedDataParallel).parameters
    return {
        "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers": False
    }


def _tried(make: Callable[[], _T]) -> tuple[_T | None, Exception | None]:
    try:
        return make(), None
    except Exception as error:  # noqa: BLE001 - raised again once the others know
        return None, error


def _in_words(error: Exception | None) -> tuple[bool, str] | None:
    """Whether it is the user's mistake, and which; no class travels that might not unpickle."""
    return None if error is None else (isinstance(error, InputError), str(error))


def _heard(number: int, said: Any) -> Any:
    made, problem = said
    if problem is None:
        return made
    mistake, words = problem
    if mistake:
        raise InputError(f"Process {number} cannot go on: {words}")
    raise InternalError(f"Process {number} failed: {words}")
