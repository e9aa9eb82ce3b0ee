"""What the losses have in common: probabilities, truth, class weights."""

from __future__ import annotations

import torch
from torch import Tensor

from minicube.training.losses.config import Activation, LossConfig

__all__ = ["class_weights", "one_hot", "probabilities", "widened"]


def widened(logits: Tensor) -> Tensor:
    """Logits in fp32, or as they are in fp64."""
    return logits if logits.dtype is torch.float64 else logits.float()


def probabilities(logits: Tensor, activation: Activation) -> Tensor:
    """Probabilities ``(B, C, …)`` in [0, 1], at least fp32."""
    logits = widened(logits)
    if activation is Activation.SIGMOID:
        return torch.sigmoid(logits)
    return torch.softmax(logits, dim=1)


def one_hot(target: Tensor, classes: int) -> Tensor:
    """Truth ``(B, C, …)`` as bool, one byte a voxel and class.

    Args:
        target: ``(B, …)`` int64, in 0 … C − 1.
        classes: C.
    """
    shape = (target.shape[0], classes, *target.shape[1:])
    truth = torch.zeros(shape, dtype=torch.bool, device=target.device)
    return truth.scatter_(1, target.unsqueeze(1), True)


def class_weights(config: LossConfig, like: Tensor) -> Tensor | None:
    """The class weights ``(C,)`` scaled to a mean of 1, in the dtype and device of ``like``."""
    if config.class_weights is None:
        return None
    weights = torch.tensor(config.class_weights, dtype=like.dtype, device=like.device)
    return weights / weights.mean()
