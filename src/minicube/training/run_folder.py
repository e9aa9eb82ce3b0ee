"""A run's folder: everything that happened, readable without this program.

config.json         settings, with minutes already turned into steps
environment.json    versions, processor, threads
start.json          the model it began with, if any, in its own words; the time and memory that
                    settled settings
split.json          which cases were learnt from, which held out
sources.json        what each case was prepared from: checksums of its files, and how
metrics.csv         loss and learning rate; Dice of the held-out cases
model.json          what the model is          ┐ together: a model, for
weights.safetensors its weights                ┘ `minicube segment --model RUN`
validation.json     scores of the held-out cases, last time
checkpoint.pt       where to go on from (tensors and numbers only)
diverged.safetensors   the batch at which the loss became no number, and the weights that met it
prepared/           the cases as the network sees them; may be deleted after the run
tensorboard/        the numbers of metrics.csv, for TensorBoard
mlflow.json         which run of MLflow's this is, where it is told
"""

from __future__ import annotations

import csv
import io
import os
import pickle
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from pydantic import BaseModel, TypeAdapter, ValidationError
from safetensors.torch import save
from torch import Tensor

from minicube._errors import InputError
from minicube._files import checksum, read_json, replacing, write_json, write_text
from minicube.engines import DESCRIPTION, WEIGHTS, ModelDescription, load_model
from minicube.scans import LabelScheme
from minicube.training.config import TrainingConfig
from minicube.volumes import Origin

__all__ = ["METRICS", "Ancestor", "RunFolder"]

METRICS = ("step", "split", "loss", "learning_rate", "seconds", "WT", "TC", "ET")
_PACKAGES = ("minicube", "torch", "lightning-fabric", "monai", "numpy", "scipy")

# All that torch was seen to raise on checkpoints with changed bytes.
_UNREADABLE = (
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    pickle.UnpicklingError,
)

Row = Mapping[str, str | int | float]


class Ancestor(BaseModel):
    """The model that a run began with, in its own words."""

    name: str
    trained_on: str
    licence: str


class _Begun(BaseModel):
    """What a run began with, and what settled some of its settings."""

    model: Path | None = None
    sha256: str | None = None
    ancestor: Ancestor | None = None
    minutes: float | None = None
    memory: int | None = None


