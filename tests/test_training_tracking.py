"""TensorBoard and MLflow are told what metrics.csv says, and no training depends on them."""

from __future__ import annotations

import csv
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from minicube import InputError
from minicube._errors import MissingExtra
from minicube.training import Material, MlflowStore, RunFolder, SilentListener, fit
from minicube.training.tracking import TensorBoard
from minicube.volumes import StoredCase
from phoning import connections
from small_training import NOTHING, settings, store_small

SMALL: dict[str, Any] = {"widths": (4, 8), "window": (16, 16, 16), "steps": 4, "warmup": 0}
CONFIG = settings(**SMALL, validations=2, augmentation=NOTHING)
Scalars = dict[tuple[int, str], float]


class _Interrupted(Exception):
    pass


class _Heard(SilentListener):
    """Keeps the warnings; may pull the plug after a step."""

    def __init__(self, pull: int = -1) -> None:
        self.warnings: list[str] = []
        self.pull = pull

    def warned(self, words: str) -> None:
        self.warnings.append(words)

    def stepped(self, step: int, loss: float) -> None:
        if step == self.pull:
            raise _Interrupted


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[StoredCase]:
    return store_small(tmp_path_factory.mktemp("stored"), 2)


@pytest.fixture(scope="module")
def undisturbed(cases: list[StoredCase], tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("undisturbed")
    assert _fit(run, cases).warnings == []
    return run


NEEDS_MLFLOW = pytest.mark.skipif(find_spec("mlflow") is None, reason="needs the extra mlflow")


def _fit(
    run: Path, cases: list[StoredCase], mlflow: MlflowStore | None = None, pull: int = -1
) -> _Heard:
    heard = _Heard(pull)
    fit(
        RunFolder(run),
        CONFIG,
        Material(cases[:1], cases[1:], "a small case"),
        listener=heard,
        mlflow=mlflow,
    )
    return heard


def _weights(run: Path) -> dict[str, bytes]:
    return {k: v.numpy().tobytes() for k, v in load_file(run / "weights.safetensors").items()}


def _rows(run: Path) -> Scalars:
    with (run / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return {
            (int(row["step"]), f"{row['split']}/{name}"): float(value)
            for row in csv.DictReader(file)
            for name, value in row.items()
            if name not in ("step", "split") and value
        }


def _shown(folder: Path) -> Scalars:
    """What TensorBoard would show: a file that goes on voids what came later before it."""
    from tensorboardX.proto.event_pb2 import SessionLog

    shown: Scalars = {}
    for path in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns):
        for event in _events(path.read_bytes()):
            if event.session_log.status == SessionLog.START:
                shown = {key: value for key, value in shown.items() if key[0] < event.step}
            for value in event.summary.value:
                shown[event.step, value.tag] = value.simple_value
    return shown


def _events(data: bytes) -> Iterator[Any]:
    from tensorboardX.proto.event_pb2 import Event

    while data:
        (length,) = struct.unpack("<Q", data[:8])
        event = Event()
        event.ParseFromString(data[12 : 12 + length])
        yield event
        data = data[16 + length :]


def _names(tags: Scalars) -> Scalars:
    """As TensorBoard may write them."""
    return {(step, tag.replace(" ", "_")): value for (step, tag), value in tags.items()}


def test_tensorboard_shows_the_metrics_of_a_run_that_was_stopped(
    cases: list[StoredCase], undisturbed: Path, tmp_path: Path
) -> None:
    assert _shown(undisturbed / "tensorboard") == pytest.approx(_names(_rows(undisturbed)))
    with pytest.raises(_Interrupted):
        _fit(tmp_path, cases, pull=3)
    folder = tmp_path / "tensorboard"
    ahead = TensorBoard(folder)  # as if the plug had been pulled after rows and before a checkpoint
    ahead.begin(2)
    ahead.log(3, {"train/loss": 7.0})
    ahead.end(finished=False)
    _fit(tmp_path, cases)
    assert _shown(folder) == pytest.approx(_names(_rows(tmp_path)))
    assert _rows(tmp_path).keys() == _rows(undisturbed).keys()


def test_a_tracker_that_fails_changes_nothing(
    cases: list[StoredCase], undisturbed: Path, tmp_path: Path
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = MlflowStore.called(f"http://127.0.0.1:{probe.getsockname()[1]}")
        (tmp_path / "tensorboard").write_text("in the way", encoding="utf-8")
        heard = _fit(tmp_path, cases, mlflow=nobody)
    assert [words.split(" is no longer told")[0] for words in heard.warnings] == [
        "TensorBoard",
        "MLflow",
    ]
    assert _weights(tmp_path) == _weights(undisturbed)


@pytest.mark.skipif(sys.platform != "linux", reason="the full disk is /dev/full")
def test_a_full_disk_in_the_middle_ends_tensorboard_alone(
    cases: list[StoredCase], undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = TensorBoard.begin
    full = Path("/dev/full").open("wb")  # noqa: SIM115 - closed below, which fails as well

    def begun(tracker: TensorBoard, step: int) -> None:
        begin(tracker, step)
        assert tracker._writer is not None
        records = tracker._writer._py_recordio_writer
        records._writer.close()
        records._writer = full

    monkeypatch.setattr(TensorBoard, "begin", begun)
    (warning,) = _fit(tmp_path, cases).warnings
    with suppress(OSError):
        full.close()
    assert "No space left" in warning
    assert _weights(tmp_path) == _weights(undisturbed)


FOLLOWED = """
import sys
from pathlib import Path
import torch
torch.set_num_threads({threads})
sys.path.insert(0, {tests!r})
import test_training_tracking as tests
from minicube.training import MlflowStore
from minicube.volumes import StoredCase

run, store = Path({run!r}), MlflowStore.called({store!r})
cases = [StoredCase(Path(folder)) for folder in {cases!r}]
try:
    tests._fit(run, cases, mlflow=store, pull=3)
except tests._Interrupted:
    pass
assert tests._fit(run, cases, mlflow=store).warnings == []

from mlflow import MlflowClient
client = MlflowClient(tracking_uri=store.uri)
(followed,) = client.search_runs([client.get_experiment_by_name("minicube").experiment_id])
assert followed.info.status == "FINISHED"
assert followed.info.run_name == run.name
assert followed.data.params["network"] == "unet3d"
assert followed.data.params["loss.name"] == "dice+ce"
found = {{
    (metric.step, name): metric.value
    for name in followed.data.metrics
    for metric in client.get_metric_history(followed.info.run_id, name)
}}
expected = tests._rows(run)
assert found.keys() == expected.keys()
assert all(found[key] == value for key, value in expected.items() if "seconds" not in key[1])
"""


@NEEDS_MLFLOW
def test_mlflow_is_told_and_reports_to_nobody(
    cases: list[StoredCase], undisturbed: Path, tmp_path: Path
) -> None:
    home, run = tmp_path / "home", tmp_path / "run"
    home.mkdir()
    run.mkdir()
    program = FOLLOWED.format(
        tests=str(Path(__file__).parent),
        threads=torch.get_num_threads(),  # sums differ with it, in their last bits
        run=str(run),
        store=str(tmp_path / "mlflow.db"),
        cases=[str(case.folder) for case in cases],
    )
    assert connections(home, program) == ""
    assert _weights(run) == _weights(undisturbed)


@NEEDS_MLFLOW
def test_mlflow_is_told_in_a_file_or_at_an_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    here = (tmp_path / "a.db").resolve().as_posix()
    assert MlflowStore.called("a.db").uri == f"sqlite:///{here}"
    server = MlflowStore.called("https://me:secret@lab.example:5000")
    assert server.public == "https://lab.example:5000"
    for wrong in ("databricks://lab", "file:///tmp/runs", "ftp://lab", "."):
        with pytest.raises(InputError, match="cannot be told"):
            MlflowStore.called(wrong)
    monkeypatch.setattr("minicube._errors.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"minicube\[mlflow\]"):
        MlflowStore.called("a.db")
