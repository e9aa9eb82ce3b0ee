"""What to train, and on what."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from minicube.scans import LabelScheme
from minicube.training.config import TrainingConfig
from minicube.training.device import Device
from minicube.training.ranks import ALONE, Ranks
from minicube.training.tracking import MlflowStore
from minicube.volumes import StoredCase
from minicube.volumes.stream import Stream

__all__ = ["LICENCE", "Material", "TrainingRequest"]

LICENCE: Final = "that of the training data"
"""Of weights, where nobody says more."""


@dataclass(frozen=True)
class TrainingRequest:
    """What to train, on what, and where to keep it.

    Args:
        data: Folder of labelled cases in any layout.
        out: Run folder.
        config: Settings of a new run; a resumed one keeps its own.
        minutes: Time for a new run's training; turned into steps once, on this machine.
        resume: Go on with the run in ``out``.
        labels: Scheme of the references, where their files do not say.
        start: A model whose weights a new run begins with, of the same network; of unet3d-fast
            wider than the config's, its heaviest channels. A resumed one began with its own.
        memory: Bytes that the process may hold, or torch on a card; what has to be given up for
            that is, and is kept with the run.
        device: That the network lives on.
        mlflow: Where MLflow keeps what it is told, if it is told.
    """

    data: Path
    out: Path
    config: TrainingConfig = field(default_factory=TrainingConfig)
    minutes: float | None = None
    resume: bool = False
    labels: LabelScheme | None = None
    start: Path | None = None
    memory: int | None = None
    device: Device = Device.CPU
    mlflow: MlflowStore | None = None


@dataclass(frozen=True)
class Material:
    """Prepared cases and what they are.

    Args:
        train: To learn from; one that stands there twice is seen twice an epoch.
        held_out: Scored along the way, never learnt from.
        source: The former in words, for the model's description.
        licence: Of the weights, for the same.
        whole: Whether held-out cases are segmented whole to score them; else only the loss of
            samples of them is probed, which costs little.
        memory: Bytes that the process may hold, or torch on a card; None sets no limit.
        device: That the network lives on.
        stream: Cases made meanwhile; with ``simulated = 1`` in the config ``train`` may be empty.
        ranks: That train together, each given the same.
    """

    train: list[StoredCase]
    held_out: list[StoredCase]
    source: str
    licence: str = LICENCE
    whole: bool = True
    memory: int | None = None
    device: Device = Device.CPU
    stream: Stream | None = None
    ranks: Ranks = ALONE
