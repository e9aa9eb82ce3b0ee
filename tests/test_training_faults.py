"""What goes wrong in days of training: it stops in plain words, and what was saved is good."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import minicube as mc
from minicube import InputError
from minicube._files import locked, replacing
from minicube.training import (
    Diverged,
    Material,
    RunFolder,
    SilentListener,
    TrainingConfig,
    TrainingRequest,
    fit,
    train,
)
from minicube.training.stepper import Stepper
from minicube.training.stopping import stoppable
from minicube.volumes import StoredCase
from small_cases import write_small_dataset
from small_training import settings, store_small

QUICK: dict[str, Any] = {
    "widths": (4, 8),
    "window": (16, 16, 16),
    "steps": 14,
    "warmup": 0,
    "validations": 1,
}
ON_POSIX = pytest.mark.skipif(sys.platform == "win32", reason="no such signals or limits there")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_dataset(tmp_path_factory.mktemp("data"), 2)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> list[StoredCase]:
    return store_small(tmp_path_factory.mktemp("stored"), 2)


def _run(folder: Path, config: TrainingConfig) -> RunFolder:
    run = RunFolder(folder)
    run.write_config(config)
    return run


class _At(SilentListener):
    """Does something once a step is made."""

    def __init__(self, step: int, act: Callable[[], object]) -> None:
        self._step, self._act = step, act

    def stepped(self, step: int, loss: float) -> None:
        if step == self._step:
            self._act()


@ON_POSIX
def test_asked_to_stop_it_saves_the_step_and_goes_on_as_if_nothing_was(
    data: Path, tmp_path: Path
) -> None:
    config = TrainingConfig.checked(QUICK, "test")
    stopped, straight = tmp_path / "stopped", tmp_path / "straight"
    strike = _At(7, lambda: signal.raise_signal(signal.SIGTERM))  # between two rows of the log
    with pytest.raises(KeyboardInterrupt, match=r"after step 7.*--resume"):
        train(TrainingRequest(data, stopped, config), strike)
    state = RunFolder(stopped).read_checkpoint()
    assert state is not None
    assert state["step"] == 7
    train(TrainingRequest(data, stopped, resume=True))
    train(TrainingRequest(data, straight, config))
    one, other = (load_file(run / "weights.safetensors") for run in (stopped, straight))
    assert all(value.equal(other[name]) for name, value in one.items())
    rows = [RunFolder(run).read_metrics(up_to=99) for run in (stopped, straight)]
    for row in (*rows[0], *rows[1]):
        row.pop("seconds")
    assert rows[0] == rows[1]


@ON_POSIX
def test_the_impatient_are_heard_too() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with stoppable() as asked:
            assert not asked()
            signal.raise_signal(signal.SIGINT)
            assert asked()
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_outside_the_main_thread_nothing_is_heard() -> None:
    answers: list[bool] = []

    def ask() -> None:
        with stoppable() as asked:
            answers.append(asked())

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert answers == [False]


@pytest.mark.parametrize("broken", ["loss", "gradient"])
def test_what_is_no_number_stops_it_and_is_kept(
    stored: list[StoredCase], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    config = settings(**QUICK)
    run, learn = _run(tmp_path / "run", config), Stepper._learn_from
    calls = 0

    def no_number(stepper: Stepper, images: torch.Tensor, labels: torch.Tensor) -> float:
        nonlocal calls
        calls += 1
        value = learn(stepper, images, labels)
        if calls <= 3:
            return value
        if broken == "gradient":
            next(p for p in stepper.network.parameters()).grad.fill_(torch.inf)  # type: ignore[union-attr]
            return value
        return float("nan")

    monkeypatch.setattr(Stepper, "_learn_from", no_number)
    word = "nan" if broken == "loss" else "inf"
    with pytest.raises(Diverged, match=f"{word} at step 3"):
        fit(run, config, Material(stored, stored[:1], "test", whole=False))
    kept = load_file(run.path / "diverged.safetensors")
    images, labels = Stepper(config, stored).batch(3)
    assert kept["images"].equal(images)
    assert kept["labels"].equal(labels)
    weights = {name: value for name, value in kept.items() if "." in name}
    Stepper(config, stored).start_from(weights)
    assert all(value.isfinite().all() for value in weights.values())
    assert RunFolder(run.path).read_checkpoint() is not None


def test_a_checkpoint_cut_short_is_refused(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    network = torch.nn.Linear(2, 1)
    optimiser = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 2)).sum().backward()
    optimiser.step()
    run.write_checkpoint(
        {"step": 3, "network": network.state_dict(), "optimizer": optimiser.state_dict()}
    )
    assert run.read_checkpoint() is not None
    path = tmp_path / "checkpoint.pt"
    whole = path.read_bytes()
    # Every length is tried by benchmarks/faults.py.
    for length in {*range(40), *range(40, len(whole), 61), *range(len(whole) - 40, len(whole))}:
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match="is damaged"):
            run.read_checkpoint()


@pytest.mark.parametrize(
    "state", [{}, {"step": 1, "seconds": "x"}, [1], {"step": 1, "seconds": 1.0}]
)
def test_a_checkpoint_of_something_else_is_refused(
    stored: list[StoredCase], tmp_path: Path, state: Any
) -> None:
    config = settings(**QUICK)
    run = _run(tmp_path / "run", config)
    torch.save(state, run.path / "checkpoint.pt")
    with pytest.raises(InputError, match=r"checkpoint"):
        fit(run, config, Material(stored, stored[:1], "test", whole=False))


def test_a_second_process_is_refused_until_the_first_is_gone(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = "import sys, time; from pathlib import Path; from minicube._files import locked\n"
    words += f"with locked(Path({str(run)!r})): print('in', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", words], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(InputError, match="Another process is at work"):
            mc.train(data, run, **QUICK)
        assert not RunFolder(run).is_started()
        other.kill()
    with locked(run):  # it went with its owner
        pass


@contextlib.contextmanager
def _files_at_most(size: int) -> Iterator[None]:
    """As if the disk were full behind so many bytes of each file."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@ON_POSIX
