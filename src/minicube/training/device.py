"""What a training computes on, and what it may hold there.

Nothing here was verified on a graphics card: no machine had one.
"""

from __future__ import annotations

from enum import StrEnum

import torch

from minicube._errors import InputError
from minicube._machine import give_back_freed_memory, resident_memory
from minicube.engines import Precision
from minicube.engines.torch_engine import has_bf16
from minicube.planning import in_words

__all__ = [
    "Device",
    "computes_bf16",
    "held_before",
    "keep_within",
    "refuse_missing",
    "spare_on_card",
]


class Device(StrEnum):
    """Where the network lives."""

    CPU = "cpu"
    CUDA = "cuda"


def refuse_missing(device: Device) -> None:
    """Raise an :class:`InputError` when the device is not there."""
    if device is Device.CUDA and not torch.cuda.is_available():
        raise InputError(
            "There is no graphics card that this PyTorch can compute on.",
            expected="an NVIDIA card and a PyTorch made for CUDA",
            hint="leave out --device, or install PyTorch for CUDA",
        )


def computes_bf16(device: Device, wanted: Precision) -> bool:
    """Whether to compute in bf16; "auto" does where the device computes in it."""
    if wanted is not Precision.AUTO:
        return wanted is Precision.BF16
    # Cards that only emulate it are left at fp32.
    return has_bf16() if device is Device.CPU else torch.cuda.is_bf16_supported(False)


def held_before(device: Device) -> int:
    """Bytes that count towards a budget before there is a network.

    Of the CPU all that the process holds; of a card what torch has reserved there. What the card's
    driver takes for itself is not counted.
    """
    if device is Device.CUDA:
        return torch.cuda.memory_reserved()
    give_back_freed_memory()
    return resident_memory() or 0


def spare_on_card() -> int:
    """Bytes that nobody holds on the card.

    Raises:
        InputError: There is no card.
    """
    refuse_missing(Device.CUDA)
    free, _ = torch.cuda.mem_get_info()
    return int(free)


def keep_within(device: Device, budget: int) -> None:
    """Have torch refuse to reserve more than ``budget`` bytes on a card; on the CPU do nothing.

    Raises:
        InputError: The card has less than that.
    """
    if device is Device.CPU:
        return
    total = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    if budget > total:
        raise InputError(
            f"The graphics card has {in_words(total)}.", expected="a budget within that"
        )
    torch.cuda.set_per_process_memory_fraction(budget / total)
