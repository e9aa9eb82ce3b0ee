"""What the tests of training have in common: small stored cases, presets made tiny."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minicube.training import Augmentation, TrainingConfig
from minicube.volumes import StoredCase, prepare, store_one
from small_cases import small_case

NOTHING = Augmentation.none()

_WIDTHS = {
    "segnet": (4, 4),
    "unet2d": (4, 4, 4, 4, 4),
    "unet3d-report": (4, 4, 4, 4),
    "unet3d-context": (4, 4, 4),
    "unet3d-fast": (4, 4, 4),
    "vnet": (2, 2, 4, 4),
}


def store_small(folder: Path, count: int) -> list[StoredCase]:
    """That many small cases, prepared and stored; their brains' boxes are about 36³."""
    return [store_one(prepare(small_case(seed)), folder) for seed in range(count)]


def settings(**changes: Any) -> TrainingConfig:
    """A config that is checked, with a window that fits the small cases."""
    return TrainingConfig.checked({"window": (32, 32, 16), **changes}, "test")


def tiny(preset: str, **changes: Any) -> TrainingConfig:
    """A preset in everything but its sizes, which fit the small cases."""
    values = TrainingConfig.read(preset).model_dump()
    network = preset.removesuffix("-as-reported")
    window = (48, 48, 5) if network == "unet2d" else (24, 24, 24)
    sizes: dict[str, Any] = {"widths": _WIDTHS[network], "window": window, "steps": 12}
    if values["minicube"] is not None:
        sizes["minicube"] = window
    if values["region"] is not None:
        x, y, z = window
        sizes["region"] = (x, y, 8 * z) if network == "unet2d" else (2 * x, 2 * y, 2 * z)
    if values["warmup"]:
        sizes["warmup"] = 2
    return TrainingConfig.checked(values | sizes | changes, preset)
