"""A model in int8: small, the same whole or in parts, in either engine, and refused when worse."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto

from minicube import InputError
from minicube._errors import MissingExtra
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
from minicube.engines.calibration import Calibration, calibrated
from minicube.export import ExportRequest, export_model, portable
from minicube.planning import LevelCut, Partition
from minicube.scans import find_cases
from phoning import connections
from small_cases import write_small_dataset
from small_models import write_small_model

ENGINES = (EngineName.OPENVINO, EngineName.ONNXRUNTIME)
NNCF = pytest.mark.skipif(importlib.util.find_spec("nncf") is None, reason="nncf is not installed")


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_dataset(tmp_path_factory.mktemp("data"), 2)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load_model(write_small_model(tmp_path_factory.mktemp("run") / "run", 1, worn=True))


@pytest.fixture(scope="module")
def portables(
    run: Model, cases: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[Numbers, Model]:
    """The same model in fp32, and from that file in int8."""
    folder = tmp_path_factory.mktemp("exported")
    full = export_model(ExportRequest(run, folder / "full.onnx")).model
    request = ExportRequest(full, folder / "int8.onnx", Numbers.INT8, find_cases(cases))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(portable, "_MAY_FALL", 1.0)  # weights by lot find nothing to be lost
        made = export_model(request)
    assert made.dice is not None
    return {Numbers.FP32: full, Numbers.INT8: made.model}


def _images(shape: tuple[int, int, int] = (37, 30, 42)) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(4, *shape)).astype(np.float32)


@NNCF
def test_weights_are_int8_and_names_are_kept(portables: dict[Numbers, Model]) -> None:
    model = portables[Numbers.INT8]
    assert model.description.numbers is Numbers.INT8
    graph = onnx.load(model.place).graph
    kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
    made = {name: node for node in graph.node for name in node.output}
    products = [node for node in graph.node if node.op_type in ("Conv", "ConvTranspose")]
    assert products
    for node in products:
        weights = made[node.input[1]]
        assert weights.op_type == "DequantizeLinear"
        assert kinds[weights.input[0]] == TensorProto.INT8
    signed = [n for n in graph.node if n.op_type == "QuantizeLinear"]
    assert {kinds[node.input[2]] for node in signed} == {TensorProto.UINT8}
    assert {*portables[Numbers.FP32].description.cut_points} <= {*made}


@NNCF
@pytest.mark.parametrize("name", ENGINES)
def test_int8_is_near_fp32_in_every_engine(
    portables: dict[Numbers, Model], name: EngineName
) -> None:
    full = open_engine(portables[Numbers.FP32], engine=name, precision=Precision.FP32)
    short = open_engine(portables[Numbers.INT8], engine=name)
    wanted, found = volume_logits(full, _images()), volume_logits(short, _images())
    off = np.sqrt(np.square(wanted - found).mean()) / wanted.std()
    assert 1e-4 < off < 0.05  # another answer, and not a wrong one


@NNCF
@pytest.mark.parametrize("name", ENGINES)
def test_parts_give_the_whole_in_int8(portables: dict[Numbers, Model], name: EngineName) -> None:
    """But for a number here and there that lies between two integers and is rounded otherwise."""
    engine = open_engine(portables[Numbers.INT8], engine=name)
    whole = volume_logits(engine, _images())
    for part in ((10, 12, 42), (16, 30, 14)):
        parts = volume_logits(engine, _images(), Partition((LevelCut(0, 1, part),)))
        differ = np.abs(parts - whole) > 1e-4
        assert differ.mean() < 5e-3
        first, second = np.sort(whole, axis=0)[::-1][:2]
        sure = first - second > 2 * np.abs(parts - whole).max()
        assert (parts.argmax(axis=0) == whole.argmax(axis=0))[sure].all()


@NNCF
@pytest.mark.parametrize("name", ENGINES)
def test_a_halo_a_step_short_is_noticed_in_int8(
    portables: dict[Numbers, Model], name: EngineName, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_engine(portables[Numbers.INT8], engine=name)
    short = [
        level.model_copy(update={"decode_halo": level.decode_halo - level.factor})
        for level in engine.cost.levels
    ]
    monkeypatch.setattr(engine, "cost", engine.cost.model_copy(update={"levels": tuple(short)}))
    parts = volume_logits(engine, _images(), Partition((LevelCut(0, 1, (10, 12, 42)),)))
    differ = np.abs(parts - volume_logits(engine, _images())) > 1e-4
    assert differ.mean() > 0.1


@NNCF
def test_int8_is_calibrated_by_its_own_file(
    portables: dict[Numbers, Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # on Linux nothing is known before
    told: list[tuple[int, int]] = []

    def measure() -> Calibration:
        return calibrated(
            portables[Numbers.INT8],
            EngineName.OPENVINO,
            Precision.INT8,
            1,
            measuring=lambda done, of: told.append((done, of)),
        )

    found = measure()
    assert [done for done, _ in told] == [*range(1, told[-1][1] + 1)]
    assert len(told) > 2
    assert measure() == found
    assert len(told) == told[-1][1]  # not measured again
    assert found.cost is not None
    assert found.cost.whole.bytes > 0
    assert portables[Numbers.INT8].description.sha256 in found.key


@NNCF
@pytest.mark.parametrize(
    ("engine", "precision", "words"),
    [
        (EngineName.OPENVINO, Precision.FP32, "cannot be computed in fp32"),
        (EngineName.ONNXRUNTIME, Precision.BF16, "cannot be computed in bf16"),
        (EngineName.TORCH, Precision.AUTO, "is in int8, which torch does not take"),
    ],
)
def test_what_int8_cannot_be_is_refused(
    portables: dict[Numbers, Model], engine: EngineName, precision: Precision, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        open_engine(portables[Numbers.INT8], engine=engine, precision=precision)


@NNCF
def test_int8_that_loses_too_much_is_not_written(
    run: Model, cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = ExportRequest(run, tmp_path / "int8.onnx", Numbers.INT8, find_cases(cases)[:1])
    with pytest.raises(InputError, match="needs cases to be held against fp32"):
        export_model(replace(request, cases=()))
    monkeypatch.setattr(portable, "_dice_before_and_after", lambda _: (0.8, 0.7949))
    with pytest.raises(InputError, match="As int8 the model would lose too much"):
        export_model(request)
    assert list(tmp_path.iterdir()) == []


def test_int8_without_its_extra_says_so(
    run: Model, cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minicube._errors.find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match=r"minicube\[int8\]"):
        export_model(ExportRequest(run, tmp_path / "x.onnx", Numbers.INT8, find_cases(cases)))


def test_half_or_int8_at_the_command_line(
    run: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["export", str(run.place), "-o", str(tmp_path / "x.onnx"), "--half", "--int8"])
    assert ended.value.code == 2
    assert "contradict each other" in capsys.readouterr().err


@NNCF
def test_quantising_phones_nobody(portables: dict[Numbers, Model], tmp_path: Path) -> None:
    program = f"""
import numpy as np, onnx
from minicube.export.int8 import quantised
window = np.random.default_rng(0).normal(size=(4, 8, 8, 8)).astype(np.float32)
quantised(onnx.load({str(portables[Numbers.FP32].place)!r}), [window])
"""
    assert connections(tmp_path, program) == ""
