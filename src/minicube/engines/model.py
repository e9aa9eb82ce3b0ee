"""A trained network on disk: what it is, and its weights.

A run folder holds a description (``model.json``) and weights (safetensors); an exported model is
one ONNX file with the description inside. Both hold numbers only, and are checked against the
checksum in the description before they are used.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from minicube._errors import InputError, wrong_values
from minicube._files import checksum, read_json
from minicube.engines.engine import Cut
from minicube.engines.inspection import inspect
from minicube.engines.portable import METADATA, SUFFIX, graph_checksum, metadata_of
from minicube.planning import NetworkCost
from minicube.scans import NETWORK_SCHEME
from minicube.volumes import Intensities

__all__ = [
    "DESCRIPTION",
    "PORTABLE",
    "WEIGHTS",
    "Model",
    "ModelDescription",
    "Numbers",
    "load_model",
]

DESCRIPTION = "model.json"
WEIGHTS = "weights.safetensors"
PORTABLE = "model.onnx"

_CLASSES: Final = 1 + len(NETWORK_SCHEME.tissues)
LONGEST: Final = 2000
"""Characters of a description's words."""

_Words = Annotated[str, Field(max_length=LONGEST)]
_Channels = Annotated[int, Field(ge=1, le=4096)]
_Voxels = Annotated[int, Field(ge=1, le=512)]


class Numbers(StrEnum):
    """What weights are kept as; in int8 they are computed with as well."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


class ModelDescription(BaseModel):
    """What a model is and what it expects; everything needed to run it.

    Args:
        format: Version of this description.
        name: How the model is called in reports.
        network: Name of the network.
        widths: Channels of its levels, top first.
        layers: Normalisation after its convolutions.
        output_relu: Whether a ReLU follows its last convolution.
        triplanar: Whether a 2D network runs along all three axes.
        part: Voxels along x, y, z of the parts it predicts; None for the whole volume.
        context: Voxels a part is given beyond that along each axis, both sides together.
        denoise: Whether Rician noise is taken from scans first.
        sequences: Channel order of the input.
        spacing: Millimetres between voxel centres of the input.
        normalisation: How intensities are scaled.
        scheme: What the output channels after background stand for.
        temperature: That logits are divided by before they become probabilities.
        least_enhancing_ml: Enhancing tumour of less than this in all becomes core, millilitres,
            unless whoever segments says otherwise.
        trained_on: The training data in words.
        licence: Of the weights.
        minicube: Version that trained it.
        steps: Optimiser steps.
        sha256: Checksum of the weights' file; of an exported model's graph.
        cost: What the network costs; None where nobody wrote it down.
        numbers: What the weights are kept as.
        cut_points: Tensors of an exported graph that it can be cut at, for readers of the file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    name: _Words
    network: _Words
    widths: tuple[_Channels, ...] = Field(min_length=2, max_length=7)
    layers: Literal["batch", "instance", "none"] = "batch"
    output_relu: bool = False
    triplanar: bool = False
    part: tuple[_Voxels, _Voxels, _Voxels] | None = None
    context: int = Field(0, ge=0, le=512)
    denoise: bool = False
    sequences: tuple[Literal["t1n"], Literal["t1c"], Literal["t2w"], Literal["t2f"]]
    spacing: float = Field(ge=1.0, le=1.0)
    normalisation: Intensities
    scheme: Literal["decathlon"]
    temperature: float = Field(1.0, gt=0, allow_inf_nan=False)
    least_enhancing_ml: float = Field(0.0, ge=0, allow_inf_nan=False)
    trained_on: _Words
    licence: _Words
    minicube: _Words
    steps: int = Field(ge=0)
    sha256: _Words
    cost: NetworkCost | None = None
    numbers: Numbers = Numbers.FP32
    cut_points: tuple[_Words, ...] = Field((), max_length=64)

    @model_validator(mode="after")
    def _of_one_network(self) -> Self:
        cost = self.cost
        if cost is not None and (cost.sequences, cost.classes) != (len(self.sequences), _CLASSES):
            raise ValueError(
                f"costs of a network of {cost.sequences} sequences and {cost.classes} classes"
            )
        return self

    @property
    def cut(self) -> Cut | None:
        """How volumes are cut up for it; None runs them whole."""
        return None if self.part is None else Cut(self.part, self.context)


@dataclass(frozen=True)
class Model:
    """A model that lies on disk.

    Args:
        place: A folder with ``model.json`` and ``weights.safetensors``, or an ONNX file.
        description: Read and checked.
    """

    place: Path
    description: ModelDescription

    @property
    def is_exported(self) -> bool:
        """Whether it is one file that any engine runs; else torch alone runs it."""
        return self.place.suffix == SUFFIX

    @property
    def weights(self) -> Path:
        """The weights' file."""
        return self.place if self.is_exported else self.place / WEIGHTS

    @property
    def cost(self) -> NetworkCost:
        """Of the network.

        Raises:
            InputError: The description does not say.
        """
        if self.description.cost is None:
            raise InputError(
                f"{self.place} does not say what its network costs.",
                hint="export the run again with this version",
            )
        return self.description.cost


def load_model(place: Path) -> Model:
    """Read a model's description and check its weights against it.

    Args:
        place: An exported file, a run folder, or any folder with the files of either.

    Raises:
        InputError: A file is missing, damaged, of a version this minicube cannot read, or a
            graph that no network of ours has.
    """
    if place.is_dir() and not (place / DESCRIPTION).exists() and (place / PORTABLE).exists():
        place = place / PORTABLE
    if place.suffix == SUFFIX:
        model = Model(place, _description_inside(place))
        found = graph_checksum(place)
    else:
        model = Model(place, _description_beside(place))
        found = checksum(model.weights)
    if found != model.description.sha256:
        raise InputError(
            f"{model.weights} is not the file that its description was written for.",
            expected=f"SHA-256 {model.description.sha256}",
            found=f"SHA-256 {found}",
            hint="copy the model again, all of it",
        )
    if model.is_exported:
        inspect(place)
    return model


def _description_beside(folder: Path) -> ModelDescription:
    if not (folder / DESCRIPTION).is_file():
        raise InputError(
            f"{folder} holds no model.",
            expected=f"a file that `minicube export` made, or a folder with {DESCRIPTION} and "
            f"{WEIGHTS}, as `minicube train` makes it",
            hint="a run writes its model when its held-out cases are first scored",
        )
    return _checked(read_json(folder / DESCRIPTION), folder / DESCRIPTION)


def _description_inside(path: Path) -> ModelDescription:
    text = metadata_of(path).get(METADATA)
    if text is None:
        raise InputError(
            f"{path} does not say what it is.",
            expected="a file that `minicube export` wrote",
            found="an ONNX file without that description",
        )
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} holds a damaged description.", found=str(error)) from error
    return _checked(values, path)


def _checked(values: Any, source: Path) -> ModelDescription:
    try:
        return ModelDescription.model_validate(values)
    except ValidationError as error:
        raise InputError(
            f"{source} does not describe a model that this version can run.",
            found=wrong_values(error.errors()),
        ) from error
