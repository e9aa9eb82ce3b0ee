"""A convolution that is as fast for small volumes as for large ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Conv3d"]


class Conv3d(nn.Conv3d):
    """torch's, with oneDNN for every size.

    On the CPU torch leaves oneDNN for a batch of one when channels × x × y come to 20 480 or
    fewer. What it does then is up to ten times slower and holds the input 27 times over.
    """

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # noqa: A002 - torch's word
        by_onednn = (
            input.device.type == "cpu"
            and input.dtype == weight.dtype == torch.float32
            and not torch.is_autocast_enabled("cpu")
            and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
            and not torch.onnx.is_in_onnx_export()
        )
        if not by_onednn:
            plain: Tensor = super()._conv_forward(input, weight, bias)
            return plain
        assert not isinstance(self.padding, str)
        out: Tensor = torch.mkldnn_convolution(
            input, weight, bias, self.padding, self.stride, self.dilation, self.groups
        )
        return out
