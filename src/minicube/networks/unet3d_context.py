"""unet3d-context: the report's 3D U-Net with context, its Figure 3.

Report: Buchwald et al., executive report, §2.2.3 and Figure 3 – after Çiçek et al., MICCAI 2016,
arXiv:1606.06650. A minicube of 96 × 96 × 80 voxels is given ten voxels of context on every side;
unpadded convolutions in the encoder use the context up:

    116 → 114 → 112 | 56 → 54 → 52 | 26 → 26 → 24 | up 48, same, same | up 96, same, same

(100 → 98 → 96 | 48 → 46 → 44 | 22 → 22 → 20 | 40 | 80 along z), skips cropped from the centre. The
decoder pads with zeros inside the part, so parts agree better at their faces but not exactly.

===================  ==========  ===============  ====  ======
widths               parameters  receptive field  halo  stride
===================  ==========  ===============  ====  ======
16-32-64                340 916  44               22    4
64-128-256            5 424 836  44               22    4
===================  ==========  ===============  ====  ======

Parameters with BatchNorm; receptive field, halo and stride in voxels along each axis. The halo
exceeds the context of ten: what lies beyond is the zeros. The table is checked by a test.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from minicube.networks.blocks import block, centre, head
from minicube.networks.fields import Interval
from minicube.networks.network import Network, NetworkConfig

__all__ = ["UNet3dContext"]

_SAME, _VALID = 1, 0


class UNet3dContext(Network):
    """Three levels; takes a part with its context and answers for the part alone."""

    margin: ClassVar[int] = 10
    levels: ClassVar[range] = range(3, 4)

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        top, middle, bottom = config.widths
        kind = config.normalisation
        valid = (_VALID, _VALID)
        self.encode_top = block(config.sequences, top, kind, paddings=valid)
        self.encode_middle = block(top, middle, kind, paddings=valid)
        self.bottom = block(middle, bottom, kind, paddings=(_SAME, _VALID))
        self.pool = nn.MaxPool3d(2)
        self.up_middle = nn.ConvTranspose3d(bottom, middle, kernel_size=2, stride=2)
        self.decode_middle = block(2 * middle, middle, kind)
        self.up_top = nn.ConvTranspose3d(middle, top, kernel_size=2, stride=2)
        self.decode_top = block(2 * top, top, kind)
        self.head = head(top, config)

    def forward(self, images: Tensor) -> Tensor:  # (B, S, X + 20, …) -> (B, C, X, Y, Z)
        """Return the logits."""
        top = self.through(self.encode_top, images)  # X + 16
        middle = self.through(self.encode_middle, self.pool(top))  # X / 2 + 4
        x = self.up_middle(self.through(self.bottom, self.pool(middle)))  # X / 2
        x = self.through(self.decode_middle, torch.cat([centre(middle, like=x), x], dim=1))
        x = self.up_top(x)  # X
        x = self.through(self.decode_top, torch.cat([centre(top, like=x), x], dim=1))
        logits: Tensor = self.head(x)
        return logits

    def needed(self, output: Interval) -> Interval:
        """Input interval that an output interval depends on; output voxel 0 lies at input 0."""
        decoded = _before_same_block(output)
        middle = _before_same_block(decoded.before_upsampling(kernel=2, stride=2))
        bottom = middle.before_upsampling(kernel=2, stride=2)
        pooled = bottom.before_convolution(3, padding=_VALID).before_convolution(3)
        encoded = middle.shifted(2).joined(pooled.before_pooling(2))  # its centre starts at 2
        encoded_top = decoded.shifted(8).joined(_before_valid_block(encoded).before_pooling(2))
        return _before_valid_block(encoded_top).shifted(-self.margin)

    @property
    def period(self) -> int:
        """Total stride, voxels."""
        return 4


def _before_same_block(output: Interval) -> Interval:
    return output.before_convolution(3).before_convolution(3)


def _before_valid_block(output: Interval) -> Interval:
    return output.before_convolution(3, padding=_VALID).before_convolution(3, padding=_VALID)
