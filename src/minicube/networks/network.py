"""What all networks share: their settings, and what follows from their layers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from minicube.networks.fields import Interval, halo, receptive_field

__all__ = ["Network", "NetworkConfig", "NetworkName", "Normalisation"]


_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


@contextmanager
def _statistics_as_they_are(block: nn.Module) -> Iterator[None]:
    """Let BatchNorm's running averages alone: the first pass has moved them already."""
    layers = [m for m in block.modules() if isinstance(m, nn.BatchNorm2d | nn.BatchNorm3d)]
    before = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, before, strict=True):
            layer.momentum = momentum


class NetworkName(StrEnum):
    """The networks, by the names they have in configs."""

    SEGNET = "segnet"
    UNET2D = "unet2d"
    UNET3D_REPORT = "unet3d-report"
    UNET3D_CONTEXT = "unet3d-context"
    VNET = "vnet"
    UNET3D = "unet3d"
    UNET3D_FAST = "unet3d-fast"


class Normalisation(StrEnum):
    """The layer after a convolution; "none" leaves it out, as the report did in 3D."""

    BATCH = "batch"
    INSTANCE = "instance"
    NONE = "none"


@dataclass(frozen=True)
class NetworkConfig:
    """A network, whole: what is needed to build it.

    Args:
        name: Which.
        widths: Channels of each level, top first.
        normalisation: After each convolution.
        output_relu: A ReLU after the last convolution, as the report had it; logits below 0
            and their gradients are lost.
        triplanar: For ``unet2d``: axial, coronal and sagittal slices, averaged.
        sequences: Channels in.
        classes: Channels out, background included.
    """

    name: NetworkName = NetworkName.UNET3D
    widths: tuple[int, ...] = (16, 32, 64, 128)
    normalisation: Normalisation = Normalisation.BATCH
    output_relu: bool = False
    triplanar: bool = False
    sequences: int = 4
    classes: int = 4


class Network(nn.Module, ABC):
    """Takes ``(batch, sequence, x, y, z)``, gives logits ``(batch, class, x, y, z)``.

    x, y and z of the input must be multiples of :attr:`stride`, to which twice
    :attr:`margin` is added; the output is smaller by that margin on every side.
    """

    margin: ClassVar[int] = 0
    """Voxels the output lacks on each side: the context that an unpadded network consumes."""

    levels: ClassVar[range] = range(2, 8)
    """How many widths it may have."""

    recompute: bool = False
    """Compute blocks again in the backward pass instead of keeping what is inside them."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config

    def through(self, block: nn.Module, *inputs: Tensor) -> Tensor:
        """Run a block; in training, forget what is inside it where :attr:`recompute` says so."""
        if not (self.recompute and self.training and torch.is_grad_enabled()):
            out: Tensor = block(*inputs)
            return out
        again: Tensor = checkpoint(
            block,
            *inputs,
            use_reentrant=False,
            context_fn=lambda: (nullcontext(), _statistics_as_they_are(block)),
        )
        return again

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""

    @abstractmethod
    def needed(self, output: Interval) -> Interval:
        """Input interval that an output interval depends on, along an axis it convolves."""

    @property
    @abstractmethod
    def period(self) -> int:
        """Total stride along an axis it convolves, voxels."""

    @property
    def axes(self) -> tuple[bool, bool, bool]:
        """Whether it convolves along x, y, z."""
        return True, True, True

    @property
    def stride(self) -> tuple[int, int, int]:
        """Voxels along x, y, z; the input's shape is a multiple of it."""
        return self._along(self.period, 1)

    @property
    def receptive_field(self) -> tuple[int, int, int]:
        """Voxels along x, y, z that an output voxel sees at the most."""
        return self._along(receptive_field(self.needed, self.period), 1)

    @property
    def halo(self) -> tuple[int, int, int]:
        """Voxels of context on each side, along x, y, z, that make an aligned part exact."""
        return self._along(halo(self.needed, self.period), 0)

    @property
    def parameter_count(self) -> int:
        """Trainable numbers."""
        return sum(p.numel() for p in self.parameters())

    def channels_last(self) -> Self:
        """Lay the weights out channels last, which the CPU's kernels are fastest with."""
        for parameter in self.parameters():
            layout = _CHANNELS_LAST.get(parameter.ndim)
            if layout is not None:
                parameter.data = parameter.data.contiguous(memory_format=layout)
        return self

    def _along(self, convolved: int, other: int) -> tuple[int, int, int]:
        x, y, z = (convolved if along else other for along in self.axes)
        return x, y, z
