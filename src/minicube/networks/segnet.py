"""segnet: the report's exploratory shallow CNN, "two convolutions and two deconvolutions" (§2.2.1).

Report: Buchwald et al., executive report. Two 3³ convolutions of stride 2 and two transposed ones,
without padding. Unpadded, the layers would give 95 voxels for 96; three zeros are put around the
input and taken off the output, so that sizes agree and each output voxel lies over its input.

===================  ==========  ===============  ====  ======
widths               parameters  receptive field  halo  stride
===================  ==========  ===============  ====  ======
32-32                    62 500  11               6     4
===================  ==========  ===============  ====  ======

Parameters with BatchNorm; receptive field, halo and stride in voxels along each axis. The table
is checked by a test.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from minicube.networks.blocks import normalised
from minicube.networks.convolution import Conv3d
from minicube.networks.fields import Interval
from minicube.networks.network import Network, NetworkConfig

__all__ = ["SegNet"]

_BEFORE, _AFTER = 1, 2  # zeros around the input


class SegNet(Network):
    """Down twice and up twice, nothing beside it."""

    levels: ClassVar[range] = range(2, 3)

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        first, second = config.widths
        kind = config.normalisation
        self.layers = nn.Sequential(
            Conv3d(config.sequences, first, kernel_size=3, stride=2),
            *normalised(first, kind),
            nn.ReLU(inplace=True),
            Conv3d(first, second, kernel_size=3, stride=2),
            *normalised(second, kind),
            nn.ReLU(inplace=True),
            nn.ConvTranspose3d(second, first, kernel_size=3, stride=2),
            *normalised(first, kind),
            nn.ReLU(inplace=True),
            nn.ConvTranspose3d(first, config.classes, kernel_size=3, stride=2),
            *([nn.ReLU()] if config.output_relu else []),
        )

    def forward(self, images: Tensor) -> Tensor:  # (B, S, X, Y, Z) -> (B, C, X, Y, Z)
        """Return the logits."""
        x = nn.functional.pad(images, (_BEFORE, _AFTER) * 3)
        logits: Tensor = self.layers(x)
        return logits[:, :, _BEFORE:-_AFTER, _BEFORE:-_AFTER, _BEFORE:-_AFTER]

    def needed(self, output: Interval) -> Interval:
        """Input interval that an output interval depends on, along each axis."""
        x = output.shifted(_BEFORE)
        for _ in range(2):
            x = x.before_upsampling(kernel=3, stride=2)
        for _ in range(2):
            x = x.before_convolution(3, stride=2, padding=0)
        return x.shifted(-_BEFORE)

    @property
    def period(self) -> int:
        """Total stride, voxels."""
        return 4
