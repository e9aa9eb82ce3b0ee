"""The training loop: prepare, step, score, save – and go on exactly where it stopped."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch

from minicube._errors import InputError
from minicube._files import locked, sweep
from minicube.engines import load_model
from minicube.engines.trainable import trainable_network
from minicube.networks import Network, narrowed
from minicube.scans import CaseFiles
from minicube.simulator import Source
from minicube.training.config import TrainingConfig
from minicube.training.data import find_labelled_cases, prepare_cases, split_cases
from minicube.training.describe import describe
from minicube.training.device import Device, keep_within, refuse_missing
from minicube.training.listener import Listener, SilentListener
from minicube.training.memory import scoring_partition, within_memory
from minicube.training.ranks import Ranks, joined
from minicube.training.record import Record
from minicube.training.request import Material, TrainingRequest
from minicube.training.run_folder import RunFolder
from minicube.training.stepper import Cause, Diverged, Stepper, seconds_a_step
from minicube.training.stopping import stoppable
from minicube.training.tracking import MlflowStore, trackers
from minicube.training.validate import score
from minicube.volumes import StoredCase
from minicube.volumes.stream import Stream

__all__ = ["fit", "train"]

_CHECKPOINT_SECONDS = 240.0
_LOG_EVERY = 10
_PROBES = 8  # samples of training and of held-out cases whose losses are compared
_MADE_UP = 4  # cases drawn from at a time, where the config asks for such
_BUDGET_FOR_STEPS = 0.9  # the rest of the minutes scores held-out cases and saves


def train(request: TrainingRequest, listener: Listener | None = None) -> RunFolder:
    """Train a network, or go on training it; returns the finished run's folder.

    On one kind of processor with the same number of threads a resumed run ends with the same
    weights, bit for bit, as one that was never stopped: every sample is a function of (seed,
    step, index), the learning rate one of the step, and the rest is in the checkpoint.

    Where torchrun or srun started several processes, each calls this and they train together: a
    step's samples are shared, and the first process alone writes and is listened to. How many
    there are is no part of the run, so that any number may go on with it; but sums are then
    rounded differently.

    Ctrl-C and SIGTERM end it after the step that is being made, which is saved.

    Raises:
        InputError: Data or folder cannot be used, or another process trains in the folder.
        KeyboardInterrupt: It was asked to stop, and has saved.
    """
    refuse_missing(request.device)
    run = RunFolder(request.out)
    with joined(request.device) as ranks, ExitStack() as held:
        heard = listener if listener is not None and ranks.first else SilentListener()
        _refuse_to_mix_runs(run, request.resume)
        find_labelled_cases(request.data)  # before a folder is made
        ranks.from_first(lambda: _take(run, request.resume, held))
        _train(run, request, heard, ranks)
    return run


def _take(run: RunFolder, resume: bool, held: ExitStack) -> None:
    """Hold a folder against other trainings, and clear what a killed one left half-written."""
    held.enter_context(locked(run.path))
    sweep(run.path)
    _refuse_to_mix_runs(run, resume)  # another one may have begun it meanwhile


def _train(run: RunFolder, request: TrainingRequest, heard: Listener, ranks: Ranks) -> None:
    started = run.is_started()
    before = run.read_sources() if started else None
    cases = find_labelled_cases(request.data)
    if before is not None:
        cases = _those_of_the_run(cases, before.keys(), request.data)
    config = run.read_config() if started else request.config
    _refuse_unplanned(request, config)
    ranks.refuse_idle(config.batch)
    stored = prepare_cases(
        cases,
        run.prepared,
        labels=request.labels,
        denoise=config.denoise,
        before=before,
        done=heard.preparing,
        ranks=ranks,
    )
    fitted = ranks.everyone(lambda: _fitted(request, config, stored, heard, ranks))[0]
    if not started:
        config = ranks.everyone(lambda: _settle_steps(fitted, request, stored, ranks))[0]
        if ranks.first:
            _begin(run, config, stored)
    elif fitted != config:
        raise InputError(
            f"The run in {run.path} holds more memory than that.",
            hint="a run goes on as it began: give it more, or begin anew with --memory",
        )
    train_names, held_out_names = ranks.from_first(run.read_split)
    by_name = {case.identity: case for case in stored}
    made_up = ", and made-up ones" if config.simulated else ""
    try:
        with _made_meanwhile(run, config, ranks) as stream:
            material = Material(
                train=[by_name[name] for name in train_names],
                held_out=[by_name[name] for name in held_out_names],
                source=f"{len(train_names)} cases of {request.data.resolve().name}{made_up}",
                memory=request.memory,
                device=request.device,
                stream=stream,
                ranks=ranks,
            )
            fit(run, config, material, start=request.start, listener=heard, mlflow=request.mlflow)
    except torch.OutOfMemoryError as error:
        raise InputError(
            "The graphics card's memory did not suffice.",
            found=str(error).splitlines()[0],
            hint="begin anew with --memory, smaller windows or a narrower network",
        ) from error


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


def _begin(run: RunFolder, config: TrainingConfig, stored: list[StoredCase]) -> None:
    """Write down what a new run is; its config last, for that makes it one."""
    names = [case.identity for case in stored]
    run.write_split(*split_cases(names, config.validation_share, config.seed))
    run.write_sources({case.identity: case.origin for case in stored})
    run.write_config(config)


@contextmanager
def _made_meanwhile(
    run: RunFolder, config: TrainingConfig, ranks: Ranks
) -> Iterator[Stream | None]:
    """Made-up cases for the share of windows that the config asks for; gone when it is done.

    Each rank makes its own, which are the same as the others'.
    """
    if not config.simulated:
        yield None
        return
    folder = run.path / ("simulated" if ranks.first else f"simulated-{ranks.number}")
    with Stream(Source(seed=config.seed), folder, pool=_MADE_UP) as stream:
        yield stream
    shutil.rmtree(folder, ignore_errors=True)


def _those_of_the_run(
    cases: list[CaseFiles], names: AbstractSet[str], data: Path
) -> list[CaseFiles]:
    """The cases a run began with; what was added since does not belong to it."""
    chosen = [case for case in cases if case.identity in names]
    missing = names - {case.identity for case in chosen}
    if missing:
        raise InputError(
            f"{data} no longer holds all cases of this run.",
            found=f"missing: {', '.join(sorted(missing))}",
        )
    return chosen


def _refuse_to_mix_runs(run: RunFolder, resume: bool) -> None:
    if resume and not run.is_started():
        raise InputError(
            f"There is no run to resume in {run.path}.", hint="leave out --resume to start one"
        )
    if run.is_started() and not resume:
        raise InputError(
            f"{run.path} already holds a run.",
            hint="pass --resume to go on with it, or choose another folder",
        )


def _refuse_unplanned(request: TrainingRequest, config: TrainingConfig) -> None:
    if config.simulated and request.memory is not None and request.device is Device.CPU:
        raise InputError(
            "A process of its own makes up cases, and its memory is not planned.",
            hint="--replay 0 with --memory, or leave out --memory",
        )


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
        for split, cases in (("train", material.train), ("held-out", material.held_out)):
            if not (cases and self._ranks.first):
                continue
            probed = f"{stepper.probe(cases, _PROBES):.6f}"
            self._record.add({"step": step, "split": f"probe {split}", "loss": probed})
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
        if not self._ranks.first:
            return
        dice = {n: "" if value is None else f"{value:.4f}" for n, value in scores.dice.items()}
        loss = f"{scores.loss:.6f}"
        self._record.add({"step": step, "split": "validation", "loss": loss, **dice})
        self._run.write_validation(scores.summary)
        self._listener.validated(step, scores)

    def _write_model(self, network: Network, step: int) -> None:
        name = self._run.path.resolve().name
        said = describe(self._config, name=name, source=self._material.source, step=step)
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
            self._record.begin(0)
            if start is not None:
                begun, wanted = trainable_network(load_model(start)), self._config.network_config
                self._stepper.start_from(narrowed(begun.state_dict(), begun.config, wanted))
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


def _fitted(
    request: TrainingRequest,
    config: TrainingConfig,
    cases: list[StoredCase],
    heard: Listener,
    ranks: Ranks,
) -> TrainingConfig:
    """The config within the memory budget, where there is one."""
    memory = request.memory
    if memory is None:
        return config
    keep_within(request.device, memory)
    x, y, z = (max(case.shape[axis] for case in cases) for axis in range(3))
    plan = within_memory(config, memory, (x, y, z), request.device, ranks)
    scoring_partition(plan.config, (x, y, z), memory, request.device)
    heard.planned(plan)
    return plan.config


def _settle_steps(
    config: TrainingConfig, request: TrainingRequest, cases: list[StoredCase], ranks: Ranks
) -> TrainingConfig:
    """Turn minutes into steps by timing a few on a network that is then thrown away."""
    if request.minutes is None:
        return config
    seconds = seconds_a_step(config, cases, time.monotonic, request.device, ranks)
    steps = request.minutes * 60 * _BUDGET_FOR_STEPS / seconds
    return config.model_copy(update={"steps": max(1, int(steps))})


def _milestones(steps: int, count: int) -> set[int]:
    return {max(1, round(steps * (i + 1) / count)) for i in range(count)}
