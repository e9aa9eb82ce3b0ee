"""A trained network on disk: what it is (``model.json``) and its weights.

Weights are safetensors, which hold numbers only, and are checked against the checksum in the
description before they are used.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from minicube._errors import InputError
from minicube._files import read_json
from minicube.engines.engine import Cut
from minicube.planning import NetworkCost
from minicube.volumes import Intensities

__all__ = ["DESCRIPTION", "WEIGHTS", "Model", "ModelDescription", "checksum", "load_model"]

DESCRIPTION = "model.json"
WEIGHTS = "weights.safetensors"
_CHUNK = 1 << 20


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
        trained_on: The training data in words.
        licence: Of the weights.
        minicube: Version that trained it.
        steps: Optimiser steps.
        sha256: Checksum of the weights' file.
        cost: What the network costs; None where nobody wrote it down.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    name: str
    network: str
    widths: tuple[int, ...] = Field(min_length=2, max_length=7)
    layers: Literal["batch", "instance", "none"] = "batch"
    output_relu: bool = False
    triplanar: bool = False
    part: tuple[int, int, int] | None = None
    context: int = Field(0, ge=0)
    denoise: bool = False
    sequences: tuple[Literal["t1n"], Literal["t1c"], Literal["t2w"], Literal["t2f"]]
    spacing: float = Field(ge=1.0, le=1.0)
    normalisation: Intensities
    scheme: Literal["decathlon"]
    trained_on: str
    licence: str
    minicube: str
    steps: int
    sha256: str
    cost: NetworkCost | None = None

    @property
    def cut(self) -> Cut | None:
        """How volumes are cut up for it; None runs them whole."""
        return None if self.part is None else Cut(self.part, self.context)


@dataclass(frozen=True)
class Model:
    """A model that lies on disk.

    Args:
        folder: Holds ``model.json`` and ``weights.safetensors``.
        description: The former, read and checked.
    """

    folder: Path
    description: ModelDescription

    @property
    def weights(self) -> Path:
        """The weights' file."""
        return self.folder / WEIGHTS


def load_model(folder: Path) -> Model:
    """Read a model's description and check its weights against it.

    Args:
        folder: A run folder, or any folder with the two files.

    Raises:
        InputError: A file is missing, damaged or of a version this minicube cannot read.
    """
    if not (folder / DESCRIPTION).is_file():
        raise InputError(
            f"{folder} holds no model.",
            expected=f"a folder with {DESCRIPTION} and {WEIGHTS}, as `minicube train` makes it",
            hint="a run writes its model when its held-out cases are first scored",
        )
    values: Any = read_json(folder / DESCRIPTION)
    try:
        description = ModelDescription.model_validate(values)
    except ValidationError as error:
        raise InputError(
            f"{folder / DESCRIPTION} does not describe a model that this version can run.",
            found="; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()),
        ) from error
    model = Model(folder, description)
    found = checksum(model.weights)
    if found != description.sha256:
        raise InputError(
            f"{model.weights} is not the file that its description was written for.",
            expected=f"SHA-256 {description.sha256}",
            found=f"SHA-256 {found}",
            hint="copy the model's folder again, both files together",
        )
    return model


def checksum(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal.

    Raises:
        InputError: The file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise InputError(f"{path} cannot be read.", found=error.strerror or str(error)) from error
    return digest.hexdigest()
