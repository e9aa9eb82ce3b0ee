"""unet3d-report: the report's 3D U-Net without context, run on minicubes (§2.2.3).

Report: Buchwald, Heumann, Tobin, Puran Youssef and Zemann, "Brain Tumour Segmentation on the
Basis of a U-Net Architecture", executive report, University of Potsdam – after Çiçek et al.,
MICCAI 2016, arXiv:1606.06650. Channels 8-8-16 down and 16 at the bottom, transposed
convolutions "with large kernels" up (their size is not given: 4³ here), no normalisation
layers and a ReLU at the output; the last two are settings.

===================  ==========  ===============  ====  ======
widths               parameters  receptive field  halo  stride
===================  ==========  ===============  ====  ======
8-8-16-16                90 404  116              54    8
16-32-64-96           1 624 692  116              54    8
===================  ==========  ===============  ====  ======

Parameters with BatchNorm; receptive field, halo and stride in voxels along each axis. The table
is checked by a test.
"""

from __future__ import annotations

from torch import nn

from minicube.networks.fields import Interval
from minicube.networks.unet3d import UNet3d

__all__ = ["UNet3dReport"]


class UNet3dReport(UNet3d):
    """:class:`UNet3d` with transposed convolutions that overlap."""

    @staticmethod
    def _rise(shallow: int, deep: int) -> nn.ConvTranspose3d:
        return nn.ConvTranspose3d(deep, shallow, kernel_size=4, stride=2, padding=1)

    def before_rising(self, output: Interval) -> Interval:
        """Interval below that an interval risen to the next level depends on."""
        return output.before_upsampling(kernel=4, stride=2, padding=1)
