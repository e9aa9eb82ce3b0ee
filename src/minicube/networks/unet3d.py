"""unet3d: a compact 3D U-Net, the package's own network.

Paper: Çiçek, Abdulkadir, Lienkamp, Brox and Ronneberger, "3D U-Net: Learning Dense Volumetric
Segmentation from Sparse Annotation", MICCAI 2016, arXiv:1606.06650 – with same-padded
convolutions, BatchNorm and a free choice of widths.

===================  ==========  ===============  ====  ======
widths               parameters  receptive field  halo  stride
===================  ==========  ===============  ====  ======
16-32-64-128          1 402 612  100              46    8
16-32-64-96-96        2 456 020  204              94    16
===================  ==========  ===============  ====  ======

Receptive field, halo and stride in voxels along each axis; the table is checked by a test.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from minicube.networks.blocks import block, head
from minicube.networks.fields import Interval
from minicube.networks.levels import LeveledNetwork
from minicube.networks.network import NetworkConfig

__all__ = ["UNet3d"]


class UNet3d(LeveledNetwork):
    """Encoder, decoder and skips: two 3³ convolutions a level, halved by max-pooling."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        widths, kind = config.widths, config.normalisation
        inputs = (config.sequences, *widths[:-1])
        self.encoder = nn.ModuleList(block(a, b, kind) for a, b in zip(inputs, widths, strict=True))
        self.pool = nn.MaxPool3d(2)
        self.upsample = nn.ModuleList(self._rise(a, b) for a, b in pairwise(widths))
        self.decoder = nn.ModuleList(block(2 * width, width, kind) for width in widths[:-1])
        self.head = head(widths[0], config)

    def enter(self, images: Tensor) -> Tensor:
        """Nothing: the images are the top level's input."""
        return images

    def encode(self, level: int, x: Tensor) -> Tensor:
        """Two convolutions: ``(B, W, X / 2ˡ, Y / 2ˡ, Z / 2ˡ)``."""
        return self.through(self.encoder[level], x)

    def descend(self, level: int, x: Tensor) -> Tensor:
        """Max-pooling."""
        pooled: Tensor = self.pool(x)
        return pooled

    def decode(self, level: int, skip: Tensor, below: Tensor) -> Tensor:
        """A transposed convolution, joined with the skip; two convolutions."""
        joined = torch.cat([skip, self.upsample[level](below)], dim=1)  # (B, 2 W, …)
        del skip, below
        return self.through(self.decoder[level], joined)

    def leave(self, x: Tensor) -> Tensor:
        """A convolution of one voxel."""
        logits: Tensor = self.head(x)
        return logits

    @staticmethod
    def _rise(shallow: int, deep: int) -> nn.ConvTranspose3d:
        return nn.ConvTranspose3d(deep, shallow, kernel_size=2, stride=2)

    def before_block(self, level: int, output: Interval) -> Interval:
        """Input interval of a level's encoder, and of its decoder."""
        return output.before_convolution(3).before_convolution(3)

    def before_rising(self, output: Interval) -> Interval:
        """Interval below that an interval risen to the next level depends on."""
        return output.before_upsampling(kernel=2, stride=2)
