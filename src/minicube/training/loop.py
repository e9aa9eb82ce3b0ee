"""The training loop: step, score, save – and go on exactly where it stopped."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from minicube._errors import InputError
from minicube.engines import load_model
from minicube.engines.trainable import trainable_network
from minicube.networks import Network, narrowed
from minicube.training.config import TrainingConfig
from minicube.training.describe import describe
from minicube.training.listener import Listener, SilentListener
from minicube.training.record import Record
from minicube.training.request import Material
from minicube.training.run_folder import RunFolder
from minicube.training.stepper import Cause, Diverged, Stepper
from minicube.training.stopping import stoppable
from minicube.training.tracking import MlflowStore, trackers
from minicube.training.validate import score

__all__ = ["fit", "starting_weights"]

_CHECKPOINT_SECONDS = 240.0
_LOG_EVERY = 10
_PROBES = 8  # samples of training and of held-out cases whose losses are compared


def fit(
    run: RunFolder,
    config: TrainingConfig,
    material: Material,
    *,
    start: Path | None = None,
    listener: Listener | None = None,
    mlflow: MlflowStore | None = None,
) -> Mapping[Cause, float]:
    """Train on prepared cases, from the run's last checkpoint when it has one.

    Args:
        run: Where everything is kept.
        config: Settings, steps included.
        material: Prepared cases.
        start: A model whose weights to begin with.
        listener: Hears how it goes.
        mlflow: Where MLflow keeps what it is told, if it is told.

    Returns:
        Seconds by cause, over all sittings.
    """
    heard = listener or SilentListener()
    followed = trackers(run.path, config, mlflow) if material.ranks.first else []
    with Record(run, followed, heard.warned) as record:
        loop = _Loop(run, config, material, heard, record)
        loop.go(start)
    return loop.seconds_by_cause


class _Loop:
    """State of a run in progress."""

    def __init__(
        self,
        run: RunFolder,
        config: TrainingConfig,
        material: Material,
        listener: Listener,
        record: Record,
    ) -> None:
        self._run = run
        self._config = config
        self._listener = listener
        self._material = material
        self._ranks = material.ranks
        self._stepper = Stepper(
            config, material.train, material.device, material.stream, material.ranks
        )
        self._record = record
        self._recent: list[float] = []  # losses since the last row
        self._seconds = 0.0

    @property
    def seconds_by_cause(self) -> Mapping[Cause, float]:
        """What the time went to."""
        return self._stepper.seconds

    def go(self, start: Path | None) -> None:
        """Train from the last checkpoint to the last step."""
        config = self._config
        first = self._restore(start)
        self._listener.starting(config, first)
        scored_at = _milestones(config.steps, config.validations)
        began = saved = time.monotonic()
        before = self._seconds
        with stoppable() as asked_to_stop:
            for step in range(first, config.steps):
                loss, rate = self._step(step)
                self._recent.append(loss)
                self._seconds = before + time.monotonic() - began
                self._listener.stepped(step + 1, loss)
                scoring = step + 1 in scored_at
                if scoring or (step + 1) % _LOG_EVERY == 0:
                    self._log(step + 1, rate)
                if scoring:
                    with self._stepper.timed(Cause.SCORING):
                        self._score(step + 1)
                stopping = self._ranks.any(asked_to_stop())
                if scoring or stopping or time.monotonic() - saved > _CHECKPOINT_SECONDS:
                    self._save(step + 1)
                    saved = time.monotonic()
                if stopping:
                    raise KeyboardInterrupt(
                        f"stopped after step {step + 1}, which is saved; --resume goes on from it"
                    )

    def _step(self, step: int) -> tuple[float, float]:
        try:
            return self._stepper.step(step)
        except Diverged as error:
            if self._ranks.first:
                self._run.write_diverged(error.batch)
            raise

    def _log(self, step: int, rate: float) -> None:
        loss = sum(self._recent) / len(self._recent)
        self._recent.clear()
        if not self._ranks.first:
            return
        self._record.add(
            {
                "step": step,
                "split": "train",
                "loss": f"{loss:.6f}",
                "learning_rate": f"{rate:.3e}",
                "seconds": f"{self._seconds:.1f}",
            }
        )
        self._record.write()

    def _score(self, step: int) -> None:
        stepper, material = self._stepper, self._material
        losses = []
        for split, cases in (("train", material.train), ("held-out", material.held_out)):
            if not (cases and self._ranks.first):
                continue
            losses.append(stepper.probe(cases, _PROBES))
            loss = f"{losses[-1]:.6f}"
            self._record.add({"step": step, "split": f"probe {split}", "loss": loss})
        self._refuse_ruined(step, sum(losses))
        if material.whole:
            self._score_whole(step)
        if self._ranks.first:
            self._record.write()
            self._write_model(stepper.learnt, step)

    def _score_whole(self, step: int) -> None:
        stepper, material = self._stepper, self._material
        scores = score(
            stepper.learnt,
            material.held_out,
            self._config,
            bf16=stepper.bf16,
            memory=material.memory,
            ranks=self._ranks,
        )
        self._refuse_ruined(step, scores.loss)
        if not self._ranks.first:
            return
        dice = {n: "" if value is None else f"{value:.4f}" for n, value in scores.dice.items()}
        loss = f"{scores.loss:.6f}"
        self._record.add({"step": step, "split": "validation", "loss": loss, **dice})
        self._run.write_validation(scores.summary)
        self._listener.validated(step, scores)

    def _refuse_ruined(self, step: int, loss: float) -> None:
        """Weights that give no numbers replace neither model nor checkpoint."""
        loss = self._ranks.from_first(lambda: loss)
        if not math.isfinite(loss):
            raise Diverged(step, loss, self._stepper.seconds, {})

    def _write_model(self, network: Network, step: int) -> None:
        name = self._run.path.resolve().name
        source, licence = self._material.source, self._material.licence
        said = describe(self._config, name=name, source=source, licence=licence, step=step)
        self._run.write_model(network.state_dict(), said)

    def _save(self, step: int) -> None:
        if not self._ranks.first:
            return
        self._run.write_checkpoint(
            {
                "step": step,
                "seconds": self._seconds,
                "recent": self._recent,
                **self._stepper.state(),
            }
        )

    def _restore(self, start: Path | None) -> int:
        state = self._ranks.from_first(self._run.read_checkpoint)
        if state is None:
            weights = starting_weights(start, self._config)
            self._record.begin(0)
            if weights is not None:
                self._stepper.start_from(weights)
            if self._ranks.first:
                # At once, so that a run that is stopped or diverges early has both.
                self._write_model(self._stepper.network, 0)
                self._save(0)
            return 0
        try:
            step, self._seconds = int(state["step"]), float(state["seconds"])
            self._recent = [float(loss) for loss in state.get("recent", ())]
            self._stepper.restore(state)
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise InputError(
                f"The checkpoint in {self._run.path} is not of this run.",
                found=str(error).splitlines()[0],
                hint="bring back the run's own, or start the run again in a new folder",
            ) from error
        self._record.begin(step)
        return step


def starting_weights(start: Path | None, config: TrainingConfig) -> dict[str, Tensor] | None:
    """The weights that a training begins with: a model's, or of a wider one its heaviest channels.

    Raises:
        InputError: The model cannot be used, is not of the network in the config, or is missing
            where the config keeps something of it.
    """
    if start is None:
        if config.start_share:
            raise InputError(
                "start_share keeps something of the weights that a run began with.",
                hint="begin with a model (--init), or leave start_share out",
            )
        return None
    begun = trainable_network(load_model(start))
    return narrowed(begun.state_dict(), begun.config, config.network_config)


def _milestones(steps: int, count: int) -> set[int]:
    return {max(1, round(steps * (i + 1) / count)) for i in range(count)}
