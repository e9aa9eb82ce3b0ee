"""A run to one file: the same answers, or nothing is written."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from minicube import InputError
from minicube.cli import main
from minicube.engines import (
    EngineName,
    Model,
    Numbers,
    Precision,
    load_model,
    open_engine,
    volume_logits,
)
from minicube.engines.portable import NORMS
from minicube.engines.torch_engine import TorchEngine, load_network
from minicube.engines.trainable import packed_norms, trainable_network
from minicube.export import ExportRequest, export_model, portable
from minicube.inference import shipped_model
from minicube.networks import (
    Network,
    NetworkConfig,
    NetworkName,
    Normalisation,
    build_network,
    folded,
    norms_of,
    unfolded,
)
from minicube.scans import find_cases
from minicube.training import TrainingConfig, fit
from minicube.training.request import Material
from minicube.training.run_folder import RunFolder
from small_cases import write_small_dataset
from small_training import store_small, tiny

FOLDED = {
    NetworkName.UNET3D: (4, 6, 8),
    NetworkName.UNET3D_REPORT: (4, 6, 8),
    NetworkName.UNET3D_CONTEXT: (4, 6, 8),
    NetworkName.UNET2D: (4, 6, 8),
    NetworkName.VNET: (4, 6, 8),
    NetworkName.SEGNET: (4, 6),
}


def _network(config: NetworkConfig) -> Network:
    torch.manual_seed(3)
    network = build_network(config)
    for key, value in network.state_dict().items():
        if key.endswith("running_var"):
            value.uniform_(0.5, 2)
        elif key.endswith(("running_mean", ".bias")):
            value.uniform_(-0.5, 0.5)
        elif value.ndim == 1 and value.is_floating_point():  # scales, and slopes of PReLU
            value.uniform_(0.1, 0.9)
    return network.eval()


@pytest.mark.parametrize("name", FOLDED)
@pytest.mark.parametrize("normalisation", Normalisation)
def test_folding_changes_no_answer(name: NetworkName, normalisation: Normalisation) -> None:
    network = _network(NetworkConfig(name, FOLDED[name], normalisation))
    shape = [2 * s + 2 * network.margin for s in network.stride]
    images = torch.randn(1, 4, *shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(folded(network)(images), network(images), atol=1e-5, rtol=1e-4)
    has_norm = any(isinstance(m, torch.nn.BatchNorm3d) for m in folded(network).modules())
    assert not has_norm


@pytest.mark.parametrize("name", FOLDED)
def test_unfolding_gives_back_what_was_folded(name: NetworkName) -> None:
    network = _network(NetworkConfig(name, FOLDED[name]))
    again = unfolded(folded(network), network.config, norms_of(network))
    _assert_same_weights(again, network, 1e-5)


def _assert_same_weights(found: Network, wanted: Network, tolerance: float) -> None:
    state = wanted.state_dict()
    for name, value in found.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(value, state[name], atol=tolerance, rtol=10 * tolerance)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    config = TrainingConfig.checked(
        tiny("unet3d-report").model_dump() | {"minicube": None, "steps": 4}, "test"
    )
    cases = store_small(folder / "prepared", 2)
    made = RunFolder(folder / "run")
    made.write_config(config)
    fit(made, config, Material(train=cases, held_out=cases[:1], source="a test", whole=False))
    return folder / "run"


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    out = tmp_path_factory.mktemp("exported") / "small.onnx"
    made = export_model(ExportRequest(load_model(run), out, licence="a licence"))
    assert made.largest_difference < 1e-3
    assert made.size == out.stat().st_size
    return made.model


@pytest.mark.parametrize("engine", [e for e in EngineName if e is not EngineName.AUTO])
def test_every_engine_answers_as_the_run_does(
    run: Path, exported: Model, engine: EngineName
) -> None:
    images = np.random.default_rng(1).normal(size=(4, 30, 37, 21)).astype(np.float32)
    wanted = volume_logits(TorchEngine(load_network(load_model(run)), bf16=False), images)
    opened = open_engine(exported, engine=engine, precision=Precision.FP32)
    assert np.abs(wanted - volume_logits(opened, images)).max() < 1e-3


def test_the_description_comes_along(run: Path, exported: Model) -> None:
    before, after = load_model(run).description, exported.description
    changed = {"name", "licence", "sha256", "numbers", "cut_points", "cost"}
    assert after.model_dump(exclude=changed) == before.model_dump(exclude=changed)
    assert (after.name, after.licence) == ("small", "a licence")


def test_an_export_that_answers_otherwise_is_not_written(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portable, "_CLOSE", 0.0)
    monkeypatch.setattr(portable, "_largest_difference", lambda _: 1e-9)
    with pytest.raises(Exception, match="gives other logits than torch"):
        export_model(ExportRequest(load_model(run), tmp_path / "x.onnx"))
    assert list(tmp_path.iterdir()) == []


def test_half_precision_is_held_against_cases(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = find_cases(write_small_dataset(tmp_path / "data", 2))
    out = tmp_path / "half.onnx"
    request = ExportRequest(load_model(run), out, Numbers.FP16, cases)
    with pytest.raises(InputError, match="needs cases to be held against fp32"):
        export_model(replace(request, cases=()))
    made = export_model(request)
    assert made.dice is not None
    assert made.dice[0] == pytest.approx(made.dice[1], abs=0.005)
    _assert_same_weights(trainable_network(made.model), load_network(load_model(run)), 1e-3)
    out.unlink()
    monkeypatch.setattr(portable, "_MAY_FALL", -1.0)
    with pytest.raises(InputError, match="the model would lose too much"):
        export_model(request)
    assert not out.exists()


def test_exporting_at_the_command_line(
    exported: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["export", str(exported.place), "-o", str(tmp_path / "again.onnx")])
    assert ended.value.code == 2
    assert "is exported already" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["export", "tiny", "-o", str(tmp_path / "again.onnx")])  # by its name, too
    assert ended.value.code == 2
    assert "is exported already" in capsys.readouterr().err


def test_an_exported_file_is_the_network_that_was_trained(run: Path, exported: Model) -> None:
    again = trainable_network(exported)
    assert norms_of(again)
    _assert_same_weights(again, load_network(load_model(run)), 1e-5)
    images = np.random.default_rng(2).normal(size=(4, 24, 16, 32)).astype(np.float32)
    wanted = volume_logits(open_engine(exported, precision=Precision.FP32), images)
    found = volume_logits(TorchEngine(again, bf16=False), images)
    assert np.abs(wanted - found).max() < 1e-3


def test_a_training_begins_with_an_exported_file(
    run: Path, exported: Model, tmp_path: Path
) -> None:
    cases = store_small(tmp_path / "prepared", 1)
    config = RunFolder(run).read_config().model_copy(update={"steps": 1, "learning_rate": 1e-9})
    material = Material(train=cases, held_out=cases, source="a test", whole=False)
    further = RunFolder(tmp_path / "run")
    further.write_config(config)
    fit(further, config, material, start=exported.place)
    found, wanted = (load_network(load_model(place)) for place in (further.path, run))
    for (name, value), known in zip(
        found.named_parameters(), wanted.parameters(), strict=True
    ):  # statistics have moved with the step
        torch.testing.assert_close(value, known, atol=1e-5, rtol=1e-4, msg=name)


def _with_norms(model: Model, text: str, out: Path) -> Model:
    graph = onnx.load(model.place)
    for pair in graph.metadata_props:
        if pair.key == NORMS:
            pair.value = text
    onnx.save(graph, out)
    return load_model(out)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (lambda norms: {k: v + 1 for k, v in norms.items()}, "other numbers"),
        (lambda norms: {k: v * float("nan") for k, v in norms.items()}, "not finite"),
        (lambda norms: {k: v[:1] for k, v in norms.items()}, "other names or sizes"),
        (lambda norms: dict([*norms.items()][1:]), "other names or sizes"),
    ],
)
def test_norms_of_another_network_are_refused(
    exported: Model,
    tmp_path: Path,
    changed: Callable[[dict[str, Tensor]], dict[str, Tensor]],
    words: str,
) -> None:
    text = b64encode(save(changed(norms_of(trainable_network(exported))))).decode()
    with pytest.raises(InputError, match=words):
        trainable_network(_with_norms(exported, text, tmp_path / "changed.onnx"))
    for damaged in (text[:-40], text[:8] + "////" + text[12:], "é", ""):
        with pytest.raises(InputError, match="holds the BatchNorm of another network"):
            trainable_network(_with_norms(exported, damaged, tmp_path / "changed.onnx"))


def test_a_file_from_before_cannot_be_trained_on(tmp_path: Path) -> None:
    trainable_network(shipped_model())
    graph = onnx.load(shipped_model().place)
    (norms,) = (entry for entry in graph.metadata_props if entry.key == NORMS)
    graph.metadata_props.remove(norms)
    onnx.save(graph, tmp_path / "old.onnx")
    with pytest.raises(InputError, match="does not say what its BatchNorm was"):
        trainable_network(load_model(tmp_path / "old.onnx"))


def test_what_training_on_asks_for_is_small(run: Path) -> None:
    network = build_network(NetworkConfig(widths=(16, 32, 64, 96, 96)))
    packed = packed_norms(load_model(run), network)
    assert packed is not None
    assert len(packed) < 0.01 * 2 * network.parameter_count  # of a file in half precision


def test_an_exported_file_segments(exported: Model, tmp_path: Path) -> None:
    case = next(write_small_dataset(tmp_path / "data", 1).iterdir())
    words = ["segment", str(case), "-o", str(tmp_path / "seg.nii.gz"), "--model"]
    report = tmp_path / "out.json"
    with pytest.raises(SystemExit) as ended:
        main([*words, str(exported.place), "--json", str(report)])
    assert ended.value.code == 0
    assert json.loads(report.read_text())["model"] == "small"
    assert (tmp_path / "seg.nii.gz").exists()
