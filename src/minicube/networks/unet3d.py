"""unet3d: a compact 3D U-Net, the package's own network.

Paper: Çiçek, Abdulkadir, Lienkamp, Brox and Ronneberger, "3D U-Net: Learning Dense Volumetric
Segmentation from Sparse Annotation", MICCAI 2016, arXiv:1606.06650 – with same-padded
convolutions, BatchNorm and a free choice of widths.

===================  ==========  ===============  ====  ======
widths               parameters  receptive field  halo  stride
===================  ==========  ===============  ====  ======
16-32-64-128         1 402 612   100              46    8
16-32-64-96-96       2 456 020   204              94    16
===================  ==========  ===============  ====  ======

Receptive field, halo and stride in voxels along each axis; the table is checked by a test.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from minicube.networks.fields import Interval, halo, receptive_field

__all__ = ["UNet3d", "UNet3dConfig"]


@dataclass(frozen=True)
class UNet3dConfig:
    """Size of a :class:`UNet3d`.

    Args:
        widths: Channels of each level, top first; at least two levels.
        sequences: Channels in.
        classes: Channels out, background included.
    """

    widths: tuple[int, ...] = (16, 32, 64, 128)
    sequences: int = 4
    classes: int = 4


class UNet3d(nn.Module):
    """Encoder, decoder and skips: two 3³ convolutions a level, halved by max-pooling.

    Takes ``(batch, sequence, x, y, z)`` with x, y, z multiples of :attr:`stride`; gives
    logits ``(batch, class, x, y, z)``.
    """

    def __init__(self, config: UNet3dConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        inputs = (config.sequences, *widths[:-1])
        self.encoder = nn.ModuleList(_block(a, b) for a, b in zip(inputs, widths, strict=True))
        self.upsample = nn.ModuleList(
            nn.ConvTranspose3d(deep, shallow, kernel_size=2, stride=2)
            for shallow, deep in pairwise(widths)
        )
        self.decoder = nn.ModuleList(_block(2 * width, width) for width in widths[:-1])
        self.head = nn.Conv3d(widths[0], config.classes, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:  # (B, S, X, Y, Z) -> (B, C, X, Y, Z)
        """Return the logits."""
        skips: list[Tensor] = []
        for block in self.encoder[:-1]:
            x = block(x)  # (B, W_l, X/2^l, Y/2^l, Z/2^l)
            skips.append(x)
            x = nn.functional.max_pool3d(x, 2)
        x = self.encoder[-1](x)
        for level in reversed(range(len(skips))):
            x = torch.cat([skips[level], self.upsample[level](x)], dim=1)  # (B, 2 W_l, …)
            x = self.decoder[level](x)
        logits: Tensor = self.head(x)
        return logits

    def needed(self, output: Interval, level: int = 0) -> Interval:
        """Input interval of ``level`` on which its output interval depends, along one axis."""
        if level == len(self.config.widths) - 1:
            return _before_block(output)
        joined = _before_block(output)  # decoder
        below = self.needed(joined.before_upsampling(2), level + 1).before_pooling(2)
        return _before_block(joined.joined(below))  # encoder

    @property
    def stride(self) -> int:
        """Voxels; every axis of the input must be a multiple of it."""
        return int(2 ** (len(self.config.widths) - 1))

    @property
    def receptive_field(self) -> int:
        """Voxels along each axis that an output voxel sees at the most."""
        return receptive_field(self.needed, self.stride)

    @property
    def halo(self) -> int:
        """Voxels of context on each side that make a part aligned to the stride exact."""
        return halo(self.needed, self.stride)


def _block(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [
            nn.Conv3d(channels, outputs, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm3d(outputs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def _before_block(output: Interval) -> Interval:
    return output.before_convolution(3).before_convolution(3)
