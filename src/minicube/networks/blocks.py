"""Layers that several networks are made of."""

from __future__ import annotations

from torch import Tensor, nn

from minicube.networks.convolution import Conv3d
from minicube.networks.network import NetworkConfig, Normalisation

__all__ = ["block", "centre", "head", "normalised"]

_CONVOLUTIONS = {2: nn.Conv2d, 3: Conv3d}
_NORMALISATIONS = {
    (Normalisation.BATCH, 2): nn.BatchNorm2d,
    (Normalisation.BATCH, 3): nn.BatchNorm3d,
    (Normalisation.INSTANCE, 2): nn.InstanceNorm2d,
    (Normalisation.INSTANCE, 3): nn.InstanceNorm3d,
}


def normalised(channels: int, normalisation: Normalisation, dimensions: int = 3) -> list[nn.Module]:
    """The normalisation layer as a list: empty when there is none."""
    if normalisation is Normalisation.NONE:
        return []
    if normalisation is Normalisation.INSTANCE:
        return [_NORMALISATIONS[normalisation, dimensions](channels, affine=True)]
    return [_NORMALISATIONS[normalisation, dimensions](channels)]


def block(
    inputs: int,
    outputs: int,
    normalisation: Normalisation,
    *,
    paddings: tuple[int, ...] = (1, 1),
    dimensions: int = 3,
) -> nn.Sequential:
    """Convolutions of 3 voxels, each with normalisation and ReLU.

    Args:
        inputs: Channels in.
        outputs: Channels of each convolution.
        normalisation: The layer between convolution and ReLU.
        paddings: Zeros on each side, one entry a convolution: 1 keeps the size, 0 takes two
            voxels away.
        dimensions: 2 or 3.
    """
    layers: list[nn.Module] = []
    for channels, padding in zip((inputs, *[outputs] * (len(paddings) - 1)), paddings, strict=True):
        layers += [
            _CONVOLUTIONS[dimensions](
                channels,
                outputs,
                kernel_size=3,
                padding=padding,
                bias=normalisation is Normalisation.NONE,
            ),
            *normalised(outputs, normalisation, dimensions),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def head(inputs: int, config: NetworkConfig, dimensions: int = 3) -> nn.Module:
    """The last convolution, one voxel wide, and the report's ReLU where it is wanted."""
    last = _CONVOLUTIONS[dimensions](inputs, config.classes, kernel_size=1)
    return nn.Sequential(last, nn.ReLU()) if config.output_relu else last


def centre(tensor: Tensor, like: Tensor) -> Tensor:
    """Cut the centre of ``tensor`` (B, C, X, Y, Z) to the x, y, z of ``like``."""
    for axis in (2, 3, 4):
        surplus = tensor.shape[axis] - like.shape[axis]
        tensor = tensor.narrow(axis, surplus // 2, like.shape[axis])
    return tensor
