"""Averages of weights, which score better than the weights of any one step."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from minicube.networks import Network

__all__ = ["averaged", "mixed"]

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


def mixed(network: Network, start: Mapping[str, Tensor], share: float) -> Network:
    """A copy of a network whose weights, BatchNorm's statistics too, lie between two.

    Reference: Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022,
    arXiv:2109.01903, equation (1).

    Args:
        network: What was learnt.
        start: State of the network that it began with.
        share: Of ``start``, in [0, 1].
    """
    between = deepcopy(network)
    weights = {
        name: torch.lerp(now, start[name], share) if torch.is_floating_point(now) else now
        for name, now in network.state_dict().items()
    }
    between.load_state_dict(weights)
    return between