@dataclass(frozen=True)
class RunFolder:
    """Reads and writes the files of one run; every file whole or not at all."""

    path: Path

    @property
    def prepared(self) -> Path:
        """Folder of the prepared cases."""
        return self.path / "prepared"

    def is_started(self) -> bool:
        """Whether a run's settings lie here."""
        return (self.path / "config.json").exists()

    def write_config(self, config: TrainingConfig) -> None:
        """Keep the settings and where the run takes place."""
        write_json(self.path / "environment.json", environment())
        write_json(self.path / "config.json", config.model_dump(mode="json"))

    def read_config(self) -> TrainingConfig:
        """Return the settings that the run was started with."""
        return TrainingConfig.read(self.path / "config.json")

    def write_start(self, start: Path | None, *, minutes: float | None, memory: int | None) -> None:
        """Keep what a run began with, beside its settings.

        Args:
            start: Model whose weights it begins with, if any.
            minutes: What its number of steps was settled by, if anything.
            memory: What was given up for, in bytes, if anything.
        """
        model = None if start is None else load_model(start)
        begun = _Begun(
            model=None if model is None else model.place.absolute(),
            sha256=None if model is None else model.description.sha256,
            ancestor=None if model is None else Ancestor(**model.description.model_dump()),
            minutes=minutes,
            memory=memory,
        )
        write_json(self.path / "start.json", begun.model_dump(mode="json"))

    def read_start(self) -> Path | None:
        """Return the model whose weights the run began with, if any.

        Raises:
            InputError: It is no longer there, or another; or the note of it is damaged.
        """
        begun = self._begun()
        if begun.model is None:
            return None
        if load_model(begun.model).description.sha256 != begun.sha256:
            raise InputError(
                f"{begun.model} is not the model that the run in {self.path} begins with.",
                hint="bring it back, or begin in another folder",
            )
        return begun.model

    def read_ancestor(self) -> Ancestor | None:
        """Return what the model that the run began with, if any, said of itself then."""
        return self._begun().ancestor

    def settled(self) -> frozenset[str]:
        """Settings that came of the time or the memory it was given, and not of its config."""
        begun = self._begun()
        by_time = {"steps"} if begun.minutes is not None else set()
        by_memory = {"one_by_one", "recompute", "slab"} if begun.memory is not None else set()
        return frozenset(by_time | by_memory)

    def _begun(self) -> _Begun:
        path = self.path / "start.json"
        if not path.exists():  # the recipe's runs, which are given their start each time
            return _Begun()
        try:
            return _Begun.model_validate(read_json(path))
        except ValidationError as error:
            raise InputError(f"{path} is damaged.") from error

    def write_split(self, train: list[str], validation: list[str]) -> None:
        """Keep which cases are learnt from and which are held out."""
        write_json(self.path / "split.json", {"train": train, "validation": validation})

    def read_split(self) -> tuple[list[str], list[str]]:
        """Return the identities of training and held-out cases."""
        path = self.path / "split.json"
        try:
            split = TypeAdapter(dict[str, list[str]]).validate_python(read_json(path))
            return split["train"], split["validation"]
        except (KeyError, ValidationError) as error:
            raise InputError(f"{path} is damaged.") from error

    def write_sources(self, origins: Mapping[str, Origin]) -> None:
        """Keep what each case was prepared from."""
        write_json(self.path / "sources.json", {name: dict(origins[name]) for name in origins})

    def read_sources(self) -> dict[str, Origin]:
        """Return what each case of the split was prepared from when the run began.

        Raises:
            InputError: The file is missing or damaged.
        """
        path = self.path / "sources.json"
        try:
            origins = TypeAdapter(dict[str, dict[str, str]]).validate_python(read_json(path))
            train, held_out = self.read_split()
            found: dict[str, Origin] = {name: origins[name] for name in (*train, *held_out)}
            if all(origin["scheme"] in set(LabelScheme) for origin in found.values()):
                return found
        except (KeyError, ValidationError) as error:
            raise InputError(f"{path} is damaged.") from error
        raise InputError(f"{path} is damaged.", found="a label scheme that does not exist")

    def read_metrics(self, up_to: int) -> list[dict[str, str]]:
        """Return the rows of ``metrics.csv`` up to a step, that one included."""
        path = self.path / "metrics.csv"
        if not path.exists():
            return []
        with path.open(encoding="utf-8", newline="") as file:
            return [row for row in csv.DictReader(file) if int(row["step"]) <= up_to]

    def write_metrics(self, rows: list[Row]) -> None:
        """Write ``metrics.csv``."""
        text = io.StringIO()
        writer = csv.DictWriter(text, METRICS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.path / "metrics.csv", text.getvalue())

    def write_model(self, weights: Mapping[str, Tensor], description: ModelDescription) -> None:
        """Write weights and description; the description carries the weights' checksum."""
        with replacing(self.path / WEIGHTS) as temporary:
            temporary.write_bytes(_packed(weights))
        complete = description.model_copy(update={"sha256": checksum(self.path / WEIGHTS)})
        write_json(self.path / DESCRIPTION, complete.model_dump(mode="json"))

    def write_validation(self, scores: Mapping[str, Any]) -> None:
        """Write the scores of the held-out cases."""
        write_json(self.path / "validation.json", scores)

    def write_diverged(self, batch: Mapping[str, Tensor]) -> None:
        """Write what the loss became no number on."""
        with replacing(self.path / "diverged.safetensors") as temporary:
            temporary.write_bytes(_packed(batch))

    def write_checkpoint(self, state: Mapping[str, Any]) -> None:
        """Write where to go on from."""
        with replacing(self.path / "checkpoint.pt") as temporary, temporary.open("wb") as file:
            try:
                torch.save(dict(state), file)
            except RuntimeError as error:  # torch hides what the disk said
                if isinstance(error.__context__, OSError):
                    raise error.__context__ from error
                raise

    def has_checkpoint(self) -> bool:
        """Whether there is something to go on from."""
        return (self.path / "checkpoint.pt").exists()

    def read_checkpoint(self) -> dict[str, Any] | None:
        """Return the last checkpoint, or None when the run was stopped before the first.

        Raises:
            InputError: The file is damaged.
        """
        path = self.path / "checkpoint.pt"
        if not path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except _UNREADABLE as error:
            raise InputError(
                f"{path} is damaged.",
                found=str(error).splitlines()[0] if str(error) else type(error).__name__,
                hint="start the run again in a new folder",
            ) from error
        return state


def _packed(tensors: Mapping[str, Tensor]) -> bytes:
    """As safetensors."""
    return save({name: x.detach().contiguous().clone() for name, x in tensors.items()})


def environment() -> dict[str, Any]:
    """Describe the machine as far as results depend on it."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": torch.cpu.get_capabilities().get("cpu_name", platform.processor()),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "ranks": dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1,
        **{name: metadata.version(name) for name in _PACKAGES},
    }
