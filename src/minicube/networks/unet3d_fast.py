"""unet3d-fast: a 3D U-Net that thinks at half the resolution, for processors without a GPU.

Half of a U-Net's time goes to its top level, where few channels meet many voxels. Here the images
are taken in by convolutions of 2³ with stride 2, a U-Net runs on what they give, and a transposed
convolution gives each class's logit at full resolution. To that comes, voxel by voxel, a weighted
sum of the intensities: the U-Net says what is likely at a place, the voxel what it looks like
itself, and edges follow the images.

Papers: Çiçek et al., MICCAI 2016, arXiv:1606.06650, for the U-Net; Shi et al., "Real-Time Single
Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network",
CVPR 2016, arXiv:1609.05158, for computing small and giving large.

===================  ==========  ===============  ====  ======
widths               parameters  receptive field  halo  stride
===================  ==========  ===============  ====  ======
24-48-96-128          2 399 600   200              92    16
===================  ==========  ===============  ====  ======

Parameters with BatchNorm; receptive field, halo and stride in voxels along each axis. The table
is checked by a test.
"""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from minicube.networks.blocks import block, normalised
from minicube.networks.convolution import Conv3d
from minicube.networks.fields import Interval
from minicube.networks.levels import LeveledNetwork
from minicube.networks.network import NetworkConfig, Normalisation

__all__ = ["UNet3dFast"]


class UNet3dFast(LeveledNetwork):
    """Level 0 is the images; the widths are those of the levels below it."""

    levels: ClassVar[range] = range(2, 7)

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        widths, kind = config.widths, config.normalisation
        self.stem = nn.Sequential(
            Conv3d(
                config.sequences,
                widths[0],
                kernel_size=2,
                stride=2,
                bias=kind is Normalisation.NONE,
            ),
            *normalised(widths[0], kind),
            nn.ReLU(inplace=True),
        )
        inputs = (widths[0], *widths[:-1])
        self.encoder = nn.ModuleList(block(a, b, kind) for a, b in zip(inputs, widths, strict=True))
        self.pool = nn.MaxPool3d(2)
        self.upsample = nn.ModuleList(
            nn.ConvTranspose3d(b, a, kernel_size=2, stride=2) for a, b in pairwise(widths)
        )
        self.decoder = nn.ModuleList(block(2 * width, width, kind) for width in widths[:-1])
        self.surface = nn.ConvTranspose3d(widths[0], config.classes, kernel_size=2, stride=2)
        self.voxel = Conv3d(config.sequences, config.classes, kernel_size=1)
        self.last = nn.ReLU() if config.output_relu else nn.Identity()

    @property
    def depth(self) -> int:
        """Number of levels, the images among them."""
        return len(self.config.widths) + 1

    def risen(self, level: int) -> int:
        """Channels that a level gives to the one above."""
        return self.config.widths[level - 1]

    def enter(self, images: Tensor) -> Tensor:
        """Nothing: the images are the top level's input."""
        return images

    def encode(self, level: int, x: Tensor) -> Tensor:
        """Two convolutions: ``(B, W, X / 2ˡ, Y / 2ˡ, Z / 2ˡ)``; at the top nothing."""
        return x if level == 0 else self.through(self.encoder[level - 1], x)

    def descend(self, level: int, x: Tensor) -> Tensor:
        """A strided convolution from the images, max-pooling below."""
        below: Tensor = self.stem(x) if level == 0 else self.pool(x)
        return below

    def decode(self, level: int, skip: Tensor, below: Tensor) -> Tensor:
        """A transposed convolution, joined with the skip; two convolutions. At the top logits."""
        if level == 0:
            logits: Tensor = self.surface(below)
            logits += self.voxel(skip)
            return logits
        joined = torch.cat([skip, self.upsample[level - 1](below)], dim=1)  # (B, 2 W, …)
        del skip, below
        return self.through(self.decoder[level - 1], joined)

    def leave(self, x: Tensor) -> Tensor:
        """Nothing but the report's ReLU, where it is wanted."""
        logits: Tensor = self.last(x)
        return logits

    def before_block(self, level: int, output: Interval) -> Interval:
        """Input interval of a level's encoder, and of its decoder."""
        if level == 0:
            return output
        return output.before_convolution(3).before_convolution(3)

    def before_rising(self, output: Interval) -> Interval:
        """Interval below that an interval risen to the next level depends on."""
        return output.before_upsampling(kernel=2, stride=2)
