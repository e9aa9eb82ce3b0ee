"""The systems that are compared, and the rows of the ablation: presets, and what is changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from minicube.training import Augmentation, TrainingConfig

__all__ = ["ABLATION_BASES", "AS_REPORTED", "SYSTEMS", "Row", "System", "ablation_rows"]

AS_REPORTED: Final = "-as-reported"

Changes = Mapping[str, Any]


@dataclass(frozen=True)
class System:
    """One of the systems that are compared.

    Args:
        name: In results.
        title: In tables.
        config: Its training, but for steps and seed.
        note: What differs from the preset of that name.
    """

    name: str
    title: str
    config: TrainingConfig
    note: str

    @property
    def as_reported(self) -> bool:
        """Whether it is the report's own setting."""
        return self.name.endswith(AS_REPORTED)


@dataclass(frozen=True)
class Row:
    """One row of the ablation.

    Args:
        name: Of the row, in files.
        side: "repaired" with one thing broken, or "as_reported" with one thing repaired.
        what: The thing.
        change: How it differs from the side's base; empty for the base itself.
        config: Its training, but for steps and seed.
    """

    name: str
    side: str
    what: str
    change: str
    config: TrainingConfig


# Small enough that a few minutes on one core are hundreds of steps.
_WINDOW: Final = (48, 48, 48)
_STUDY: Final[Mapping[str, tuple[str, Changes, str]]] = {
    "unet3d-report": (
        "3D U-Net without context",
        {"widths": (8, 16, 32, 64), "window": _WINDOW},
        "narrower: 8-16-32-64 in place of 16-32-64-96; windows of 48³",
    ),
    "unet2d": (
        "2D U-Net",
        {"widths": (16, 32, 64, 128, 256), "batch": 2},
        "narrower: 16 to 256 channels in place of 32 to 512; two windows a step, not four",
    ),
    "unet3d-context": (
        "3D U-Net with context",
        {"widths": (8, 16, 32), "window": _WINDOW, "one_by_one": False, "recompute": False},
        "narrower: 8-16-32 in place of 64-128-256; windows of 48³",
    ),
    "segnet": ("SegNet (exploratory CNN)", {"window": _WINDOW}, "windows of 48³"),
    "vnet": (
        "V-Net",
        {"widths": (4, 8, 16, 32), "window": _WINDOW},
        "narrower: 4-8-16-32 in place of 8-16-32-64; windows of 48³",
    ),
}
_REPORTED: Final[Mapping[str, tuple[Changes, str]]] = {
    "segnet": ({}, ""),
    "unet2d": ({"widths": (16, 32, 64, 128, 256)}, "narrower: 16 to 256 channels"),
    "unet3d-report": ({}, ""),
    "unet3d-context": (
        {"widths": (8, 16, 32), "one_by_one": False, "recompute": False},
        "narrower: 8-16-32 in place of 64-128-256",
    ),
}
"""The report discusses V-Net and did not run it: it has no setting of its own there."""


def _changed(preset: str, changes: Changes) -> TrainingConfig:
    values = TrainingConfig.read(preset).model_dump() | dict(changes)
    return TrainingConfig.checked(values, preset)


def _systems() -> dict[str, System]:
    found = {}
    for name, (title, changes, note) in _STUDY.items():
        found[name] = System(name, title, _changed(name, changes), note)
    for name, (changes, note) in _REPORTED.items():
        preset = name + AS_REPORTED
        title = f"{_STUDY[name][0]}, as reported"
        found[preset] = System(preset, title, _changed(preset, changes), note)
    return found


SYSTEMS: Final[Mapping[str, System]] = _systems()

_NONE: Final = Augmentation.none().model_dump()
_DICE_CE: Final = {"name": "dice+ce"}
_TVERSKY: Final = {"name": "focal-tversky", "alpha": 0.3, "beta": 0.7, "gamma": 4 / 3}
_ITS_LOSS: Final = {
    "name": "dice",
    "activation": "sigmoid",
    "background": True,
    "class_weights": (1, 3, 5, 7),
}
_ITS_RATE: Final = {
    "optimiser": "adam",
    "learning_rate": 0.01,
    "schedule": "constant",
    "warmup": 0,
    "clip": 0,
}
_OUR_RATE: Final = {
    "optimiser": "adamw",
    "learning_rate": 2e-3,
    "schedule": "cosine",
    "warmup": 50,
    "clip": 1.0,
}
_UNCROPPED: Final = (288, 288, 160)  # 240 × 240 × 155 in whole minicubes

