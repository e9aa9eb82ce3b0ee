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
from minicube.networks.fields import Interval, needed_by_unet
from minicube.networks.network import Network, NetworkConfig

__all__ = ["UNet3d"]


class UNet3d(Network):
    """Encoder, decoder and skips: two 3³ convolutions a level, halved by max-pooling."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        widths, kind = config.widths, config.normalisation
        inputs = (config.sequences, *widths[:-1])
        self.encoder = nn.ModuleList(block(a, b, kind) for a, b in zip(inputs, widths, strict=True))
        self.pool = nn.MaxPool3d(2)
        self.upsample = nn.ModuleList(self._up(a, b) for a, b in pairwise(widths))
        self.decoder = nn.ModuleList(block(2 * width, width, kind) for width in widths[:-1])
        self.head = head(widths[0], config)

    def forward(self, images: Tensor) -> Tensor:  # (B, S, X, Y, Z) -> (B, C, X, Y, Z)
        """Return the logits."""
        x = images
        skips: list[Tensor] = []
        for encode in self.encoder[:-1]:
            x = self.through(encode, x)  # (B, W_l, X/2^l, Y/2^l, Z/2^l)
            skips.append(x)
            x = self.pool(x)
        x = self.through(self.encoder[-1], x)
        for level in reversed(range(len(skips))):
            x = torch.cat([skips[level], self.upsample[level](x)], dim=1)  # (B, 2 W_l, …)
            x = self.through(self.decoder[level], x)
        logits: Tensor = self.head(x)
        return logits

    @staticmethod
    def _up(shallow: int, deep: int) -> nn.ConvTranspose3d:
        return nn.ConvTranspose3d(deep, shallow, kernel_size=2, stride=2)

    def needed(self, output: Interval) -> Interval:
        """Input interval that an output interval depends on, along each axis."""
        return needed_by_unet(
            output,
            [_before_block] * len(self.config.widths),
            lambda i: i.before_pooling(2),
            self._before_up,
        )

    @staticmethod
    def _before_up(output: Interval) -> Interval:
        return output.before_upsampling(kernel=2, stride=2)

    @property
    def period(self) -> int:
        """Total stride, voxels."""
        return int(2 ** (len(self.config.widths) - 1))


def _before_block(output: Interval) -> Interval:
    return output.before_convolution(3).before_convolution(3)
