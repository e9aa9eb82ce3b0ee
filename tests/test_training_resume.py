"""A training that was killed and resumed ends bit for bit where an undisturbed one does."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

import minicube as mc
from minicube import InputError
from minicube.cli import main
from minicube.engines import load_model
from minicube.training import RunFolder, TrainingConfig
from small_cases import write_small_dataset

SETTINGS: dict[str, Any] = {
    "widths": (4, 8, 8),
    "steps": 30,
    "window": (32, 32, 32),
    "validation_share": 0.3,
    "validations": 3,
    "seed": 5,
    "average": 0.9,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_dataset(tmp_path_factory.mktemp("data"), 4)


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mc.train(data, tmp_path_factory.mktemp("runs") / "undisturbed", **SETTINGS)


def _metrics(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def _saved_at(run: Path) -> int:
    """Step of the last checkpoint; there is one of step 0 from the start."""
    state = RunFolder(run).read_checkpoint()
    return 0 if state is None else int(state["step"])


def _start(data: Path, run: Path, *more: str) -> subprocess.Popen[bytes]:
    config = run.parent / "settings.json"
    config.write_text(TrainingConfig(**SETTINGS).model_dump_json())
    words = ["train", "--data", str(data), "--out", str(run), "--config", str(config), *more]
    # The same number of threads as this process has, or the sums differ in their last bits.
    return subprocess.Popen([sys.executable, "-m", "minicube", *words], env=dict(os.environ))


def test_killed_and_resumed_equals_undisturbed(
    data: Path, undisturbed: Path, tmp_path: Path
) -> None:
    run = tmp_path / "killed"
    process = _start(data, run)
    deadline = time.monotonic() + 120
    while not _saved_at(run):
        assert process.poll() is None, "the training ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()
    process.wait()
    steps = [int(row["step"]) for row in _metrics(run)]
    assert 2 < steps[-1] < SETTINGS["steps"]  # the kill landed in between
    resumed = _start(data, run, "--resume")
    assert resumed.wait(timeout=120) == 0
    one, other = (load_file(r / "weights.safetensors") for r in (undisturbed, run))
    assert one.keys() == other.keys()
    for name, weight in one.items():
        assert weight.numpy().tobytes() == other[name].numpy().tobytes(), name
    assert _metrics(run) == _metrics(undisturbed)
    assert "<svg" in (run / "report.html").read_text(encoding="utf-8")


def test_run_folder_explains_itself(undisturbed: Path) -> None:
    names = {path.name for path in undisturbed.iterdir()}
    assert names >= {
        "config.json",
        "environment.json",
        "split.json",
        "metrics.csv",
        "model.json",
        "weights.safetensors",
        "validation.json",
        "checkpoint.pt",
    }
    assert not [name for name in names if name.startswith(".part-")]
    split = json.loads((undisturbed / "split.json").read_text())
    assert len(split["train"]) == 3
    assert len(split["validation"]) == 1
    rows = _metrics(undisturbed)
    assert [int(r["step"]) for r in rows if r["split"] == "validation"] == [10, 20, 30]
    assert float(rows[-2]["loss"]) < float(rows[0]["loss"])


def test_a_run_is_not_overwritten_or_resumed_by_mistake(data: Path, undisturbed: Path) -> None:
    with pytest.raises(InputError, match="already holds a run"):
        mc.train(data, undisturbed, **SETTINGS)
    process = _start(data, undisturbed.parent / "nothing-here", "--resume")
    assert process.wait(timeout=60) == 2


def test_a_resumed_run_keeps_the_settings_it_began_with(
    data: Path, undisturbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "--data", str(data), "--out", str(undisturbed), "--resume"]
    with pytest.raises(SystemExit) as ended:
        main([*command, "--steps", "99", "--seed", str(SETTINGS["seed"])])
    assert ended.value.code == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"steps 99, not {SETTINGS['steps']}" in said
    assert "seed" not in said.partition("what to do")[0]
    other = tmp_path / "other.json"
    changed = SETTINGS | {"average": 0.5, "recompute": True, "steps": 99}
    other.write_text(TrainingConfig(**changed).model_dump_json())
    for more, complaint in (
        (["--config", str(other)], f"average 0.5, not {SETTINGS['average']}"),
        (["--minutes", "3"], "--minutes say how a run begins"),
        (["--init", "default"], "--minutes say how a run begins"),
    ):
        with pytest.raises(SystemExit) as ended:
            main([*command, *more])
        assert ended.value.code == 2
        said = " ".join(capsys.readouterr().err.split())
        assert complaint in said
        assert ("steps 99" in said) is ("--config" in more)
    # What time and memory settled is nothing that a config says.
    run = tmp_path / "settled"
    shutil.copytree(undisturbed, run)
    command[command.index(str(undisturbed))] = str(run)
    begun = RunFolder(run)
    begun.write_start(None, minutes=3, memory=8 << 30)
    for average, code in ((0.5, 2), (SETTINGS["average"], 0)):
        changed["average"] = average
        other.write_text(TrainingConfig(**changed).model_dump_json())
        with pytest.raises(SystemExit) as ended:
            main([*command, "--config", str(other)])
        assert ended.value.code == code
        assert "steps 99" not in " ".join(capsys.readouterr().err.split())
    before = (undisturbed / "weights.safetensors").read_bytes()
    with pytest.raises(SystemExit) as ended:
        main([*command, "--steps", str(SETTINGS["steps"])])  # as it is: done already
    assert ended.value.code == 0
    assert (undisturbed / "weights.safetensors").read_bytes() == before


def test_what_differs_is_named_key_by_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    RunFolder(tmp_path).write_config(TrainingConfig(**SETTINGS))
    other = tmp_path / "other.toml"
    other.write_text('average = 0.9\n[loss]\nname = "dice"\nclass_weights = [1, 3, 5, 7]\n')
    command = ["train", "--data", str(tmp_path), "--out", str(tmp_path), "--resume"]
    with pytest.raises(SystemExit) as ended:
        main([*command, "--config", str(other)])
    assert ended.value.code == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "loss.name dice, not dice+ce; loss.class_weights [1.0, 3.0, 5.0, 7.0], not None" in said
    assert "activation" not in said


def test_damaged_weights_are_noticed(undisturbed: Path, tmp_path: Path) -> None:
    model = load_model(undisturbed)
    for name in ("model.json", "weights.safetensors"):
        (tmp_path / name).write_bytes((undisturbed / name).read_bytes())
    assert load_model(tmp_path).description == model.description
    data = bytearray((tmp_path / "weights.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "weights.safetensors").write_bytes(data)
    with pytest.raises(InputError, match="not the file"):
        load_model(tmp_path)


def test_minutes_become_steps_once(data: Path, tmp_path: Path) -> None:
    run = mc.train(data, tmp_path / "timed", minutes=0.02, **(SETTINGS | {"steps": 10**6}))
    steps = json.loads((run / "config.json").read_text())["steps"]
    assert 1 <= steps < 10**6
    assert int(_metrics(run)[-1]["step"]) == steps
