"""Who follows a run from outside: TensorBoard, always; MLflow, where somebody asks for it.

tensorboardX writes TensorBoard's files and needs nothing that is not here already; TensorBoard's
own package brings a server and gRPC. To look at them is for whoever has TensorBoard.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from minicube._errors import InputError, require
from minicube._files import read_json, write_json
from minicube.engines.telemetry import refuse_telemetry
from minicube.training.config import TrainingConfig

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from tensorboardX.event_file_writer import EventsWriter

__all__ = ["Mlflow", "MlflowStore", "TensorBoard", "Tracker", "trackers"]

_EXPERIMENT = "minicube"
_PARAMETER = 6000  # letters of one that MLflow takes

# A server that does not answer holds the training up once, and for seconds, not for minutes.
_SHORT: Final = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}


class Tracker(Protocol):
    """Follows a run; may raise anything, and is then left out."""

    @property
    def name(self) -> str:
        """For people."""

    def begin(self, step: int) -> None:
        """The run begins, or goes on, after a step; what was told of later ones is void."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers after a step, by names such as ``validation/WT``."""

    def end(self, *, finished: bool) -> None:
        """The sitting is over; whether the run is."""


class TensorBoard:
    """Event files in a folder.

    Written at once and in this thread: tensorboardX's own queue waits for ever when the disk is
    full.
    """

    name = "TensorBoard"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: EventsWriter | None = None

    def begin(self, step: int) -> None:
        """Open a file; TensorBoard forgets what files before it say of later steps."""
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        self._folder.mkdir(parents=True, exist_ok=True)
        self._writer = EventsWriter(str(self._folder.resolve() / "events"), f".{step}")
        start = SessionLog(status=SessionLog.START)
        self._write(Event(wall_time=time.time(), step=step + 1, session_log=start))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Write scalars."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.summary import scalar

        for tag, value in values.items():
            self._write(Event(wall_time=time.time(), step=step, summary=scalar(tag, value)))

    def end(self, *, finished: bool) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()

    def _write(self, event: Any) -> None:
        assert self._writer is not None  # it has begun
        self._writer.write_event(event)
        self._writer.flush()


@dataclass(frozen=True)
class MlflowStore:
    """Where MLflow keeps what it is told.

    Args:
        uri: As MLflow writes it, of an SQLite file or a server.
    """

    uri: str

    @property
    def public(self) -> str:
        """The same without a name and a password."""
        return re.sub(r"//[^/]*@", "//", self.uri)

    @classmethod
    def called(cls, words: str) -> Self:
        """The store at a path or an address.

        Args:
            words: An SQLite file, by its path or as ``sqlite:///…``; or the ``http(s)://`` of a
                server.

        Raises:
            InputError: It is neither, or MLflow is not installed.
        """
        require("Tracking with MLflow", "mlflow", "mlflow", "sqlalchemy", "alembic")
        if re.match(r"(sqlite:///|https?://)", words):
            return cls(words)
        if re.match(r"[a-z][a-z0-9+.-]+:", words) or Path(words).is_dir():
            raise InputError(
                "MLflow cannot be told there.",
                expected="a file, such as runs/mlflow.db, or a server's address, http://…",
                found=words,
            )
        return cls(f"sqlite:///{Path(words).resolve().as_posix()}")


class Mlflow:
    """A run of MLflow's experiment "minicube"; a run that goes on is the same one.

    Args:
        store: Where.
        folder: Of our run, where the number of MLflow's is kept.
        config: Becomes its parameters.
    """

    name = "MLflow"

    def __init__(self, store: MlflowStore, folder: Path, config: TrainingConfig) -> None:
        self._store = store
        self._folder = folder
        self._config = config
        self._client: MlflowClient | None = None
        self._run = ""

    def begin(self, step: int) -> None:
        """Make a run or go on with ours."""
        refuse_telemetry()
        for name, value in _SHORT.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient
        from mlflow.entities import Param

        for noisy in ("mlflow", "alembic"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        self._client = client = MlflowClient(tracking_uri=self._store.uri)
        kept = self._folder / "mlflow.json"
        before = read_json(kept) if kept.exists() else {}
        if before.get("store") == self._store.public:
            self._run = before["run"]
            client.update_run(self._run, status="RUNNING")
            return
        known = client.get_experiment_by_name(_EXPERIMENT)
        experiment = known.experiment_id if known else client.create_experiment(_EXPERIMENT)
        run = client.create_run(experiment, run_name=self._folder.resolve().name)
        self._run = run.info.run_id
        write_json(kept, {"store": self._store.public, "run": self._run})
        parameters = [Param(name, value[:_PARAMETER]) for name, value in _flat(self._config)]
        client.log_batch(self._run, params=parameters)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Send metrics."""
        from mlflow.entities import Metric

        assert self._client is not None  # it has begun
        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, step) for name, value in values.items()]
        self._client.log_batch(self._run, metrics=metrics)

    def end(self, *, finished: bool) -> None:
        """Say how it ended."""
        if self._client is not None:
            self._client.set_terminated(self._run, "FINISHED" if finished else "KILLED")


def trackers(run: Path, config: TrainingConfig, mlflow: MlflowStore | None) -> list[Tracker]:
    """Who follows the run in a folder."""
    asked = [] if mlflow is None else [Mlflow(mlflow, run, config)]
    return [TensorBoard(run / "tensorboard"), *asked]


def _flat(config: TrainingConfig) -> Iterator[tuple[str, str]]:
    for name, value in config.model_dump(mode="json").items():
        parts = value.items() if isinstance(value, dict) else [("", value)]
        for part, inner in parts:
            yield (
                f"{name}.{part}".rstrip("."),
                inner if isinstance(inner, str) else json.dumps(inner),
            )
