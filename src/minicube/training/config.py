"""Everything a training depends on, as plain values that are printed and kept with the run."""

from __future__ import annotations

import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from minicube._errors import InputError
from minicube._files import read_json

__all__ = ["Augmentation", "Precision", "TrainingConfig"]


class Precision(StrEnum):
    """Number format of the network's arithmetic; weights are always kept in fp32."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"


class _Plain(BaseModel):
    """Frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Augmentation(_Plain):
    """How often each change is made to a sample; probabilities in [0, 1]."""

    flip: float = Field(0.5, ge=0, le=1, description="mirrored left to right")
    affine: float = Field(0.4, ge=0, le=1, description="rotated and scaled")
    elastic: float = Field(0.1, ge=0, le=1, description="bent, on top of an affine change")
    contrast: float = Field(0.3, ge=0, le=1, description="gamma, each sequence")
    scale: float = Field(0.3, ge=0, le=1, description="scaled and shifted, each sequence")
    noise: float = Field(0.15, ge=0, le=1, description="Gaussian noise, each sequence")
    blur: float = Field(0.1, ge=0, le=1, description="Gaussian blur, each sequence")
    coarse: float = Field(0.1, ge=0, le=1, description="low resolution, each sequence")
    bias: float = Field(0.1, ge=0, le=1, description="smooth bias field, each sequence")
    missing: float = Field(0.05, ge=0, le=1, description="one sequence left out")


class TrainingConfig(_Plain):
    """A training, whole.

    Args:
        network: Name of the network.
        widths: Channels of its levels, top first.
        steps: Optimiser steps.
        seed: Of the weights, the split and every sample.
        batch: Windows a step.
        window: Voxels of a window along x, y, z.
        tumour_share: Share of windows that are centred on a tumour voxel.
        learning_rate: Peak of a cosine with linear warm-up.
        warmup: Steps of warm-up.
        weight_decay: AdamW's.
        precision: Number format; "auto" takes bf16 where the processor has it.
        validation_share: Share of the cases held out, at least one.
        validations: How often the held-out cases are scored over the run.
        augmentation: Changes made to samples.
    """

    network: str = Field("unet3d", pattern="^unet3d$")
    widths: tuple[int, ...] = Field((16, 32, 64, 128), min_length=2, max_length=7)
    steps: int = Field(1000, ge=1)
    seed: int = Field(0, ge=0, lt=2**31)
    batch: int = Field(2, ge=1)
    window: tuple[int, int, int] = (96, 96, 80)
    tumour_share: float = Field(0.67, ge=0, le=1)
    learning_rate: float = Field(2e-3, gt=0)
    warmup: int = Field(50, ge=0)
    weight_decay: float = Field(1e-2, ge=0)
    precision: Precision = Precision.AUTO
    validation_share: float = Field(0.1, gt=0, lt=1)
    validations: int = Field(5, ge=1)
    augmentation: Augmentation = Augmentation()

    @model_validator(mode="after")
    def _window_fits_the_network(self) -> Self:
        stride = 2 ** (len(self.widths) - 1)
        if any(size < stride or size % stride for size in self.window):
            raise ValueError(
                f"every side of the window {self.window} must be a multiple of {stride}, "
                f"the stride of a network of {len(self.widths)} levels"
            )
        return self

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a config from TOML, or from the JSON that a run keeps.

        Raises:
            InputError: The file cannot be read, or a key or value is wrong.
        """
        if path.suffix == ".json":
            return cls.checked(read_json(path), str(path))
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path} is not a readable TOML file.", found=str(error)) from error
        return cls.checked(values, str(path))

    @classmethod
    def checked(cls, values: object, source: str) -> Self:
        """Validate plain values.

        Raises:
            InputError: A key is unknown or a value out of range; all of them are named.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            wrong = "; ".join(
                f"{'.'.join(map(str, e['loc'])) or 'config'}: {e['msg']}" for e in error.errors()
            )
            raise InputError(f"The training config ({source}) is wrong.", found=wrong) from error
