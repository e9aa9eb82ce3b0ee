"""unet2d: a 2D U-Net over slices (§2.2.2 of the report).

Paper: Buda, Saha and Mazurowski, "Association of genomic subtypes of lower-grade gliomas with
shape features automatically extracted by a deep learning algorithm", Computers in Biology and
Medicine 109 (2019), arXiv:1906.03720: 32-64-128-256 and 512 at the bottom, BatchNorm, transposed
2² convolutions up. As in the report, with four channels in and four out.

===================  ==========  ===============  ====  ======
widths               parameters  receptive field  halo  stride
===================  ==========  ===============  ====  ======
32-64-128-256-512     7 763 428  204              94    16
16-32-64-128-256      1 942 772  204              94    16
===================  ==========  ===============  ====  ======

Receptive field, halo and stride in voxels within a slice; across slices 1, 0 and 1. Tri-planar
use (axial, coronal and sagittal slices through one network, probabilities averaged) has them
along all three axes. The table is checked by a test.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from minicube.networks.blocks import block, head
from minicube.networks.fields import Interval, needed_by_unet
from minicube.networks.network import Network, NetworkConfig

__all__ = ["UNet2d"]

_X, _Y, _Z = 2, 3, 4
_TINY = 1e-7


class UNet2d(Network):
    """Slices go through as a batch; takes and gives volumes like the other networks."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        widths, kind = config.widths, config.normalisation
        inputs = (config.sequences, *widths[:-1])
        self.encoder = nn.ModuleList(
            block(a, b, kind, dimensions=2) for a, b in zip(inputs, widths, strict=True)
        )
        self.pool = nn.MaxPool2d(2)
        self.upsample = nn.ModuleList(
            nn.ConvTranspose2d(deep, shallow, kernel_size=2, stride=2)
            for shallow, deep in pairwise(widths)
        )
        self.decoder = nn.ModuleList(block(2 * w, w, kind, dimensions=2) for w in widths[:-1])
        self.head = head(widths[0], config, dimensions=2)

    def forward(self, images: Tensor) -> Tensor:  # (B, S, X, Y, Z) -> (B, C, X, Y, Z)
        """Return the logits; of all planes, the logarithm of their mean probability."""
        if not self.config.triplanar:
            return self._through_plane(images, _Z)
        planes = [self._through_plane(images, axis).float() for axis in (_Z, _Y, _X)]
        mean = torch.stack([torch.softmax(plane, dim=1) for plane in planes]).mean(dim=0)
        return torch.log(mean.clamp(min=_TINY))

    def _through_plane(self, images: Tensor, axis: int) -> Tensor:
        """Run the slices that lie across ``axis``."""
        batch = images.shape[0]
        stacked = images.movedim(axis, 1).flatten(0, 1)  # (B Z, S, X, Y)
        stacked = stacked.contiguous(memory_format=torch.channels_last)
        logits = self._slices(stacked)
        volumes = logits.view(batch, -1, *logits.shape[1:])  # (B, Z, C, X, Y)
        return volumes.movedim(1, axis)

    def _slices(self, x: Tensor) -> Tensor:  # (N, S, X, Y) -> (N, C, X, Y)
        skips: list[Tensor] = []
        for encode in self.encoder[:-1]:
            x = self.through(encode, x)  # (N, W_l, X/2^l, Y/2^l)
            skips.append(x)
            x = self.pool(x)
        x = self.through(self.encoder[-1], x)
        for level in reversed(range(len(skips))):
            x = torch.cat([skips[level], self.upsample[level](x)], dim=1)  # (N, 2 W_l, …)
            x = self.through(self.decoder[level], x)
        logits: Tensor = self.head(x)
        return logits

    def needed(self, output: Interval) -> Interval:
        """Input interval that an output interval depends on, along an axis of the slice."""
        return needed_by_unet(
            output,
            [lambda i: i.before_convolution(3).before_convolution(3)] * len(self.config.widths),
            lambda i: i.before_pooling(2),
            lambda i: i.before_upsampling(kernel=2, stride=2),
        )

    @property
    def period(self) -> int:
        """Total stride within a slice, voxels."""
        return int(2 ** (len(self.config.widths) - 1))

    @property
    def axes(self) -> tuple[bool, bool, bool]:
        """Along x and y; along z only when tri-planar."""
        return True, True, self.config.triplanar
