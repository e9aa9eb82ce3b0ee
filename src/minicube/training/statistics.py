"""BatchNorm over the samples of all ranks: the statistics of a step, and their running averages.

torch has this for cards alone (``SyncBatchNorm``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from minicube.networks import Network
from minicube.training.ranks import Ranks

__all__ = ["in_turn", "share_statistics"]

_Norm = nn.BatchNorm2d | nn.BatchNorm3d


def share_statistics(network: Network, ranks: Ranks) -> None:
    """Have each BatchNorm take mean and variance over the samples of all ranks.

    Names of weights and buffers stay as they are, and so does what is held for the backward
    pass. A layer costs an all-gather and an all-reduce of two numbers a channel.
    """
    for parent in list(network.modules()):
        for name, layer in parent.named_children():
            if isinstance(layer, _Norm):
                setattr(parent, name, _Shared(layer, ranks))


@contextmanager
def in_turn(network: Network, ranks: Ranks, samples: int) -> Iterator[None]:
    """Join the running averages of layers that saw a step's samples one by one.

    After it they are, on each rank, what one rank would have that saw all of them in order: with
    momentum m, samples i = 1 … n and their statistics s, r (1 − m)^n + Σ m (1 − m)^(n − i) s_i.

    Args:
        network: Sees this rank's share inside the block.
        ranks: Each with a share of the samples.
        samples: Of all ranks together.
    """
    layers = [m for m in network.modules() if isinstance(m, _Norm) and m.training]
    before = [[buffer.clone() for buffer in _averages(layer)] for layer in layers]
    yield
    share = ranks.share(samples)
    for layer, olds in zip(layers, before, strict=True):
        kept = 1 - (layer.momentum or 0.0)
        for old, now in zip(olds, _averages(layer), strict=True):
            added = (now - old * kept ** len(share)) * kept ** (samples - share.stop)
            now.copy_(old * kept**samples + ranks.sum(added))
        assert layer.num_batches_tracked is not None
        layer.num_batches_tracked += samples - len(share)


def _averages(layer: _Norm) -> tuple[Tensor, Tensor]:
    assert layer.running_mean is not None
    assert layer.running_var is not None
    return layer.running_mean, layer.running_var


class _Shared(nn.BatchNorm3d):
    """A BatchNorm of two or three dimensions over the samples of all ranks."""

    def __init__(self, layer: _Norm, ranks: Ranks) -> None:
        super().__init__(layer.num_features, layer.eps, layer.momentum)
        self.weight, self.bias = layer.weight, layer.bias
        for name, buffer in layer.named_buffers():
            setattr(self, name, buffer)
        self._ranks = ranks

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 - torch's word
        """Two dimensions are as well."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        average, spread = _averages(self)
        assert self.num_batches_tracked is not None
        mean, variance, voxels = _statistics(x.detach(), average, self._ranks)
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            momentum = self.momentum or 0.0  # set to 0 where a block is computed again
            average.lerp_(mean, momentum)
            spread.lerp_(variance * (voxels / (voxels - 1)), momentum)
        normalised: Tensor = _Normalise.apply(  # type: ignore[no-untyped-call]
            x, self.weight, self.bias, (mean, variance, voxels), self.eps, self._ranks
        )
        return normalised


def _statistics(x: Tensor, like: Tensor, ranks: Ranks) -> tuple[Tensor, Tensor, float]:
    """Mean and variance of each channel over all ranks, and the voxels that they are of.

    Each rank's mean and variance are joined, not sums of squares, which would cancel.

    Reference: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing
    sample variances", COMPSTAT 1982, equation (2.1), for any number of parts.
    """
    # In the numbers of the averages it is given, of which it takes no notice otherwise.
    mean, variance = torch.batch_norm_update_stats(x, like.clone(), like.clone(), 0.0)
    here = torch.full_like(mean[:1], x.numel() / x.shape[1])
    parts = ranks.stacked(torch.cat([here, mean, variance]))
    voxels, means, variances = torch.split(parts, [1, len(mean), len(mean)], dim=1)
    total = voxels.sum()
    together = (voxels * means).sum(0) / total
    spread = (voxels * (variances + (means - together) ** 2)).sum(0) / total
    return together, spread, float(total)


class _Normalise(torch.autograd.Function):
    """(x − mean) / √(variance + ε) · weight + bias, where mean and variance depend on every x.

    Forward and backward are torch's of the evaluation mode, which takes statistics as given; what
    the statistics pass on is, for a channel with n voxels and x̂ the normalised x,
    −weight / √(variance + ε) · (Σ g + x̂ Σ g x̂) / n, the sums over all ranks.

    Reference: Ioffe and Szegedy, "Batch Normalization", ICML 2015, arXiv:1502.03167, section 3.
    """

    @staticmethod
    def forward(
        context: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        statistics: tuple[Tensor, Tensor, float],
        epsilon: float,
        ranks: Ranks,
    ) -> Tensor:
        mean, variance, context.voxels = statistics
        context.save_for_backward(x, weight, mean, variance)
        context.epsilon, context.ranks = epsilon, ranks
        return functional.batch_norm(x, mean, variance, weight, bias, eps=epsilon)

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, variance = context.saved_tensors
        epsilon = context.epsilon
        for_x, for_weight, for_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, x, weight, mean, variance, None, None, False, epsilon, [True, True, True]
        )
        over_all = context.ranks.sum(torch.stack([for_weight, for_bias]))
        slope, shift = over_all * weight * torch.rsqrt(variance + epsilon) / context.voxels
        for_x -= functional.batch_norm(x, mean, variance, slope, shift, eps=epsilon)
        return for_x, for_weight, for_bias, None, None, None
