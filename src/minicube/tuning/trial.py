"""One trial: a training by the code of ``minicube train``, judged at each of its validations."""

from __future__ import annotations

from typing import Final

import optuna
import torch

from minicube._errors import InputError, MinicubeError
from minicube.scans import Region
from minicube.training import (
    Diverged,
    Listener,
    Material,
    RunFolder,
    Scores,
    TrainingConfig,
    TrainingPlan,
    fit,
)
from minicube.tuning.space import Choices, Range, Space, Value

__all__ = ["REASON", "REGIONS", "SECONDS", "Impossible", "mean_dice", "train_one", "values_of"]

REGIONS: Final = "regions"
SECONDS: Final = "seconds"
REASON: Final = "reason"


class Impossible(MinicubeError):
    """A trial's values cannot be learnt with; the search goes on without it."""


def values_of(trial: optuna.Trial, space: Space) -> dict[str, Value]:
    """Draw a trial's values, or take those that it has already."""

    def pick(key: str, searched: Range | Choices) -> Value:
        if isinstance(searched, Choices):
            chosen = trial.suggest_categorical(key, searched.ends())
            assert chosen is not None
            return chosen
        if searched.integer:
            low, high = int(searched.low), int(searched.high)
            return trial.suggest_int(key, low, high, log=searched.log)
        return trial.suggest_float(key, searched.low, searched.high, log=searched.log)

    return space.draw(pick)


def train_one(
    trial: optuna.Trial, space: Space, run: RunFolder, material: Material, listener: Listener
) -> float:
    """Train with a trial's values, from the run's last checkpoint when it has one.

    Args:
        trial: Is told each validation.
        space: What it may try.
        run: Where the training is kept.
        material: Prepared cases; the held-out ones judge it.
        listener: Hears how the training goes.

    Returns:
        Mean Dice, see :func:`mean_dice`, at the last validation.

    Raises:
        optuna.TrialPruned: It is not promising, or its loss is no number any more.
        Impossible: Its values do not fit together, or a card has no memory for them.
    """
    try:
        config = space.config(values_of(trial, space))
    except InputError as error:
        trial.set_user_attr(REASON, error.found)
        raise Impossible(error.found) from error
    run.write_config(config)
    run.write_split(*([c.identity for c in s] for s in (material.train, material.held_out)))
    watch = _Watch(trial, config, listener)
    try:
        spent = fit(run, config, material, listener=watch)
    except Diverged as error:
        trial.set_user_attr(REASON, f"the loss became no number at step {error.step}")
        trial.set_user_attr(SECONDS, sum(error.seconds.values()))
        raise optuna.TrialPruned from error
    except torch.OutOfMemoryError as error:
        reason = str(error).partition("\n")[0]
        trial.set_user_attr(REASON, reason)
        raise Impossible(reason) from error
    trial.set_user_attr(SECONDS, sum(spent.values()))
    return watch.values[config.validations]


def mean_dice(scores: Scores) -> float:
    """What trials are compared by: the mean over WT, TC and ET of the mean Dice over cases.

    What is in neither reference nor prediction scores 1, what is only in the prediction 0, so
    that every case counts in every region.
    """
    found = [scores.dice[region.value] for region in Region]
    known = [value for value in found if value is not None]
    return sum(known) / len(known)


class _Watch:
    """Hears a training, tells the trial, and stops it when it is not promising.

    Args:
        trial: Is told.
        config: Of the training.
        listener: Hears the same.
    """

    def __init__(self, trial: optuna.Trial, config: TrainingConfig, listener: Listener) -> None:
        self._trial, self._config, self._listener = trial, config, listener
        self.values = {
            number: value
            for each in trial.study.get_trials(deepcopy=False)
            if each.number == trial.number
            for number, value in each.intermediate_values.items()
        }

    def preparing(self, done: int, total: int) -> None:
        self._listener.preparing(done, total)

    def planned(self, plan: TrainingPlan) -> None:
        self._listener.planned(plan)

    def starting(self, config: TrainingConfig, step: int) -> None:
        self._listener.starting(config, step)

    def stepped(self, step: int, loss: float) -> None:
        self._listener.stepped(step, loss)

    def warned(self, words: str) -> None:
        self._listener.warned(words)

    def validated(self, step: int, scores: Scores) -> None:
        self._listener.validated(step, scores)
        last = self._config.validations
        number = round(step * last / self._config.steps)
        if number not in self.values:  # a resumed training may come by one once more
            self._trial.set_user_attr(REGIONS, _regions(scores))
            self.values[number] = mean_dice(scores)
            self._trial.report(self.values[number], number)
        if number < last and self._trial.should_prune():
            raise optuna.TrialPruned


def _regions(scores: Scores) -> dict[str, dict[str, float | None]]:
    """Of each region the mean Dice over cases, and precision and recall of all voxels together."""
    regions = scores.summary["regions"]
    return {
        region.value: {
            "dice": scores.dice[region.value],
            "precision": regions[region.value]["pooled"]["precision"],
            "recall": regions[region.value]["pooled"]["recall"],
        }
        for region in Region
    }
