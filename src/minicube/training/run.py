"""A training from a request to a finished run folder, or on from where it was stopped."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch

from minicube._errors import InputError
from minicube._files import locked, sweep
from minicube.scans import CaseFiles
from minicube.simulator import Source
from minicube.training.config import TrainingConfig
from minicube.training.data import find_labelled_cases, prepare_cases, split_cases
from minicube.training.describe import inherited
from minicube.training.device import Device, keep_within, refuse_missing
from minicube.training.listener import Listener, SilentListener
from minicube.training.loop import fit, starting_weights
from minicube.training.memory import scoring_partition, within_memory
from minicube.training.ranks import Ranks, joined
from minicube.training.request import Material, TrainingRequest
from minicube.training.run_folder import RunFolder
from minicube.training.stepper import seconds_a_step
from minicube.volumes import StoredCase
from minicube.volumes.stream import Stream

__all__ = ["train"]

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
        cases = find_labelled_cases(request.data)
        ranks.from_first(lambda: _take(run, request.resume, held))
        _train(run, cases, request, heard, ranks)
    return run


def _take(run: RunFolder, resume: bool, held: ExitStack) -> None:
    """Hold a folder against other trainings, and clear what a killed one left half-written."""
    held.enter_context(locked(run.path))
    sweep(run.path)
    _refuse_to_mix_runs(run, resume)  # another one may have begun it meanwhile


def _train(
    run: RunFolder,
    cases: list[CaseFiles],
    request: TrainingRequest,
    heard: Listener,
    ranks: Ranks,
) -> None:
    started = run.is_started()
    if not started:  # refused before anything is begun
        starting_weights(request.start, request.config)
        _split([files.identity for files in cases], request.config)
    before = run.read_sources() if started else None
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
            _begin(run, request, config, stored)
    elif fitted != config:
        raise InputError(
            f"The run in {run.path} holds more memory than that.",
            hint="a run goes on as it began: give it more, or begin anew with --memory",
        )
    try:
        with _made_meanwhile(run, config, ranks) as stream:
            material = _material(run, request, stored, stream, ranks)
            start = request.start
            if started:
                start = None if run.has_checkpoint() else run.read_start()
            fit(run, config, material, start=start, listener=heard, mlflow=request.mlflow)
    except torch.OutOfMemoryError as error:
        raise InputError(
            "The graphics card's memory did not suffice.",
            found=str(error).splitlines()[0],
            hint="begin anew with --memory, smaller windows or a narrower network",
        ) from error


def _material(
    run: RunFolder,
    request: TrainingRequest,
    stored: list[StoredCase],
    stream: Stream | None,
    ranks: Ranks,
) -> Material:
    train, held_out = ranks.from_first(run.read_split)
    by_name = {case.identity: case for case in stored}
    made_up = "" if stream is None else ", and made-up ones"
    source, licence = inherited(
        f"{len(train)} cases of {request.data.resolve().name}{made_up}",
        ranks.from_first(run.read_ancestor),
    )
    return Material(
        train=[by_name[name] for name in train],
        held_out=[by_name[name] for name in held_out],
        source=source,
        licence=licence,
        memory=request.memory,
        device=request.device,
        stream=stream,
        ranks=ranks,
    )


def _begin(
    run: RunFolder, request: TrainingRequest, config: TrainingConfig, stored: list[StoredCase]
) -> None:
    """Write down what a new run is; its config last, for that makes it one."""
    run.write_split(*_split([case.identity for case in stored], config))
    run.write_sources({case.identity: case.origin for case in stored})
    run.write_start(request.start, minutes=request.minutes, memory=request.memory)
    run.write_config(config)


def _split(names: list[str], config: TrainingConfig) -> tuple[list[str], list[str]]:
    return split_cases(names, config.validation_share, config.seed)


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
    if request.minutes is not None and not math.isfinite(request.minutes):
        raise InputError(f"A training cannot take {request.minutes} minutes.")
    if config.simulated and request.memory is not None and request.device is Device.CPU:
        raise InputError(
            "A process of its own makes up cases, and its memory is not planned.",
            hint="--replay 0 with --memory, or leave out --memory",
        )


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
