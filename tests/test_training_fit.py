"""A training on prepared cases: stopped and gone on with, begun with weights, given up."""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from minicube import InputError
from minicube.engines import load_model
from minicube.engines.torch_engine import network_config
from minicube.inference import shipped_model
from minicube.training import (
    Cause,
    Diverged,
    Material,
    RunFolder,
    SilentListener,
    TrainingConfig,
    TrainingRequest,
    config_to_go_on,
    fit,
    train,
)
from minicube.training.describe import describe, inherited
from minicube.training.run_folder import Ancestor
from minicube.training.stepper import Stepper
from minicube.volumes import StoredCase
from small_cases import write_small_dataset, write_visits
from small_training import settings, store_small, tiny

SMALL: dict[str, Any] = {"widths": (4, 8), "window": (16, 16, 16), "steps": 4, "warmup": 0}
CONFIG = settings(**SMALL, validations=2)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[StoredCase]:
    return store_small(tmp_path_factory.mktemp("stored"), 3)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_dataset(tmp_path_factory.mktemp("data"), 2)


@pytest.fixture(scope="module", autouse=True)
def _few_probes() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minicube.training.loop._PROBES", 2)
        yield


@pytest.fixture(scope="module")
def undisturbed(cases: list[StoredCase], tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    run = _run(tmp_path_factory.mktemp("undisturbed"), CONFIG)
    fit(run, CONFIG, _material(cases))
    return run


class _Interrupted(Exception):
    pass


class _Pull(SilentListener):
    """Stops a training after a step, as if the plug had been pulled."""

    def __init__(self, after: int) -> None:
        self.after = after
        self.started_at: list[int] = []

    def starting(self, config: TrainingConfig, step: int) -> None:
        self.started_at.append(step)

    def stepped(self, step: int, loss: float) -> None:
        if step == self.after:
            raise _Interrupted


def _material(cases: list[StoredCase], *, whole: bool = False) -> Material:
    return Material(cases[:2], cases[2:], "2 small cases", whole=whole)


def _run(folder: Path, config: TrainingConfig) -> RunFolder:
    run = RunFolder(folder)
    run.write_config(config)
    return run


def _weights(run: RunFolder) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = load_file(run.path / "weights.safetensors")
    return weights


def _metrics(run: RunFolder) -> list[dict[str, str]]:
    with (run.path / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


@pytest.mark.parametrize(
    "preset",
    ["unet3d-report-as-reported", "unet2d", "unet3d-context-as-reported"],
)
def test_stopped_and_gone_on_equals_undisturbed(
    cases: list[StoredCase], tmp_path: Path, preset: str
) -> None:
    part = (16, 16, 16 if "3d" in preset else 2)
    cut = {"window": part, "minicube": part if tiny(preset).minicube else None}
    config = tiny(preset, steps=4, validations=2, **cut)
    whole, stopped = (_run(tmp_path / name, config) for name in ("whole", "stopped"))
    fit(whole, config, _material(cases))
    with pytest.raises(_Interrupted):
        fit(stopped, config, _material(cases), listener=_Pull(3))
    last = _Pull(-1)
    fit(stopped, config, _material(cases), listener=last)
    assert last.started_at == [2]
    one, other = _weights(whole), _weights(stopped)
    assert one.keys() == other.keys()
    for name, weight in one.items():
        assert weight.numpy().tobytes() == other[name].numpy().tobytes(), name
    assert _metrics(whole) == _metrics(stopped)


def test_probes_compare_what_is_learnt_from_with_what_is_not(
    cases: list[StoredCase], undisturbed: RunFolder
) -> None:
    probes = [row for row in _metrics(undisturbed) if row["split"].startswith("probe")]
    found = [(row["split"].removeprefix("probe "), int(row["step"])) for row in probes]
    assert found == [("train", 2), ("held-out", 2), ("train", 4), ("held-out", 4)]
    stepper = Stepper(CONFIG, cases[:2])
    stepper.start_from(_weights(undisturbed))
    assert float(probes[-2]["loss"]) == pytest.approx(stepper.probe(cases[:2], 2), abs=1e-6)
    assert float(probes[-1]["loss"]) == pytest.approx(stepper.probe(cases[2:], 2), abs=1e-6)
    assert not (undisturbed.path / "validation.json").exists()


def test_held_out_cases_are_segmented_whole_where_asked(
    cases: list[StoredCase], tmp_path: Path
) -> None:
    config = settings(**SMALL | {"steps": 1}, validations=1)
    run = _run(tmp_path / "run", config)
    seconds = fit(run, config, _material(cases, whole=True))
    assert (run.path / "validation.json").exists()
    assert [row["split"] for row in _metrics(run)][-1] == "validation"
    assert all(seconds[cause] > 0 for cause in Cause)


def test_a_training_begins_with_the_weights_it_is_given(
    data: Path, undisturbed: RunFolder, tmp_path: Path
) -> None:
    weights = _weights(undisturbed)
    # A rate so small that a step changes no weight: what is left is what it began with.
    still = settings(**SMALL | {"steps": 1, "learning_rate": 1e-30, "seed": 9})
    request = TrainingRequest(data, tmp_path / "second", still, start=undisturbed.path)
    second = _weights(train(request))
    learnt = [name for name in weights if "running" not in name and "num_batches" not in name]
    assert len(learnt) > 10
    for name in learnt:
        assert weights[name].equal(second[name]), name
    alone = _weights(train(TrainingRequest(data, tmp_path / "alone", still)))
    assert not any(alone[name].equal(weights[name]) for name in learnt if "0.weight" in name)


def test_a_training_that_goes_on_keeps_its_own_weights(
    cases: list[StoredCase], undisturbed: RunFolder, tmp_path: Path
) -> None:
    config = CONFIG.model_copy(update={"seed": 5})
    whole, stopped = (_run(tmp_path / name, config) for name in ("whole", "stopped"))
    fit(whole, config, _material(cases), start=undisturbed.path)
    with pytest.raises(_Interrupted):
        fit(stopped, config, _material(cases), start=undisturbed.path, listener=_Pull(3))
    fit(stopped, config, _material(cases), start=undisturbed.path)
    one, other = _weights(whole), _weights(stopped)
    assert all(one[name].equal(other[name]) for name in one)


def test_going_on_from_a_model_takes_over_what_it_is(
    data: Path, undisturbed: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minicube.training.run._MADE_UP", 1)
    model = load_model(undisturbed.path)
    found = config_to_go_on(model)
    assert found.network_config == network_config(model)
    assert found.intensities is model.description.normalisation
    assert 0 < found.simulated < 1
    assert 0 < found.start_share < 1
    assert found.learning_rate < TrainingConfig().learning_rate
    # Every window of a made-up case: of the two that are here, only what is held out is seen.
    small = found.model_copy(update={"window": (16, 16, 16), "steps": 1, "simulated": 1.0})
    run = train(TrainingRequest(data, tmp_path / "mine", small, start=undisturbed.path))
    assert not (run.path / "simulated").exists()
    assert "made-up" in load_model(run.path).description.trained_on
    anew = small.model_copy(update={"start_share": 0.0})
    with pytest.raises(InputError, match="memory is not planned"):
        train(TrainingRequest(data, tmp_path / "other", anew, memory=8 << 30))
    with pytest.raises(InputError, match="start_share"):
        train(TrainingRequest(data, tmp_path / "other", small))


def test_a_model_says_where_it_comes_from(
    data: Path, undisturbed: RunFolder, tmp_path: Path
) -> None:
    start, run = tmp_path / "start", tmp_path / "run"
    shutil.copytree(undisturbed.path, start)
    said = json.loads((start / "model.json").read_text(encoding="utf-8"))
    said |= {"name": "first", "licence": "CC BY-NC-SA 4.0", "trained_on": "other heads"}
    said |= {"temperature": 2.0, "least_enhancing_ml": 0.1}
    (start / "model.json").write_text(json.dumps(said), encoding="utf-8")
    config = settings(**SMALL | {"steps": 2}, validations=1)
    with pytest.raises(_Interrupted):
        train(TrainingRequest(data, run, config, start=start), _Pull(1))
    shutil.rmtree(start)
    train(TrainingRequest(data, run, resume=True))
    own = f"1 cases of {data.name}"
    found = load_model(run).description
    assert found.steps == 2
    assert found.trained_on == f"{own}; begun as first, which learnt from other heads"
    assert found.licence == "CC BY-NC-SA 4.0; and that of the training data"
    assert (found.temperature, found.least_enhancing_ml) == (1.0, 0.0)  # of other weights
    again = train(TrainingRequest(data, tmp_path / "again", config, start=run))
    on = load_model(again.path).description
    assert on.trained_on == f"{own}; begun as run, which learnt from {found.trained_on}"
    assert on.licence == found.licence
    alone = train(TrainingRequest(data, tmp_path / "alone", config))
    description = load_model(alone.path).description
    assert (description.trained_on, description.licence) == (own, "that of the training data")


def test_words_of_many_models_stay_short_enough_to_be_read() -> None:
    ancestor = Ancestor(name="old", trained_on="x" * 1990, licence="y" * 1990)
    source, licence = inherited("2 cases", ancestor)
    words = describe(CONFIG, name="new", source=source, licence=licence, step=1)
    assert words.trained_on.startswith("2 cases; begun as old, which learnt from xxx")


def test_weights_of_another_network_are_refused(
    data: Path, undisturbed: RunFolder, tmp_path: Path
) -> None:
    first = undisturbed.path
    wider = settings(**SMALL | {"widths": (4, 16)})
    with pytest.raises(InputError, match="not of the network in the config") as refused:
        train(TrainingRequest(data, tmp_path / "second", wider, start=first))
    assert "4-16" in str(refused.value)
    with pytest.raises(InputError, match="holds no model"):
        train(TrainingRequest(data, tmp_path / "third", settings(**SMALL), start=tmp_path))


def test_a_run_that_was_stopped_before_its_first_step_begins_with_its_model(
    data: Path, undisturbed: RunFolder, tmp_path: Path
) -> None:
    again = settings(**SMALL | {"steps": 1, "learning_rate": 1e-9})
    start = tmp_path / "start"
    shutil.copytree(undisturbed.path, start)
    run = train(TrainingRequest(data, tmp_path / "run", again, start=start))
    first = _weights(run)
    (run.path / "checkpoint.pt").unlink()
    train(TrainingRequest(data, run.path, resume=True))
    assert all(first[name].equal(weight) for name, weight in _weights(run).items())
    begun = _weights(RunFolder(start))
    assert all(torch.allclose(begun[n], w, atol=1e-6) for n, w in first.items() if "conv" in n)

    (run.path / "checkpoint.pt").unlink()
    shutil.rmtree(start)
    shutil.copytree(run.path, start)
    with pytest.raises(InputError, match="is not the model"):
        train(TrainingRequest(data, run.path, resume=True))


def test_a_model_that_cannot_be_gone_on_with_begins_no_run(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="reading an exported model into torch needs 'export'")
    tiny_inside = shipped_model("tiny").place
    with pytest.raises(InputError, match="int8"):
        train(TrainingRequest(data, tmp_path / "run", settings(**SMALL), start=tiny_inside))
    keeps = settings(**SMALL, start_share=0.5)
    with pytest.raises(InputError, match="start_share keeps"):
        train(TrainingRequest(data, tmp_path / "run", keeps))
    assert not (tmp_path / "run" / "config.json").exists()


def test_no_patient_is_learnt_from_and_held_out(tmp_path: Path) -> None:
    data = write_visits(tmp_path / "data", "00002-000", "00002-001")
    with pytest.raises(InputError, match="of one patient"):
        train(TrainingRequest(data, tmp_path / "run", settings(**SMALL)))
    assert not (tmp_path / "run" / "prepared").exists()  # refused before that takes its time
    write_visits(data, "00002-000", "00002-001", "00003-000")
    half = settings(**SMALL | {"steps": 1}, validations=1, validation_share=0.5)
    learnt, held_out = train(TrainingRequest(data, tmp_path / "run", half)).read_split()
    assert [len({name[:15] for name in part}) for part in (learnt, held_out)] == [1, 1]


@pytest.mark.parametrize("whole", [False, True])
def test_ruined_weights_replace_nothing(
    cases: list[StoredCase], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    if whole:  # where samples do not show it, whole cases do
        monkeypatch.setattr(Stepper, "probe", lambda *_: 1.0)
    config = settings(**SMALL | {"learning_rate": 1e30, "clip": 0.0, "steps": 1}, validations=1)
    run = _run(tmp_path / "run", config)
    with pytest.raises(Diverged, match=r"at step 1;.*\n.*lower learning rate"):
        fit(run, config, _material(cases, whole=whole))
    state = run.read_checkpoint()
    assert state is not None
    assert state["step"] == load_model(run.path).description.steps == 0
    assert all(float(weight.abs().max()) < 1e3 for weight in _weights(run).values())
    assert not (run.path / "validation.json").exists()


def test_minutes_without_an_end_are_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="inf minutes"):
        train(TrainingRequest(data, tmp_path / "run", settings(**SMALL), minutes=math.inf))


@pytest.mark.parametrize(("broken", "saved"), [(0, 0), (1, 0), (3, 2)])
def test_a_training_that_diverges_says_where_and_keeps_what_it_had(
    cases: list[StoredCase],
    undisturbed: RunFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    broken: int,
    saved: int,
) -> None:
    run = _run(tmp_path / "run", CONFIG)
    step: Callable[[Stepper, int], tuple[float, float]] = Stepper.step

    def breaks(stepper: Stepper, number: int) -> tuple[float, float]:
        if number == broken:
            with torch.no_grad():
                next(iter(stepper.network.parameters())).fill_(float("nan"))
        return step(stepper, number)

    monkeypatch.setattr(Stepper, "step", breaks)
    with pytest.raises(Diverged) as stopped:
        fit(run, CONFIG, _material(cases))
    assert stopped.value.step == broken
    assert stopped.value.seconds[Cause.LOADING] > 0
    state = run.read_checkpoint()
    assert state is not None
    assert state["step"] == load_model(run.path).description.steps == saved
    assert all(torch.isfinite(weight).all() for weight in state["network"].values())
    monkeypatch.undo()
    fit(run, CONFIG, _material(cases))
    assert load_model(run.path).description.steps == 4
    assert all(w.equal(_weights(undisturbed)[n]) for n, w in _weights(run).items())
