"""The search: trials one after another, in as many processes as join it, until all are made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import optuna
from filelock import FileLock, Timeout
from optuna.exceptions import UpdateFinishedTrialError
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from minicube._errors import InputError
from minicube._files import locked, make_folder
from minicube.evaluation.splits import patient_of
from minicube.scans import CaseFiles, LabelScheme
from minicube.training import (
    Device,
    Listener,
    Material,
    find_labelled_cases,
    prepare_cases,
)
from minicube.training.data import split_cases
from minicube.training.device import refuse_missing
from minicube.tuning.folder import SearchFolder
from minicube.tuning.results import Found, best_of, collect, write_results
from minicube.tuning.sampler import SeededSampler
from minicube.tuning.space import Space
from minicube.tuning.storage import fail_silent, latest, number_of, opened, put_back
from minicube.tuning.trial import REASON, Impossible, train_one
from minicube.volumes import StoredCase

__all__ = ["SearchListener", "SearchRequest", "run_search"]

_SPACE = "space"
_CASES = "cases"


@dataclass(frozen=True)
class SearchRequest:
    """What to search, on what, and where to keep it.

    Args:
        data: Folder of labelled cases in any layout.
        out: The search's folder on this machine.
        space: What may be tried; None goes on with the space of a search that has begun.
        trials: How many in all, in place of the space's number.
        held_out: Folder of labelled cases that judge; None holds out a share of ``data``.
        labels: Scheme of the references, where their files do not say.
        storage: URL of a database; None keeps a file in ``out``.
        name: Of the search in the database.
        device: That networks live on.
    """

    data: Path
    out: Path
    space: Space | None = None
    trials: int | None = None
    held_out: Path | None = None
    labels: LabelScheme | None = None
    storage: str | None = None
    name: str = "search"
    device: Device = Device.CPU


class SearchListener(Protocol):
    """Hears what a search does."""

    def preparing(self, done: int, total: int) -> None:
        """Cases prepared so far."""

    def counted(self, done: int, total: int) -> None:
        """Trials that have ended, in this process or another, and how many there shall be."""

    def beginning(self, number: int) -> Listener:
        """A trial begins, or goes on; what is returned hears its training."""

    def ended(self, trial: Found, best: Found | None) -> None:
        """A trial ended."""


def run_search(request: SearchRequest, listener: SearchListener) -> SearchFolder:
    """Search, or go on searching; returns when every trial is made or in another's hands.

    A process that is killed loses nothing: who comes next in its folder goes on with its trial
    from the last checkpoint. On one machine with equal threads a search of one process ends
    with the same trials, however often it was stopped.

    Args:
        request: What to search.
        listener: Hears how it goes.

    Raises:
        InputError: Data, folder or database cannot be used, or the search was begun with others.
    """
    folder = SearchFolder(request.out)
    make_folder(folder.path)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with opened(request.storage or folder.database) as storage:
        with FileLock(folder.turn):
            study, space = _begun(request, storage)
            refuse_missing(request.device)
            material = _material(request, space, folder, listener)
            _refuse_other_cases(study, material)
            _keep_space(study, space)
        search = _Search(study, space, folder, material, listener, request.storage is not None)
        while search.make_one(request.trials or space.trials):
            pass
    return folder


class _Search:
    """A search in progress, as one process sees it."""

    def __init__(
        self,
        study: optuna.Study,
        space: Space,
        folder: SearchFolder,
        material: Material,
        listener: SearchListener,
        elsewhere: bool,
    ) -> None:
        self._study, self._space, self._folder = study, space, folder
        self._material, self._listener = material, listener
        self._elsewhere = elsewhere  # whether trials may run in other folders
        self._given_away = False
        self._number = -1

    def make_one(self, wanted: int) -> bool:
        """Make the next trial; False when none is left to begin."""
        # One process at a time takes a trial: a running one whose folder nobody holds is dead.
        turn = FileLock(self._folder.turn)
        try:
            turn.acquire()
            self._put_back_the_stopped()
            write_results(self._folder, self._study, self._space, self._material)
            trials = collect(self._study)
            self._listener.counted(sum(trial.ended for trial in trials), wanted)
            if len(trials) >= wanted and not any(trial.waits for trial in trials):
                return False
            self._optimise(lambda trial: self._train(trial, turn))
        finally:
            turn.release(force=True)
        return True

    def _optimise(self, objective: Callable[[optuna.Trial], float]) -> None:
        self._given_away = False
        try:
            self._study.optimize(objective, n_trials=1, catch=(Impossible,))
        except ValueError:
            if not self._given_away:
                raise
            return  # this machine slept too long, and another goes on with the trial
        trials = collect(self._study)
        ended = next(trial for trial in trials if trial.number == self._number)
        self._listener.ended(ended, best_of(trials))

    def _train(self, trial: optuna.Trial, turn: FileLock) -> float:
        number = self._number = number_of(self._study, trial)
        run = self._folder.run_of(number)
        with ExitStack() as stack:
            try:
                stack.enter_context(locked(run.path))
            except InputError as error:
                trial.set_user_attr(REASON, error.problem)
                raise Impossible(error.problem) from error
            turn.release()
            heard = self._listener.beginning(number)
            try:
                return train_one(trial, self._space, run, self._material, heard)
            except UpdateFinishedTrialError:
                self._given_away = True
                raise

    def _put_back_the_stopped(self) -> None:
        """Queue trials that nobody is at work on: their process died, or was interrupted."""
        if self._elsewhere:
            fail_silent(self._study)
        here = self._folder.here()
        for number, trial in latest(self._study).items():
            if trial.state is TrialState.FAIL and REASON not in trial.user_attrs:
                put_back(self._study, trial)
            elif trial.state is TrialState.RUNNING and (number in here or not self._elsewhere):
                path = self._folder.run_of(number).path
                path.mkdir(parents=True, exist_ok=True)
                lock = FileLock(path / ".lock", blocking=False)
                try:
                    lock.acquire()
                except Timeout:
                    continue  # alive
                self._study.tell(trial.number, state=TrialState.FAIL)
                put_back(self._study, trial)
                lock.release()


def _begun(request: SearchRequest, storage: RDBStorage) -> tuple[optuna.Study, Space]:
    """The search in the database, made when there is none, and what it may try."""
    study = optuna.create_study(
        study_name=request.name, storage=storage, direction="maximize", load_if_exists=True
    )
    space = request.space or Space.read("default")
    begun = _begun_with(study)
    if begun is not None:
        if request.space is not None:
            _refuse_other_space(study, begun, space)
        space = begun
    study.sampler = SeededSampler(space)
    study.pruner = _pruner(space)
    return study, space


def _begun_with(study: optuna.Study) -> Space | None:
    kept = study.user_attrs.get(_SPACE)
    return None if kept is None else Space.checked(kept, f"the search {study.study_name}")


def _keep_space(study: optuna.Study, space: Space) -> None:
    """Keep what is tried once there are cases to try it on; another machine may have been first."""
    begun = _begun_with(study)
    if begun is None:
        study.set_user_attr(_SPACE, space.model_dump(mode="json"))
    else:
        _refuse_other_space(study, begun, space)


def _refuse_other_space(study: optuna.Study, begun: Space, space: Space) -> None:
    if begun != space.model_copy(update={"trials": begun.trials}):
        raise InputError(
            f"A search called {study.study_name} was begun with another space.",
            hint="leave out --space to go on with it, or begin one in another folder or under "
            "another --name",
        )


def _pruner(space: Space) -> BasePruner:
    """Below the median of earlier trials at the same validation: Golovin et al., "Google
    Vizier", KDD 2017, section 3.2.2, there with running averages."""
    return MedianPruner(n_startup_trials=space.startup) if space.prune else NopPruner()


