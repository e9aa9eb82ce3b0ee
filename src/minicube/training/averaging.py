"""A running average of the weights, which scores better than the weights of any one step."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from minicube.networks import Network

__all__ = ["averaged"]

_SLOW = 10  # steps, about, until the decay is what was asked for


def averaged(network: Network, decay: float) -> AveragedModel:
    """A copy of a network that follows it, BatchNorm's statistics included.

    After step n the average moves by 1 - min(decay, (1 + n) / (10 + n)): the first steps, which
    know nothing yet, are soon forgotten.

    Reference: Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging", SIAM
    J. Control Optim. 1992; the warm-up is that of TensorFlow's ExponentialMovingAverage.

    Args:
        network: To follow.
        decay: In [0, 1).
    """

    def follow(average: Tensor, now: Tensor, steps: Tensor | int) -> Tensor:
        if not torch.is_floating_point(average):
            return now
        kept = min(decay, (1 + int(steps)) / (_SLOW + int(steps)))
        return torch.lerp(now, average, kept)

    return AveragedModel(network, avg_fn=follow, use_buffers=True)
