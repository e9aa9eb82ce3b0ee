"""A trained ``unet3d-fast`` made narrower: the channels that weigh least are taken out.

What is left answers roughly as before, and a short training makes up for the rest: far cheaper
than training a small network from the start.

Paper: Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017, arXiv:1608.08710: the
channels with the smallest sum of absolute weights go. Here weights are taken as they are once the
normalisation behind them is folded in, so that its scale counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from minicube._errors import InputError
from minicube.networks.network import NetworkConfig, NetworkName, Normalisation

__all__ = ["narrowed"]

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class _Convolution:
    """A convolution, by the name of its weights, and whose channels it takes and gives.

    Args:
        name: Of its weights.
        takes: The layers whose outputs it gets, joined in this order; empty for the images.
        norm: Name of the normalisation behind it; empty for none.
        gives: Channels that it gives when narrowed; 0 for the classes, which all stay.
        turned: Whether its weights are ``(in, out, …)``, as a transposed one's are.
    """

    name: str
    takes: tuple[str, ...]
    norm: str
    gives: int
    turned: bool = False


def narrowed(weights: Weights, wide: NetworkConfig, narrow: NetworkConfig) -> dict[str, Tensor]:
    """Return the weights of a narrower network; those given where the networks are the same.

    Args:
        weights: The state of a network of ``wide``.
        wide: What they are of.
        narrow: What is wanted: the same but for its widths, none of which is larger.

    Returns:
        A state for a network of ``narrow``.

    Raises:
        InputError: One cannot be made from the other in this way.
    """
    if wide == narrow:
        return dict(weights)
    _check(wide, narrow)
    made: dict[str, Tensor] = {}
    kept: dict[str, Tensor] = {}
    for layer in _layers(narrow):
        kernel = weights[f"{layer.name}.weight"]
        out_axis, in_axis = (1, 0) if layer.turned else (0, 1)
        if layer.takes:
            kernel = kernel.index_select(in_axis, _joined(layer.takes, kept, weights))
        if not layer.gives:
            stays = torch.arange(kernel.shape[out_axis])
        else:
            stays = _heaviest(kernel, out_axis, _scale(weights, layer.norm), layer.gives)
        kept[layer.name] = stays
        made[f"{layer.name}.weight"] = kernel.index_select(out_axis, stays).contiguous()
        for name, value in weights.items():
            behind = name.startswith(f"{layer.norm}.") if layer.norm else False
            if behind or name == f"{layer.name}.bias":
                made[name] = value.index_select(0, stays) if value.ndim else value
    return made


def _layers(config: NetworkConfig) -> Iterator[_Convolution]:
    """The convolutions of ``unet3d-fast`` with these widths, each behind those it rests on."""
    widths, batch = config.widths, config.normalisation is not Normalisation.NONE
    step = 3 if batch else 2  # modules from one convolution of a block to the next

    def block(name: str, takes: tuple[str, ...], gives: int) -> Iterator[_Convolution]:
        first, second = f"{name}.0", f"{name}.{step}"
        yield _Convolution(first, takes, f"{name}.1" if batch else "", gives)
        yield _Convolution(second, (first,), f"{name}.{step + 1}" if batch else "", gives)

    yield _Convolution("stem.0", (), "stem.1" if batch else "", widths[0])
    above = "stem.0"
    for level, width in enumerate(widths):
        yield from block(f"encoder.{level}", (above,), width)
        above = f"encoder.{level}.{step}"
    for level in reversed(range(len(widths) - 1)):
        yield _Convolution(f"upsample.{level}", (above,), "", widths[level], turned=True)
        joined = (f"encoder.{level}.{step}", f"upsample.{level}")
        yield from block(f"decoder.{level}", joined, widths[level])
        above = f"decoder.{level}.{step}"
    yield _Convolution("surface", (above,), "", 0, turned=True)
    yield _Convolution("voxel", (), "", 0)


def _joined(takes: tuple[str, ...], kept: Mapping[str, Tensor], weights: Weights) -> Tensor:
    """Which channels of joined inputs are left."""
    places, first = [], 0
    for name in takes:
        places.append(kept[name] + first)
        kernel = weights[f"{name}.weight"]
        first += kernel.shape[1 if name.startswith("upsample") else 0]
    return torch.cat(places)


def _heaviest(kernel: Tensor, out_axis: int, scale: Tensor | None, count: int) -> Tensor:
    """Places of the channels with the largest sum of absolute weights, in order."""
    others = [axis for axis in range(kernel.ndim) if axis != out_axis]
    weight = kernel.detach().abs().sum(others)
    if scale is not None:
        weight = weight * scale
    return weight.topk(count).indices.sort().values


def _scale(weights: Weights, norm: str) -> Tensor | None:
    """What a normalisation layer multiplies its channels by."""
    if not norm or f"{norm}.weight" not in weights:
        return None
    scale = weights[f"{norm}.weight"].detach().abs()
    variance = weights.get(f"{norm}.running_var")
    return scale if variance is None else scale / (variance + 1e-5).sqrt()


def _check(wide: NetworkConfig, narrow: NetworkConfig) -> None:
    alike = wide.name is narrow.name is NetworkName.UNET3D_FAST and all(
        getattr(wide, key) == getattr(narrow, key)
        for key in ("sequences", "classes", "normalisation", "output_relu")
    )
    fits = len(wide.widths) == len(narrow.widths) and all(
        few <= many for few, many in zip(narrow.widths, wide.widths, strict=True)
    )
    if not (alike and fits):
        raise InputError(
            "The model to start from is not of the network in the config.",
            expected=f"{_words(narrow)}; of unet3d-fast a wider one does",
            found=_words(wide),
        )


def _words(config: NetworkConfig) -> str:
    widths = "-".join(map(str, config.widths))
    return f"{config.name.value} {widths} with {config.normalisation.value} normalisation"