def _material(
    request: SearchRequest, space: Space, folder: SearchFolder, listener: SearchListener
) -> Material:
    """Cases prepared and split; no trial learns from one that judges it."""
    config = space.config({})  # what is prepared and split by it cannot be searched

    def stored(files: list[CaseFiles], home: Path) -> list[StoredCase]:
        done, denoise = listener.preparing, config.denoise
        return prepare_cases(files, home, labels=request.labels, denoise=denoise, done=done)

    files = find_labelled_cases(request.data)
    names = [case.identity for case in files]
    if request.held_out is None:
        learnt, _ = split_cases(names, config.validation_share, space.seed)
        cases = stored(files, folder.prepared)
        train = [case for case in cases if case.identity in learnt]
        held_out = [case for case in cases if case.identity not in learnt]
    else:
        judging = find_labelled_cases(request.held_out)
        _refuse_other_visits(names, [case.identity for case in judging])
        train = stored(files, folder.prepared)
        held_out = stored(judging, folder.prepared / "held-out")
        origins = [dict(case.origin) for case in train]
        if both := [case.identity for case in held_out if dict(case.origin) in origins]:
            raise InputError(
                "Cases would judge what was learnt from them.",
                found=f"in both folders: {', '.join(both)}",
            )
    return Material(
        train=train,
        held_out=held_out,
        source=f"{len(train)} cases of {request.data.resolve().name}",
        device=request.device,
    )


def _refuse_other_visits(learnt: list[str], judging: list[str]) -> None:
    """Of names that say which patient it is; others may be alike in two data sets."""
    patients = {patient_of(name) for name in learnt if patient_of(name) != name}
    if known := [name for name in judging if patient_of(name) in patients]:
        raise InputError(
            "Cases would judge what was learnt from other visits of their patients.",
            found=f"of patients in both folders: {', '.join(known)}",
            hint="keep a patient's visits in one folder; where they are other people, rename them",
        )


def _refuse_other_cases(study: optuna.Study, material: Material) -> None:
    """Trials are compared: all of them learn from, and are judged by, the same cases."""
    cases = {
        name: {case.identity: dict(case.origin) for case in each}
        for name, each in (("train", material.train), ("held out", material.held_out))
    }
    digest = hashlib.sha256(json.dumps(cases, sort_keys=True).encode()).hexdigest()
    kept = study.user_attrs.get(_CASES)
    if kept is None:
        study.set_user_attr(_CASES, digest)
    elif kept != digest:
        raise InputError(
            f"The search {study.study_name} was begun with other cases.",
            hint="bring back what it began with, or begin in another folder or under another name",
        )
