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

from itertools import pairwise

import torch
from torch import Tensor, nn

from minicube.networks.blocks import head, normalised
from minicube.networks.convolution import Conv3d
from minicube.networks.fields import Interval
from minicube.networks.levels import LeveledNetwork
from minicube.networks.network import NetworkConfig, Normalisation

__all__ = ["VNet"]

_KERNEL = 5
_MOST_CONVOLUTIONS = 3


class VNet(LeveledNetwork):
    """Residual stages, with the input of each added to its output."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        widths, kind = config.widths, config.normalisation
        self.first = _step(Conv3d(config.sequences, widths[0], _KERNEL, padding=2), kind)
        self.encoder = nn.ModuleList(_Stage(w, w, i, kind) for i, w in enumerate(widths))
        self.down = nn.ModuleList(
            _step(Conv3d(a, b, kernel_size=2, stride=2), kind) for a, b in pairwise(widths)
        )
        self.up = nn.ModuleList(
            _step(nn.ConvTranspose3d(b, a, kernel_size=2, stride=2), kind)
            for a, b in pairwise(widths)
        )
        self.decoder = nn.ModuleList(_Stage(2 * w, w, i, kind) for i, w in enumerate(widths[:-1]))
        self.head = head(widths[0], config)

    def enter(self, images: Tensor) -> Tensor:
        """A convolution of five voxels."""
        entered: Tensor = self.first(images)
        return entered

    def encode(self, level: int, x: Tensor) -> Tensor:
        """A stage: ``(B, W, X / 2ˡ, Y / 2ˡ, Z / 2ˡ)``."""
        return self.through(self.encoder[level], x, x)

    def descend(self, level: int, x: Tensor) -> Tensor:
        """A strided convolution."""
        below: Tensor = self.down[level](x)
        return below

    def decode(self, level: int, skip: Tensor, below: Tensor) -> Tensor:
        """A transposed convolution, joined with the skip; a stage."""
        risen: Tensor = self.up[level](below)
        return self.through(self.decoder[level], torch.cat([skip, risen], dim=1), risen)

    def leave(self, x: Tensor) -> Tensor:
        """A convolution of one voxel."""
        logits: Tensor = self.head(x)
        return logits

    def before_block(self, level: int, output: Interval) -> Interval:
        """Input interval of a level's encoder, and of its decoder."""
        for _ in range(_convolutions(level)):
            output = output.before_convolution(_KERNEL)
        return output

    def before_rising(self, output: Interval) -> Interval:
        """Interval below that an interval risen to the next level depends on."""
        return output.before_upsampling(kernel=2, stride=2)

    def before_entering(self, output: Interval) -> Interval:
        """Interval of the images that the top level's input depends on."""
        return output.before_convolution(_KERNEL)


class _Stage(nn.Module):
    """Convolutions of 5 voxels with a residual added at the end."""

    def __init__(self, inputs: int, width: int, level: int, kind: Normalisation) -> None:
        super().__init__()
        channels = (inputs, *[width] * (_convolutions(level) - 1))
        self.layers = nn.Sequential(
            *(_step(Conv3d(c, width, _KERNEL, padding=2), kind) for c in channels)
        )

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        added: Tensor = self.layers(x) + residual
        return added


def _convolutions(level: int) -> int:
    return min(level + 1, _MOST_CONVOLUTIONS)


def _step(convolution: nn.Conv3d | nn.ConvTranspose3d, kind: Normalisation) -> nn.Sequential:
    channels = convolution.out_channels
    return nn.Sequential(convolution, *normalised(channels, kind), nn.PReLU(channels))
