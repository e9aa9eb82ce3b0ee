"""One optimiser step at a time: network, optimiser, samples, learning rate."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from minicube._errors import InternalError
from minicube.engines.torch_engine import has_bf16
from minicube.networks import UNet3d, UNet3dConfig
from minicube.training.augment import augmentation
from minicube.training.config import Precision, TrainingConfig
from minicube.training.losses import dice_and_cross_entropy
from minicube.training.sampling import Sampler
from minicube.volumes import StoredCase

__all__ = ["Stepper", "learning_rate"]

# Fabric announces its precision at every start; ours is in the run's config.
logging.getLogger("lightning_fabric").setLevel(logging.WARNING)


class Stepper:
    """Everything that a step needs and that a checkpoint keeps.

    Args:
        config: Of the run.
        cases: To learn from.
    """

    def __init__(self, config: TrainingConfig, cases: list[StoredCase]) -> None:
        torch.manual_seed(config.seed)
        wanted = config.precision
        self.bf16 = has_bf16() if wanted is Precision.AUTO else wanted is Precision.BF16
        self._fabric = Fabric(
            accelerator="cpu", devices=1, precision="bf16-mixed" if self.bf16 else "32-true"
        )
        self.network = UNet3d(UNet3dConfig(widths=config.widths))
        self.network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self._module, self._optimizer = self._fabric.setup(self.network, optimizer)
        self._config = config
        self._sampler = Sampler(cases, config.window, config.tumour_share, config.seed)
        self._augment = augmentation(config.augmentation)

    def step(self, step: int) -> tuple[float, float]:
        """Make one step; returns its loss and learning rate."""
        rate = learning_rate(step, self._config)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        images, labels = self.batch(step)
        self.network.train()
        loss = dice_and_cross_entropy(self._module(images), labels)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise InternalError(
                f"The loss became {value} at step {step}; the last checkpoint is kept. "
                "A lower learning rate usually helps."
            )
        self._optimizer.zero_grad(set_to_none=True)
        self._fabric.backward(loss)
        self._fabric.clip_gradients(self._module, self._optimizer, max_norm=1.0)
        self._optimizer.step()
        return value, rate

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Windows of one step: ``(batch, sequence, x, y, z)`` and ``(batch, x, y, z)``."""
        images, labels = zip(*self._samples(step), strict=True)
        stacked = torch.stack(images).contiguous(memory_format=torch.channels_last_3d)
        return stacked, torch.stack(labels)

    def _samples(self, step: int) -> Iterator[tuple[Tensor, Tensor]]:
        for i in range(self._config.batch):
            yield self._augment(*self._sampler.draw(step, step * self._config.batch + i))

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Put a checkpoint's state back."""
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])


def learning_rate(step: int, config: TrainingConfig) -> float:
    """Linear warm-up, then half a cosine to zero.

    Reference: Loshchilov and Hutter, "SGDR", ICLR 2017, arXiv:1608.03983, equation (5)
    without restarts.
    """
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
