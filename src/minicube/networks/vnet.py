"""vnet: the 3D network that the report holds its own against (§1.1).

Paper: Milletari, Navab and Ahmadi, "V-Net: Fully Convolutional Neural Networks for Volumetric
Medical Image Segmentation", 3DV 2016, arXiv:1606.04797: residual stages of one, two and three 5³
convolutions, strided 2³ convolutions down, transposed ones up, PReLU. The paper's 16 to 256
channels would not fit a small machine; widths are free, and a decoder stage brings its joined
channels down at once, where the paper's keeps twice as many.

===================  ==========  ===============  ====  ======
widths               parameters  receptive field  halo  stride
===================  ==========  ===============  ====  ======
8-16-32-64            2 665 604  248              124   8
===================  ==========  ===============  ====  ======

Parameters with BatchNorm; receptive field, halo and stride in voxels along each axis. The table
is checked by a test.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from minicube.networks.blocks import head, normalised
from minicube.networks.fields import Interval, needed_by_unet
from minicube.networks.network import Network, NetworkConfig, Normalisation

__all__ = ["VNet"]

_KERNEL = 5
_MOST_CONVOLUTIONS = 3


class VNet(Network):
    """Residual stages, with the input of each added to its output."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        widths, kind = config.widths, config.normalisation
        self.first = _step(nn.Conv3d(config.sequences, widths[0], _KERNEL, padding=2), kind)
        self.encoder = nn.ModuleList(_Stage(w, w, i, kind) for i, w in enumerate(widths))
        self.down = nn.ModuleList(
            _step(nn.Conv3d(a, b, kernel_size=2, stride=2), kind) for a, b in pairwise(widths)
        )
        self.up = nn.ModuleList(
            _step(nn.ConvTranspose3d(b, a, kernel_size=2, stride=2), kind)
            for a, b in pairwise(widths)
        )
        self.decoder = nn.ModuleList(_Stage(2 * w, w, i, kind) for i, w in enumerate(widths[:-1]))
        self.head = head(widths[0], config)

    def forward(self, images: Tensor) -> Tensor:  # (B, S, X, Y, Z) -> (B, C, X, Y, Z)
        """Return the logits."""
        x = self.first(images)
        skips: list[Tensor] = []
        for level, down in enumerate(self.down):
            x = self.through(self.encoder[level], x, x)  # (B, W_l, X/2^l, Y/2^l, Z/2^l)
            skips.append(x)
            x = down(x)
        x = self.through(self.encoder[-1], x, x)
        for level in reversed(range(len(skips))):
            x = self.up[level](x)
            x = self.through(self.decoder[level], torch.cat([skips[level], x], dim=1), x)
        logits: Tensor = self.head(x)
        return logits

    def needed(self, output: Interval) -> Interval:
        """Input interval that an output interval depends on, along each axis."""
        stages = [partial(_before_stage, level=level) for level in range(len(self.config.widths))]
        return needed_by_unet(
            output,
            stages,
            lambda i: i.before_pooling(2),
            lambda i: i.before_upsampling(kernel=2, stride=2),
        ).before_convolution(_KERNEL)

    @property
    def period(self) -> int:
        """Total stride, voxels."""
        return int(2 ** (len(self.config.widths) - 1))


class _Stage(nn.Module):
    """Convolutions of 5 voxels with a residual added at the end."""

    def __init__(self, inputs: int, width: int, level: int, kind: Normalisation) -> None:
        super().__init__()
        channels = (inputs, *[width] * (_convolutions(level) - 1))
        self.layers = nn.Sequential(
            *(_step(nn.Conv3d(c, width, _KERNEL, padding=2), kind) for c in channels)
        )

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        added: Tensor = self.layers(x) + residual
        return added


def _convolutions(level: int) -> int:
    return min(level + 1, _MOST_CONVOLUTIONS)


def _step(convolution: nn.Conv3d | nn.ConvTranspose3d, kind: Normalisation) -> nn.Sequential:
    channels = convolution.out_channels
    return nn.Sequential(convolution, *normalised(channels, kind), nn.PReLU(channels))


def _before_stage(output: Interval, level: int) -> Interval:
    for _ in range(_convolutions(level)):
        output = output.before_convolution(_KERNEL)
    return output
