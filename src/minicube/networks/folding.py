"""BatchNorm in evaluation mode is a scale and a shift: part of the convolution before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from minicube.networks.build import build_network
from minicube.networks.network import Network, NetworkConfig, Normalisation

__all__ = ["folded", "folded_config", "norms_of", "unfolded"]

_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_NORMS = (nn.BatchNorm2d, nn.BatchNorm3d)
_TRANSPOSED = (nn.ConvTranspose2d, nn.ConvTranspose3d)
_HALF: Final = 1e-3  # what rounding to fp16 may change, and some
_KEPT: Final = ("weight", "bias", "running_mean", "running_var")


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


def norms_of(network: Network) -> dict[str, Tensor]:
    """What :func:`folded` loses: scale, shift, mean and variance of every BatchNorm, by name."""
    return {
        f"{name}.{key}": getattr(layer, key)
        for name, layer in network.named_modules()
        if isinstance(layer, _NORMS)
        for key in _KEPT
    }


def unfolded(plain: Network, config: NetworkConfig, norms: Mapping[str, Tensor]) -> Network:
    """The network that was folded, to be trained on; the other way round of :func:`folded`.

    A channel whose scale is 0 gives nothing, whatever its weights: they come back as 0.

    Args:
        plain: Without BatchNorm.
        config: Of the network before.
        norms: From :func:`norms_of`.

    Raises:
        ValueError: The norms are not those that were folded into ``plain``.
    """
    network = build_network(config).eval()
    wanted = {name: value.shape for name, value in norms_of(network).items()}
    if wanted != {name: value.shape for name, value in norms.items()}:
        raise ValueError("layers of other names or sizes")
    network.load_state_dict({k: v.float() for k, v in norms.items()}, strict=False)
    if not all(value.isfinite().all() for value in norms_of(network).values()):
        raise ValueError("numbers that are not finite")
    after = _norms_after(network)
    sources = [m for m in plain.modules() if isinstance(m, _CONVOLUTIONS)]
    targets = [m for m in network.modules() if isinstance(m, _CONVOLUTIONS)]
    with torch.no_grad():
        for source, target in zip(sources, targets, strict=True):
            _unfold(source, target, after.get(target))
        slopes = [m for m in network.modules() if isinstance(m, nn.PReLU)]
        learnt = [m for m in plain.modules() if isinstance(m, nn.PReLU)]
        for before, to in zip(learnt, slopes, strict=True):
            to.weight.copy_(before.weight)
    return network


def _unfold(source: Any, target: Any, norm: Any) -> None:
    """Fill in a convolution from the one that its BatchNorm was folded into."""
    if norm is None:
        target.weight.copy_(source.weight)
        target.bias.copy_(source.bias)
        return
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    if not scale.isfinite().all():
        raise ValueError("a variance below 0")
    along = [1] * source.weight.ndim
    along[1 if isinstance(source, _TRANSPOSED) else 0] = -1
    scales = scale.view(along)
    target.weight.copy_(torch.where(scales == 0, 0.0, source.weight / scales))
    if target.bias is not None:
        bias = (source.bias - norm.bias) / scale + norm.running_mean
        target.bias.copy_(torch.where(scale == 0, 0.0, bias))
    else:  # then the bias is BatchNorm's alone, and known twice
        known = norm.bias - norm.running_mean * scale
        if not torch.allclose(known, source.bias, rtol=_HALF, atol=_HALF):
            raise ValueError("other numbers")


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
        transpose=isinstance(source, _TRANSPOSED),
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
