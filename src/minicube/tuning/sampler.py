"""Draws that are a function of the seed and of what is known, whichever process makes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from minicube.tuning.space import Sampler, Space, word
from minicube.tuning.storage import number_of

__all__ = ["SeededSampler"]


class SeededSampler(BaseSampler):
    """A sampler made anew for each trial, from the search's seed and the trial's number.

    So a search that was stopped and gone on with draws what an undisturbed one draws: no state
    of a random generator is lost with a process.

    Args:
        space: With the seed, the kind of sampler and the values of the first trials.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._inner: BaseSampler = RandomSampler()
        self._given: dict[str, Any] = {}

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Make the trial's own sampler."""
        number = number_of(study, trial)
        seed = int(np.random.SeedSequence((self._space.seed, number)).generate_state(1)[0])
        if self._space.sampler is Sampler.RANDOM:
            self._inner = RandomSampler(seed=seed)
        else:
            self._inner = TPESampler(n_startup_trials=self._space.startup, seed=seed)
        first = self._space.first
        given = first[number] if number < len(first) else {}
        self._given = {key: word(value) for key, value in given.items()}
        self._inner.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Keys that are drawn together; none where values are given."""
        return {} if self._given else self._inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw keys together."""
        return self._inner.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """The value given for a key, or draw it alone."""
        if param_name in self._given:
            return self._given[param_name]
        return self._inner.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Tell the trial's own sampler."""
        self._inner.after_trial(study, trial, state, values)
