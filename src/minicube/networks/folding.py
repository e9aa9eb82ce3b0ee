"""BatchNorm in evaluation mode is a scale and a shift: part of the convolution before it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from minicube.networks.build import build_network
from minicube.networks.network import Network, NetworkConfig, Normalisation

__all__ = ["folded", "folded_config"]

_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_NORMS = (nn.BatchNorm2d, nn.BatchNorm3d)


def folded_config(config: NetworkConfig) -> NetworkConfig:
    """Of the network that :func:`folded` gives."""
    if config.normalisation is not Normalisation.BATCH:
        return config
    return replace(config, normalisation=Normalisation.NONE)


def folded(network: Network) -> Network:
    """The same network without BatchNorm: the same answers in evaluation mode.

    Reference: Jacob et al., "Quantization and Training of Neural Networks", CVPR 2018,
    arXiv:1712.05877, equation (14).
    """
    plain = build_network(folded_config(network.config)).eval()
    if plain.config == network.config:
        plain.load_state_dict(network.state_dict())
        return plain
    norms = _norms_after(network)
    sources = [m for m in network.modules() if isinstance(m, _CONVOLUTIONS)]
    targets = [m for m in plain.modules() if isinstance(m, _CONVOLUTIONS)]
    with torch.no_grad():
        for source, target in zip(sources, targets, strict=True):
            weight, bias = _folded(source, norms.get(source))
            target.weight.copy_(weight)
            assert target.bias is not None  # without BatchNorm each has one
            target.bias.copy_(bias)
        slopes = [m for m in plain.modules() if isinstance(m, nn.PReLU)]
        learnt = [m for m in network.modules() if isinstance(m, nn.PReLU)]
        for before, after in zip(learnt, slopes, strict=True):
            after.weight.copy_(before.weight)
    return plain


def _folded(source: Any, norm: Any) -> tuple[Tensor, Tensor]:
    """Weights and biases of a convolution and the BatchNorm after it, if any."""
    if norm is None:
        return source.weight, source.bias
    return fuse_conv_bn_weights(
        source.weight,
        source.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
        transpose=isinstance(source, nn.ConvTranspose2d | nn.ConvTranspose3d),
    )


def _norms_after(network: Network) -> dict[nn.Module, nn.BatchNorm2d | nn.BatchNorm3d]:
    """Each convolution's BatchNorm: the layer that follows it."""
    return {
        before: after
        for layers in network.modules()
        if isinstance(layers, nn.Sequential)
        for before, after in pairwise(layers)
        if isinstance(after, _NORMS)
    }
