"""What a search found, as plain values: trials, the best one, what mattered."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from minicube._files import write_json
from minicube._version import __version__
from minicube.evaluation import EmptyPolicy
from minicube.reporting import search_report, write_report
from minicube.training import Material
from minicube.tuning.folder import SearchFolder
from minicube.tuning.space import Space, Value
from minicube.tuning.storage import latest
from minicube.tuning.trial import REASON, REGIONS, SECONDS

__all__ = ["Found", "best_of", "collect", "write_results"]

_STATES: Final = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "stopped early",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}
_TOP: Final = 0.1  # share of the trials that count as good
_TOP_AT_LEAST: Final = 5  # of them, which PED-ANOVA needs to be steady


@dataclass(frozen=True)
class Found:
    """A trial, as far as it came.

    Args:
        number: Also of its folder.
        state: "finished", "stopped early", "failed", "running" or "waiting" to be gone on with.
        values: Of the keys searched; choices that are lists by their JSON.
        dice: Mean Dice in [0, 1] at its last validation; None where it had none.
        validations: The same at each validation so far.
        regions: Of WT, TC and ET: mean Dice, and precision and recall of pooled voxels.
        reason: Why it failed or was stopped, where it says so.
        seconds: Of the processor, for its training and scoring.
    """

    number: int
    state: str
    values: Mapping[str, Value]
    dice: float | None
    validations: tuple[float, ...]
    regions: Mapping[str, Mapping[str, float | None]]
    reason: str
    seconds: float | None

    @property
    def waits(self) -> bool:
        """Whether it was stopped and nobody goes on with it yet."""
        return self.state == _STATES[TrialState.WAITING]

    @property
    def ended(self) -> bool:
        """Whether nothing will come of it any more."""
        return not self.waits and self.state != _STATES[TrialState.RUNNING]


def collect(study: optuna.Study) -> list[Found]:
    """All trials by number; of one that was put back, only how it went on."""
    return [_found(number, trial) for number, trial in latest(study).items()]


def _found(number: int, trial: FrozenTrial) -> Found:
    validations = tuple(value for _, value in sorted(trial.intermediate_values.items()))
    return Found(
        number=number,
        state=_STATES[trial.state],
        values=trial.params,
        dice=validations[-1] if validations else None,
        validations=validations,
        regions=trial.user_attrs.get(REGIONS, {}),
        reason=trial.user_attrs.get(REASON, ""),
        seconds=trial.user_attrs.get(SECONDS),
    )


def best_of(trials: Iterable[Found]) -> Found | None:
    """The finished trial with the highest Dice; of equals the first."""
    finished = [trial for trial in trials if trial.state == "finished"]
    return max(finished, key=lambda trial: trial.dice or 0.0, default=None)


def write_results(
    folder: SearchFolder, study: optuna.Study, space: Space, material: Material
) -> None:
    """Write all trials as JSON and as a page, and drop what finished ones no longer need."""
    trials = collect(study)
    here = folder.here()
    ended = [trial for trial in trials if trial.number in here and trial.ended]
    best_here = best_of(ended)
    folder.keep_small([t.number for t in ended], best_here.number if best_here else None)
    best = best_of(trials)
    results: dict[str, Any] = {
        "minicube": __version__,
        "name": study.study_name,
        "space": space.model_dump(mode="json"),
        "cases": {
            "learnt from": [case.identity for case in material.train],
            "held out": [case.identity for case in material.held_out],
        },
        "empty_policy": EmptyPolicy().to_dict(),
        "best": best.number if best else None,
        "importance": _importance(study, trials),
        "trials": [asdict(trial) for trial in trials],
    }
    write_json(folder.results, results)
    write_report(folder.report, search_report(folder.results))


def _importance(study: optuna.Study, trials: Sequence[Found]) -> dict[str, float] | None:
    """How much each key's value decides whether a trial is among the good ones; sums to 1.

    The good ones are the best tenth of the finished trials, five at least; None below twice as
    many.

    Reference: Watanabe, Bansal and Hutter, "PED-ANOVA: Efficiently Quantifying Hyperparameter
    Importance in Arbitrary Subspaces", IJCAI 2023, arXiv:2304.10255.
    """
    finished = sum(trial.state == "finished" for trial in trials)
    if finished < 2 * _TOP_AT_LEAST:
        return None
    evaluator = PedAnovaImportanceEvaluator(target_quantile=max(_TOP, _TOP_AT_LEAST / finished))
    with warnings.catch_warnings():  # keys that few trials had: the table shows how many
        warnings.simplefilter("ignore", UserWarning)
        found = get_param_importances(study, evaluator=evaluator, normalize=True)
    return {key: float(value) for key, value in found.items()}
