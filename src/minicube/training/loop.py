"""The training loop: prepare, step, score, save – and go on exactly where it stopped."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch

from minicube._errors import InputError
from minicube._version import __version__
from minicube.engines import ModelDescription, load_model
from minicube.engines.trainable import trainable_network
from minicube.networks import cost_of, narrowed
from minicube.planning import NetworkCost
from minicube.scans import NETWORK_SCHEME, CaseFiles, LabelScheme, Sequence
from minicube.simulator import Source
from minicube.training.config import TrainingConfig
from minicube.training.data import find_labelled_cases, prepare_cases, split_cases
from minicube.training.device import Device, keep_within, refuse_missing
from minicube.training.listener import Listener, SilentListener
from minicube.training.memory import scoring_partition, within_memory
from minicube.training.run_folder import Row, RunFolder
from minicube.training.stepper import Cause, Stepper, seconds_a_step
from minicube.training.validate import score
from minicube.volumes import NETWORK_SPACING, StoredCase
from minicube.volumes.stream import Stream

__all__ = [
    "Material",
    "TrainingRequest",
    "fit",
    "train",
]

_CHECKPOINT_SECONDS = 240.0
_LOG_EVERY = 10
_PROBES = 8  # samples of training and of held-out cases whose losses are compared
_MADE_UP = 4  # cases drawn from at a time, where the config asks for such
_BUDGET_FOR_STEPS = 0.9  # the rest of the minutes scores held-out cases and saves


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
        start: A model whose weights to begin with, of the same network; of unet3d-fast wider
            than the config's, its heaviest channels.
        memory: Bytes that the process may hold, or torch on a card; what has to be given up for
            that is, and is kept with the run.
        device: That the network lives on.
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


@dataclass(frozen=True)
class Material:
    """Prepared cases and what they are.

    Args:
        train: To learn from; one that stands there twice is seen twice an epoch.
        held_out: Scored along the way, never learnt from.
        source: The former in words, for the model's description.
        whole: Whether held-out cases are segmented whole to score them; else only the loss of
            samples of them is probed, which costs little.
        memory: Bytes that the process may hold, or torch on a card; None sets no limit.
        device: That the network lives on.
        stream: Cases made meanwhile; with ``simulated = 1`` in the config ``train`` may be empty.
    """

    train: list[StoredCase]
    held_out: list[StoredCase]
    source: str
    whole: bool = True
    memory: int | None = None
    device: Device = Device.CPU
    stream: Stream | None = None


def train(request: TrainingRequest, listener: Listener | None = None) -> RunFolder:
    """Train a network, or go on training it; returns the finished run's folder.

    On one kind of processor with the same number of threads a resumed run ends with the same
    weights, bit for bit, as one that was never stopped: every sample is a function of (seed,
    step, index), the learning rate one of the step, and the rest is in the checkpoint.

    Raises:
        InputError: Data or folder cannot be used.
    """
    heard = listener or SilentListener()
    refuse_missing(request.device)
    run = RunFolder(request.out)
    _refuse_to_mix_runs(run, request.resume)
    before = run.read_sources() if run.is_started() else None
    cases = find_labelled_cases(request.data)
    if before is not None:
        cases = _those_of_the_run(cases, before.keys(), request.data)
    config = run.read_config() if run.is_started() else request.config
    _refuse_unplanned(request, config)
    stored = prepare_cases(
        cases,
        run.prepared,
        labels=request.labels,
        denoise=config.denoise,
        before=before,
        done=heard.preparing,
    )
    if not run.is_started():
        config = _fitted(request, request.config, stored, heard)
        config = _settle_steps(config, request, stored)
        run.write_split(
            *split_cases([c.identity for c in stored], config.validation_share, config.seed)
        )
        run.write_sources({case.identity: case.origin for case in stored})
        run.write_config(config)
    elif _fitted(request, config, stored, heard) != config:
        raise InputError(
            f"The run in {run.path} holds more memory than that.",
            hint="a run goes on as it began: give it more, or begin anew with --memory",
        )
    train_names, held_out_names = run.read_split()
    by_name = {case.identity: case for case in stored}
    made_up = ", and made-up ones" if config.simulated else ""
    try:
        with _made_meanwhile(run, config) as stream:
            material = Material(
                train=[by_name[name] for name in train_names],
                held_out=[by_name[name] for name in held_out_names],
                source=f"{len(train_names)} cases of {request.data.resolve().name}{made_up}",
                memory=request.memory,
                device=request.device,
                stream=stream,
            )
            fit(run, config, material, start=request.start, listener=heard)
    except torch.OutOfMemoryError as error:
        raise InputError(
            "The graphics card's memory did not suffice.",
            found=str(error).splitlines()[0],
            hint="begin anew with --memory, smaller windows or a narrower network",
        ) from error
    return run


def fit(
    run: RunFolder,
    config: TrainingConfig,
    material: Material,
    *,
    start: Path | None = None,
    listener: Listener | None = None,
) -> Mapping[Cause, float]:
    """Train on prepared cases, from the run's last checkpoint when it has one.

    Args:
        run: Where everything is kept.
        config: Settings, steps included.
        material: Prepared cases.
        start: A model whose weights to begin with.
        listener: Hears how it goes.

    Returns:
        Seconds by cause, over all sittings.
    """
    loop = _Loop(run, config, material, listener or SilentListener())
    loop.go(start)
    return loop.seconds_by_cause


@contextmanager
def _made_meanwhile(run: RunFolder, config: TrainingConfig) -> Iterator[Stream | None]:
    """Made-up cases for the share of windows that the config asks for; gone when it is done."""
    if not config.simulated:
        yield None
        return
    folder = run.path / "simulated"
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
        self, run: RunFolder, config: TrainingConfig, material: Material, listener: Listener
    ) -> None:
        self._run = run
        self._config = config
        self._listener = listener
        self._material = material
        self._stepper = Stepper(config, material.train, material.device, material.stream)
        self._rows: list[Row] = []
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
        recent: list[float] = []
        for step in range(first, config.steps):
            loss, rate = self._stepper.step(step)
            recent.append(loss)
            self._seconds = before + time.monotonic() - began
            self._listener.stepped(step + 1, loss)
            scoring = step + 1 in scored_at
            # Checkpoints only where the log is complete: a resumed run logs the same rows.
            if scoring or (step + 1) % _LOG_EVERY == 0:
                self._log(step + 1, sum(recent) / len(recent), rate)
                recent.clear()
                if scoring:
                    with self._stepper.timed(Cause.SCORING):
                        self._score(step + 1)
                if scoring or time.monotonic() - saved > _CHECKPOINT_SECONDS:
                    self._save(step + 1)
                    saved = time.monotonic()

    def _log(self, step: int, loss: float, rate: float) -> None:
        self._rows.append(
            {
                "step": step,
                "split": "train",
                "loss": f"{loss:.6f}",
                "learning_rate": f"{rate:.3e}",
                "seconds": f"{self._seconds:.1f}",
            }
        )
        self._run.write_metrics(self._rows)

    def _score(self, step: int) -> None:
        stepper, material = self._stepper, self._material
        for split, cases in (("train", material.train), ("held-out", material.held_out)):
            if not cases:
                continue
            probed = f"{stepper.probe(cases, _PROBES):.6f}"
            self._rows.append({"step": step, "split": f"probe {split}", "loss": probed})
        if material.whole:
            self._score_whole(step)
        self._run.write_metrics(self._rows)
        self._run.write_model(stepper.learnt.state_dict(), self._describe(step))

    def _score_whole(self, step: int) -> None:
        stepper, material = self._stepper, self._material
        scores = score(
            stepper.learnt,
            material.held_out,
            self._config,
            bf16=stepper.bf16,
            memory=material.memory,
        )
        dice = {n: "" if value is None else f"{value:.4f}" for n, value in scores.dice.items()}
        loss = f"{scores.loss:.6f}"
        self._rows.append({"step": step, "split": "validation", "loss": loss, **dice})
        self._run.write_validation(scores.summary)
        self._listener.validated(step, scores)

    def _save(self, step: int) -> None:
        self._run.write_checkpoint(
            {"step": step, "seconds": self._seconds, **self._stepper.state()}
        )

    def _restore(self, start: Path | None) -> int:
        state = self._run.read_checkpoint()
        if state is None:
            if start is not None:
                begun, wanted = trainable_network(load_model(start)), self._config.network_config
                self._stepper.start_from(narrowed(begun.state_dict(), begun.config, wanted))
            # At once, so that a run that is stopped or diverges early has both.
            self._run.write_model(self._stepper.network.state_dict(), self._describe(0))
            self._save(0)
            return 0
        step = int(state["step"])
        self._seconds = float(state["seconds"])
        self._stepper.restore(state)
        self._rows = list(self._run.read_metrics(up_to=step))
        return step

    @cached_property
    def _cost(self) -> NetworkCost:
        return cost_of(self._config.network_config)

    def _describe(self, step: int) -> ModelDescription:
        t1n, t1c, t2w, t2f = (s.value for s in Sequence)
        return ModelDescription.model_validate(
            {
                "name": self._run.path.resolve().name,
                "network": self._config.network.value,
                "widths": self._config.widths,
                "layers": self._config.normalisation.value,
                "output_relu": self._config.output_relu,
                "triplanar": self._config.triplanar,
                "part": self._config.minicube,
                "context": self._config.context,
                "denoise": self._config.denoise,
                "sequences": (t1n, t1c, t2w, t2f),
                "spacing": NETWORK_SPACING,
                "normalisation": self._config.intensities,
                "scheme": NETWORK_SCHEME.value,
                "trained_on": self._material.source,
                "licence": "that of the training data",
                "minicube": __version__,
                "steps": step,
                "sha256": "",
                "cost": self._cost,
            }
        )


def _fitted(
    request: TrainingRequest, config: TrainingConfig, cases: list[StoredCase], heard: Listener
) -> TrainingConfig:
    """The config within the memory budget, where there is one."""
    memory = request.memory
    if memory is None:
        return config
    keep_within(request.device, memory)
    x, y, z = (max(case.shape[axis] for case in cases) for axis in range(3))
    plan = within_memory(config, memory, (x, y, z), request.device)
    scoring_partition(plan.config, (x, y, z), memory, request.device)
    heard.planned(plan)
    return plan.config


def _settle_steps(
    config: TrainingConfig, request: TrainingRequest, cases: list[StoredCase]
) -> TrainingConfig:
    """Turn minutes into steps by timing a few on a network that is then thrown away."""
    if request.minutes is None:
        return config
    seconds = seconds_a_step(config, cases, time.monotonic, request.device)
    steps = request.minutes * 60 * _BUDGET_FOR_STEPS / seconds
    return config.model_copy(update={"steps": max(1, int(steps))})


def _milestones(steps: int, count: int) -> set[int]:
    return {max(1, round(steps * (i + 1) / count)) for i in range(count)}