def test_a_full_disk_is_said_so_and_leaves_the_last_checkpoint(
    stored: list[StoredCase], tmp_path: Path
) -> None:
    config = settings(**QUICK)
    run = _run(tmp_path / "run", config)
    material = Material(stored, stored[:1], "test", whole=False)
    with contextlib.ExitStack() as stack:
        full = _At(9, lambda: stack.enter_context(_files_at_most(9000)))
        with pytest.raises(InputError, match="cannot be written") as refusal:
            fit(run, config, material, listener=full)
    assert "space" in refusal.value.hint
    assert not list(run.path.glob(".part-*"))
    state = run.read_checkpoint()
    assert state is not None
    assert state["step"] == 0
    fit(run, config, material)
    straight = _run(tmp_path / "straight", config)
    fit(straight, config, material)
    one, other = (load_file(r.path / "weights.safetensors") for r in (run, straight))
    assert all(value.equal(other[name]) for name, value in one.items())


@ON_POSIX
def test_a_full_disk_stops_a_checkpoint_half_way(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.write_checkpoint({"step": 1})
    with _files_at_most(9000), pytest.raises(InputError, match="cannot be written"):
        run.write_checkpoint({"step": 2, "network": torch.zeros(10_000)})
    assert run.read_checkpoint() == {"step": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_other_faults_of_a_block_are_not_called_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "out"):
        (tmp_path / "missing").read_bytes()


CHILDREN = """
import sys
from pathlib import Path
from minicube.volumes.stream import Stream
from small_cases import SmallMaker
if __name__ == "__main__":
    stream = Stream(SmallMaker(), Path(sys.argv[1]), pool=1)
    stream.at(0)
    print(*[p for p in stream._workers._processes], flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="processes are looked for in /proc")
def test_who_makes_cases_ends_with_a_training_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "training.py"
    script.write_text(CHILDREN, encoding="utf-8")
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    with subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "cases")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": paths},
    ) as process:
        assert process.stdout is not None
        children = [int(word) for word in process.stdout.readline().split()]
        assert children
        process.kill()
    deadline = time.monotonic() + 30
    while any(_alive(child) for child in children):
        assert time.monotonic() < deadline, "it lives on"
        time.sleep(0.02)


def _alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return state.rsplit(")", 1)[1].split()[0] != "Z"  # where nobody collects orphans


@pytest.mark.parametrize(
    "split", [[], {"train": ["a"]}, {"train": [{"a": 1}], "validation": []}, {"train": 3}]
)
def test_a_split_that_is_none_is_refused(tmp_path: Path, split: Any) -> None:
    (tmp_path / "split.json").write_text(json.dumps(split), encoding="utf-8")
    with pytest.raises(InputError, match=r"split\.json is damaged"):
        RunFolder(tmp_path).read_split()


def test_the_page_tells_the_counts_that_were_made() -> None:
    root = Path(__file__).parents[1]
    results = json.loads((root / "benchmarks" / "results" / "faults.json").read_text("utf-8"))
    page = (root / "docs" / "reliability.md").read_text(encoding="utf-8")
    assert results["lost"] == 0
    for name, count in results["counts"].items():
        cells = f"{count['tries']} | {count['landed']} | {count['runs']} | {count['lost']} |"
        assert f"{name} | {cells}" in page
