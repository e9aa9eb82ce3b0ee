"""Who hears what a training does."""

from __future__ import annotations

from typing import Protocol

from minicube.training.config import TrainingConfig
from minicube.training.memory import TrainingPlan
from minicube.training.validate import Scores

__all__ = ["Listener", "SilentListener"]


class Listener(Protocol):
    """Hears what a training does; the command line shows it, a notebook may not care."""

    def preparing(self, done: int, total: int) -> None:
        """Cases prepared so far."""

    def planned(self, plan: TrainingPlan) -> None:
        """What a memory budget asks for."""

    def starting(self, config: TrainingConfig, step: int) -> None:
        """The loop begins, or goes on, at ``step``."""

    def stepped(self, step: int, loss: float) -> None:
        """A step was made."""

    def validated(self, step: int, scores: Scores) -> None:
        """The held-out cases were scored."""

    def warned(self, words: str) -> None:
        """Something went wrong that a training does not end for."""


class SilentListener:
    """Does nothing."""

    def preparing(self, done: int, total: int) -> None:
        """Nothing."""

    def planned(self, plan: TrainingPlan) -> None:
        """Nothing."""

    def starting(self, config: TrainingConfig, step: int) -> None:
        """Nothing."""

    def stepped(self, step: int, loss: float) -> None:
        """Nothing."""

    def validated(self, step: int, scores: Scores) -> None:
        """Nothing."""

    def warned(self, words: str) -> None:
        """Nothing."""
