"""Where trials are kept: a file of SQLite, or a database server that several machines reach."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from minicube._errors import InputError
from minicube._files import make_folder

__all__ = ["BEGUN_AS", "fail_silent", "latest", "number_of", "opened", "put_back"]

BEGUN_AS: Final = "begun as"
"""Attribute of a trial that goes on with one that was stopped: Optuna's number of the first."""

_BEAT: Final = 60  # seconds
_DEAD_AFTER: Final = 600  # seconds without a beat
_WAIT: Final = 60  # seconds, for another process's write to a file


@contextmanager
def opened(place: Path | str) -> Iterator[RDBStorage]:
    """Open the database of a search, made when it is missing; closed behind the block.

    With a server each running trial is beaten for every minute; one that was not for ten is put
    back, for whoever comes next. In a file there is no need to: processes that share it see
    each other's locks.

    Args:
        place: A file, or the URL of a database as SQLAlchemy reads it.

    Raises:
        InputError: The URL cannot be read, its driver is not installed, or the database cannot be
            reached – when it is opened, or later in the block.
    """
    shown = str(place)
    more: dict[str, Any] = {}
    if isinstance(place, Path):
        make_folder(place.parent)
        url = f"sqlite:///{place.resolve()}"
    else:
        url = place
        shown = _without_password(place)
        more = {
            "heartbeat_interval": _BEAT,
            "grace_period": _DEAD_AFTER,
            "heartbeat_stale_trial_callback": put_back,
        }
    if url.startswith("sqlite"):
        more["engine_kwargs"] = {"connect_args": {"timeout": _WAIT}}
    try:
        storage = _open(url, more)
        try:
            yield storage
        finally:
            storage.remove_session()
            storage.engine.dispose()
    except ImportError as error:
        module = getattr(error.__cause__, "name", None) or "its driver"
        raise InputError(
            f"The database {shown} needs a Python package that is not installed.",
            found=f"no module {module}",
            hint="install the one that brings it, or name another driver, as in "
            "postgresql+psycopg:// or mysql+pymysql://",
        ) from error
    except (SQLAlchemyError, StorageInternalError) as error:
        raise InputError(
            f"The database {shown} cannot be used.",
            found=str(error.__cause__ or error).splitlines()[0],
            hint="see that it runs, and that address, name and password are right",
        ) from error


def _open(url: str, more: dict[str, Any]) -> RDBStorage:
    with warnings.catch_warnings():  # the beat is called experimental
        warnings.simplefilter("ignore", ExperimentalWarning)
        return RDBStorage(url, **more)


def fail_silent(study: optuna.Study) -> None:
    """Put back the trials of machines that were not heard of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        optuna.storages.fail_stale_trials(study)


def _without_password(url: str) -> str:
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError as error:
        raise InputError(
            "The database's URL cannot be read.",
            expected="such as postgresql+psycopg://user@host/name",
            hint="a file needs none: leave out --storage",
        ) from error


def put_back(study: optuna.Study, stopped: FrozenTrial) -> None:
    """Queue a trial that was stopped to be gone on with, as far as it had come."""
    study.add_trial(
        optuna.create_trial(
            state=TrialState.WAITING,
            params=stopped.params,
            distributions=stopped.distributions,
            user_attrs={**stopped.user_attrs, BEGUN_AS: _begun_as(stopped)},
            intermediate_values=stopped.intermediate_values,
        )
    )


def number_of(study: optuna.Study, trial: FrozenTrial | optuna.Trial) -> int:
    """A trial's place in the search, from 0; it keeps it when it is put back.

    So trials are numbered as in a search that was never stopped; Optuna counts each time anew.
    """
    first = _begun_as(trial)
    return sum(
        earlier.number < first and BEGUN_AS not in earlier.user_attrs
        for earlier in study.get_trials(deepcopy=False)
    )


def latest(study: optuna.Study) -> dict[int, FrozenTrial]:
    """Of each trial, by its number, how it went on last."""
    found = {_begun_as(trial): trial for trial in study.get_trials(deepcopy=False)}
    return dict(enumerate(found.values()))


def _begun_as(trial: FrozenTrial | optuna.Trial) -> int:
    return int(trial.user_attrs.get(BEGUN_AS, trial.number))
