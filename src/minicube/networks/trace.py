"""What a network is made of, layer by layer, as plain values: for drawings and for costs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor, nn

from minicube.networks.build import build_network
from minicube.networks.network import NetworkConfig

__all__ = ["Layer", "LayerKind", "trace"]


class LayerKind(StrEnum):
    """The layers that change channels or size."""

    CONVOLUTION = "convolution"
    POOLING = "pooling"
    TRANSPOSED = "transposed convolution"


@dataclass(frozen=True)
class Layer:
    """One layer as it ran.

    Args:
        kind: Of layer.
        name: Where it stands in the network, such as ``encoder.0.3``.
        kernel: Voxels along each axis it convolves.
        stride: Voxels.
        channels_in: Channels it takes.
        channels: Channels it gives.
        shape: Voxels it gives along x, y, z (2D networks: z is 1).
    """

    kind: LayerKind
    name: str
    kernel: int
    stride: int
    channels_in: int
    channels: int
    shape: tuple[int, int, int]


def trace(config: NetworkConfig, shape: tuple[int, int, int]) -> list[Layer]:
    """Run a network without numbers and write down its layers in the order they ran.

    Args:
        config: Of the network.
        shape: Voxels along x, y, z that it answers for; the margin is added.

    Returns:
        Convolutions, poolings and transposed convolutions.
    """
    with torch.device("meta"):
        network = build_network(config)
        layers: list[Layer] = []
        for name, module in network.named_modules():
            kind = _kind(module)
            if kind is not None:
                module.register_forward_hook(_noting(layers, kind, name))
        grown = (n + 2 * network.margin for n in shape)
        network(torch.zeros(1, config.sequences, *grown))
    return layers


def _kind(module: nn.Module) -> LayerKind | None:
    if isinstance(module, nn.Conv2d | nn.Conv3d):
        return LayerKind.CONVOLUTION
    if isinstance(module, nn.ConvTranspose2d | nn.ConvTranspose3d):
        return LayerKind.TRANSPOSED
    if isinstance(module, nn.MaxPool2d | nn.MaxPool3d):
        return LayerKind.POOLING
    return None


class _noting:  # noqa: N801 - reads as a verb where it is used
    """A hook that appends what it sees."""

    def __init__(self, layers: list[Layer], kind: LayerKind, name: str) -> None:
        self._layers, self._kind, self._name = layers, kind, name

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        x, y, z = (*output.shape[2:], 1)[:3]
        kernel, stride = module.kernel_size, module.stride
        self._layers.append(
            Layer(
                kind=self._kind,
                name=self._name,
                kernel=kernel if isinstance(kernel, int) else int(kernel[0]),  # type: ignore[index]
                stride=stride if isinstance(stride, int) else int(stride[0]),  # type: ignore[index]
                channels_in=inputs[0].shape[1],
                channels=output.shape[1],
                shape=(x, y, z),
            )
        )
