"""Everything a training depends on, as plain values that are printed and kept with the run."""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Final, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from minicube._errors import InputError, wrong_values
from minicube._files import read_json, read_toml
from minicube.engines import Cut, Precision
from minicube.networks import (
    NETWORKS,
    LeveledNetwork,
    Network,
    NetworkConfig,
    NetworkName,
    Normalisation,
    build_network,
)
from minicube.training.losses import LossConfig
from minicube.volumes import Intensities, Shape

__all__ = [
    "Augmentation",
    "Optimiser",
    "Sampling",
    "Schedule",
    "TrainingConfig",
    "preset_names",
]

PRESETS: Final = Path(__file__).parent / "presets"


class Sampling(StrEnum):
    """What a step learns from."""

    WINDOWS = "windows"
    """Windows placed at random, a share of them on tumour."""
    MINICUBES = "minicubes"
    """The report's: all minicubes of one case, a batch a step, then the next case."""
    VOLUMES = "volumes"
    """Whole cases, one a step."""


class Optimiser(StrEnum):
    """How weights follow gradients."""

    ADAMW = "adamw"
    ADAM = "adam"


class Schedule(StrEnum):
    """How the learning rate goes over the run."""

    COSINE = "cosine"
    CONSTANT = "constant"


class _Plain(BaseModel):
    """Frozen; an unknown key is an error, and so is a number that is none or has no end."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Augmentation(_Plain):
    """How often each change is made to a sample; probabilities in [0, 1]."""

    flip: float = Field(0.5, ge=0, le=1, description="mirrored left to right")
    affine: float = Field(0.4, ge=0, le=1, description="rotated and scaled")
    elastic: float = Field(0.1, ge=0, le=1, description="bent, on top of an affine change")
    contrast: float = Field(0.3, ge=0, le=1, description="gamma, each sequence")
    scale: float = Field(0.3, ge=0, le=1, description="scaled and shifted, each sequence")
    noise: float = Field(0.15, ge=0, le=1, description="Gaussian noise, each sequence")
    blur: float = Field(0.1, ge=0, le=1, description="Gaussian blur, each sequence")
    sharpness: float = Field(0.0, ge=0, le=1, description="sharpened, each sequence")
    coarse: float = Field(0.1, ge=0, le=1, description="low resolution, each sequence")
    bias: float = Field(0.1, ge=0, le=1, description="smooth bias field, each sequence")
    missing: float = Field(0.05, ge=0, le=1, description="one sequence left out, or two")

    @classmethod
    def none(cls) -> Self:
        """Samples as they are."""
        return cls.model_validate(dict.fromkeys(cls.model_fields, 0.0))


class TrainingConfig(_Plain):
    """A training, whole.

    Args:
        network: Name of the network.
        widths: Channels of its levels, top first.
        normalisation: Layer after each convolution.
        output_relu: A ReLU after the last convolution, as in the report.
        triplanar: For ``unet2d``: all three planes, averaged.
        minicube: Voxels along x, y, z of the parts that a volume is predicted in; None
            predicts it whole.
        context: Voxels that a part is given beyond that along each axis, both sides together.
        denoise: Take Rician noise from the scans when they are prepared; minutes a case.
        intensities: z-scores, or as they come from the scanner.
        region: Voxels of a fixed region that samples come from, centred on the brain; None
            takes the brain's box. Where larger than the brain, it is air.
        steps: Optimiser steps.
        seed: Of the weights, the split and every sample.
        batch: Windows a step.
        one_by_one: Whether the windows of a step go through one after another, their losses
            averaged: memory is that of one, and so are the statistics of BatchNorm.
        recompute: Whether blocks of layers are computed again in the backward pass instead of
            being kept: less memory, more time, the same gradients.
        slab: Voxels, along x, of the slabs that the top level learns whole volumes in; memory
            is that of one, the gradients are those of the whole. 0 takes all at once.
        frozen_statistics: Whether BatchNorm keeps the statistics that the run began with.
        window: Voxels along x, y, z that a sample has labels for.
        sampling: What a step learns from.
        shuffle: Whether cases come in a new order each epoch.
        tumour_share: Share of windows that are centred on a tumour voxel.
        simulated: Share of windows of cases that are made up meanwhile.
        carved: Share of the others in which a tumour is set into another case's head (CarveMix).
        loss: What is minimised.
        optimiser: Adam, or AdamW with ``weight_decay``.
        learning_rate: Its peak.
        schedule: Cosine with linear warm-up, or constant.
        warmup: Steps of warm-up.
        weight_decay: AdamW's.
        clip: Largest norm of the gradient; 0 leaves it as it is.
        average: Decay of a running average of the weights, which is then what is scored and kept;
            0 keeps the weights themselves.
        start_share: Of the weights that the run began with, in those that are scored and kept
            (WiSE-FT); 0 keeps what was learnt alone.
        precision: Number format; "auto" takes bf16 where the processor has it.
        validation_share: Share of the patients held out, at least one.
        validations: How often the held-out cases are scored over the run.
        augmentation: Changes made to samples.
    """

    network: NetworkName = NetworkName.UNET3D
    widths: tuple[int, ...] = Field((16, 32, 64, 128), min_length=2, max_length=7)
    normalisation: Normalisation = Normalisation.BATCH
    output_relu: bool = False
    triplanar: bool = False
    minicube: Shape | None = None
    context: int = Field(0, ge=0, multiple_of=2)
    denoise: bool = False
    intensities: Intensities = Intensities.Z_SCORE
    region: Shape | None = None
    steps: int = Field(1000, ge=1)
    seed: int = Field(0, ge=0, lt=2**31)
    batch: int = Field(2, ge=1)
    one_by_one: bool = False
    recompute: bool = False
    slab: int = Field(0, ge=0, multiple_of=2)
    frozen_statistics: bool = False
    window: Shape = (96, 96, 80)
    sampling: Sampling = Sampling.WINDOWS
    shuffle: bool = True
    tumour_share: float = Field(0.67, ge=0, le=1)
    simulated: float = Field(0.0, ge=0, le=1)
    carved: float = Field(0.0, ge=0, le=1)
    loss: LossConfig = LossConfig()
    optimiser: Optimiser = Optimiser.ADAMW
    learning_rate: float = Field(2e-3, gt=0)
    schedule: Schedule = Schedule.COSINE
    warmup: int = Field(50, ge=0)
    weight_decay: float = Field(1e-2, ge=0)
    clip: float = Field(1.0, ge=0)
    average: float = Field(0.0, ge=0, lt=1)
    start_share: float = Field(0.0, ge=0, lt=1)
    precision: Precision = Precision.AUTO
    validation_share: float = Field(0.1, gt=0, lt=1)
    validations: int = Field(5, ge=1)
    augmentation: Augmentation = Augmentation()

    @property
    def network_config(self) -> NetworkConfig:
        """What the network is built from."""
        return NetworkConfig(
            name=self.network,
            widths=self.widths,
            normalisation=self.normalisation,
            output_relu=self.output_relu,
            triplanar=self.triplanar,
        )

    @property
    def cut(self) -> Cut | None:
        """How volumes are cut to be predicted; None runs them whole."""
        return None if self.minicube is None else Cut(self.minicube, self.context)

    @property
    def has_statistics(self) -> bool:
        """Whether layers that take a channel's variance are given more than one number of it."""
        shape = self.region if self.sampling is Sampling.VOLUMES else self.window
        if self.normalisation is Normalisation.NONE or shape is None:
            return True  # a brain is large enough
        network = self._network_without_weights()
        x, y, z = (  # of the lowest level
            -(-(size + 2 * network.margin) // stride)
            for size, stride in zip(shape, network.stride, strict=True)
        )
        if self.normalisation is Normalisation.BATCH:
            samples = 1 if self.one_by_one else self.batch
            return self.frozen_statistics or samples * x * y * z > 1
        if self.triplanar:
            return min(x * y, x * z, y * z) > 1  # slices know nothing of each other
        return (x * y * z if all(network.axes) else x * y) > 1

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        network = self._network_without_weights()
        for size, stride in zip(self.window, network.stride, strict=True):
            if size < stride or size % stride:
                raise ValueError(
                    f"every side of the window {self.window} must be a multiple of the "
                    f"network's stride {network.stride}"
                )
        if not self.has_statistics:
            raise ValueError(
                f"{self.network} makes one voxel of this window at its lowest level, where "
                f"{self.normalisation} normalisation takes a variance: make the window larger "
                f"than {network.stride}, or, for batch normalisation, learn from several at once"
            )
        if self.triplanar and self.network is not NetworkName.UNET2D:
            raise ValueError(f"triplanar is for unet2d; {self.network} has one plane or none")
        if self.context < 2 * network.margin:
            raise ValueError(
                f"{self.network} needs a context of at least {2 * network.margin} voxels, "
                f"found {self.context}"
            )
        if self.context and self.minicube is None:
            raise ValueError(
                f"a context of {self.context} voxels needs minicubes to be given to: "
                "set minicube, or context = 0"
            )
        if self.sampling is Sampling.MINICUBES and (
            self.minicube != self.window or self.region is None
        ):
            raise ValueError(
                "sampling minicubes needs a region to cut and window = minicube, "
                f"found region {self.region}, window {self.window}, minicube {self.minicube}"
            )
        if self.carved and (
            self.sampling is not Sampling.WINDOWS or self.intensities is not Intensities.Z_SCORE
        ):
            raise ValueError("tumours are carved out of windows of z-scores")
        if self.simulated and self.sampling is not Sampling.WINDOWS:
            raise ValueError(f"made-up cases are learnt from in windows, found {self.sampling}")
        weights, classes = self.loss.class_weights, self.network_config.classes
        if weights is not None and len(weights) != classes:
            raise ValueError(
                f"the loss needs {classes} class weights, background first, found {len(weights)}"
            )
        self._slabs_are_possible(network)
        return self

    def _slabs_are_possible(self, network: Network) -> None:
        if self.sampling is Sampling.VOLUMES and self.batch != 1:
            raise ValueError(f"whole volumes are learnt one a step: batch = 1, found {self.batch}")
        if not self.slab:
            return
        if self.sampling is not Sampling.VOLUMES or not isinstance(network, LeveledNetwork):
            raise ValueError(
                f'slabs are for sampling = "{Sampling.VOLUMES}" and networks of levels, '
                f"found {self.sampling} and {self.network}"
            )
        frozen = self.frozen_statistics or self.normalisation is Normalisation.NONE
        if not frozen or self.normalisation is Normalisation.INSTANCE:
            raise ValueError(
                "slabs give the gradients of the whole only where no layer takes statistics from "
                "what it is given: set frozen_statistics and begin with a trained model (--init)"
            )

    def _network_without_weights(self) -> Network:
        levels, possible = len(self.widths), NETWORKS[self.network].levels
        if levels not in possible:
            raise ValueError(
                f"{self.network} has {_range(possible)} levels, found {levels} widths {self.widths}"
            )
        return _without_weights(self.network_config)

    @classmethod
    def read(cls, source: Path | str) -> Self:
        """Read a config from TOML, from the JSON that a run keeps, or a preset by its name.

        Raises:
            InputError: There is no such file or preset, or a key or value is wrong.
        """
        path = Path(source)
        if str(source) in preset_names():
            path = PRESETS / f"{source}.toml"
        elif not path.exists():
            raise InputError(
                f"{source} is neither a file nor a preset.",
                expected=f"a TOML file, or one of {', '.join(preset_names())}",
            )
        if path.suffix == ".json":
            return cls.checked(read_json(path), str(path))
        return cls.checked(read_toml(path), str(source))

    @classmethod
    def checked(cls, values: object, source: str) -> Self:
        """Validate plain values.

        Raises:
            InputError: A key is unknown or a value out of range; all of them are named.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise InputError(
                f"The training config ({source}) is wrong.", found=wrong_values(error.errors())
            ) from error


@cache
def _without_weights(config: NetworkConfig) -> Network:
    with torch.device("meta"):
        return build_network(config)


def preset_names() -> list[str]:
    """Configs that come with the package: the report's systems, in both settings, and its own."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def _range(levels: range) -> str:
    first, last = levels[0], levels[-1]
    return str(first) if first == last else f"{first} to {last}"
