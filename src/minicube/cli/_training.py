"""How a training is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from minicube.training import Scores, TrainingConfig, TrainingPlan

__all__ = ["TrainingDisplay"]


class TrainingDisplay:
    """Shows a training as it goes; prints the milestones when nobody watches the bar."""

    def __init__(self, display: Progress) -> None:
        self._display = display
        self._bar: TaskID | None = None
        self._smooth: float | None = None

    def preparing(self, done: int, total: int) -> None:
        if self._bar is None:
            self._bar = self._display.add_task("preparing", total=total, note="")
        self._display.update(self._bar, completed=done)

    def planned(self, plan: TrainingPlan) -> None:
        self._display.console.print(f"memory: {plan.in_words()}")

    def starting(self, config: TrainingConfig, step: int) -> None:
        self._display.console.print(
            f"{config.network} {'-'.join(map(str, config.widths))}, {config.steps} steps"
            + (f", going on at step {step}" if step else "")
        )
        self._smooth = None  # of a recipe's training before this one
        self._bar = self._display.add_task("training", total=config.steps, completed=step, note="")

    def stepped(self, step: int, loss: float) -> None:
        self._smooth = loss if self._smooth is None else 0.95 * self._smooth + 0.05 * loss
        if self._bar is not None:
            self._display.update(self._bar, completed=step, note=f"loss {self._smooth:.3f}")

    def validated(self, step: int, scores: Scores) -> None:
        dice = "  ".join(
            f"{name} {'–' if value is None else f'{value:.3f}'}"
            for name, value in scores.dice.items()
        )
        self._display.console.print(
            f"step {step}: held-out loss {scores.loss:.3f}, mean Dice over "
            f"{scores.cases} case{'s' * (scores.cases != 1)}: {dice}"
        )

    def warned(self, words: str) -> None:
        self._display.console.print(words)