_BREAK: Final[tuple[tuple[str, str, Changes], ...]] = (
    ("intensities", "raw", {"intensities": "none"}),
    ("normalisation layers", "none", {"normalisation": "none"}),
    ("normalisation layers", "instance", {"normalisation": "instance"}),
    ("ReLU at the output", "on", {"output_relu": True}),
    ("activation", "sigmoid", {"loss": {"name": "dice+ce", "activation": "sigmoid"}}),
    ("sampling", "evenly in the brain", {"tumour_share": 0.0}),
    ("shuffling", "off", {"shuffle": False}),
    ("optimiser, rate and schedule", "Adam, 0.01, constant, no clipping", _ITS_RATE),
    ("depth", "three levels", {"widths": (8, 16, 32)}),
    ("depth", "two levels", {"widths": (8, 16)}),
    ("width", "8-8-16-16", {"widths": (8, 8, 16, 16)}),
    ("loss", "Dice", {"loss": {"name": "dice"}}),
    ("loss", "cross-entropy", {"loss": {"name": "ce"}}),
    ("loss", "Focal-Tversky, 1/γ", {"loss": _TVERSKY}),
    ("loss", "Focal-Tversky, γ", {"loss": _TVERSKY | {"inverted_exponent": True}}),
    ("augmentation", "none", {"augmentation": _NONE}),
    ("augmentation", "none but the sagittal flip", {"augmentation": _NONE | {"flip": 0.5}}),
    ("augmentation", "none but sharpness", {"augmentation": _NONE | {"sharpness": 0.3}}),
    ("augmentation", "none but blur", {"augmentation": _NONE | {"blur": 0.3}}),
    ("augmentation", "none but elastic deformation", {"augmentation": _NONE | {"elastic": 0.3}}),
    ("crop", "none", {"region": (240, 240, 155)}),
)
_MEND: Final[tuple[tuple[str, str, Changes], ...]] = (
    ("intensities", "z-scores", {"intensities": "z-score in the brain"}),
    ("normalisation layers", "BatchNorm", {"normalisation": "batch"}),
    ("ReLU at the output", "off", {"output_relu": False}),
    ("activation", "softmax", {"loss": _ITS_LOSS | {"activation": "softmax"}}),
    ("sampling", "windows on tumour", {"sampling": "windows"}),
    ("shuffling", "on", {"shuffle": True}),
    ("optimiser, rate and schedule", "AdamW, 0.002, cosine, clipped", _OUR_RATE),
    ("width", "8-16-32-64", {"widths": (8, 16, 32, 64)}),
    ("depth", "five levels", {"widths": (8, 8, 16, 16, 16)}),
    ("loss", "cross-entropy", {"loss": _ITS_LOSS | {"name": "ce"}}),
    ("loss", "Dice and cross-entropy", {"loss": _ITS_LOSS | {"name": "dice+ce"}}),
    ("loss, activation, weights", "all three of ours", {"loss": _DICE_CE}),
    ("augmentation", "ours", {"augmentation": {}}),
    ("crop", "none", {"region": _UNCROPPED}),
)


ABLATION_BASES: Final[Mapping[str, str]] = {
    "repaired": "unet3d-report",
    "as_reported": "unet3d-report" + AS_REPORTED,
}
"""Each side's base: the system that its rows change."""


def ablation_rows() -> list[Row]:
    """One thing changed a row, from the repaired side and from the report's; bases first."""
    rows = []
    for side, changes in (("repaired", _BREAK), ("as_reported", _MEND)):
        base = SYSTEMS[ABLATION_BASES[side]].config
        rows.append(Row(f"ablation/{side}-base", side, "base", "", base))
        for number, (what, change, values) in enumerate(changes, start=1):
            config = TrainingConfig.checked(base.model_dump() | dict(values), f"{what}: {change}")
            rows.append(Row(f"ablation/{side}-{number:02d}", side, what, change, config))
    return rows
