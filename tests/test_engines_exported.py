"""Exported networks: what is in the file, and engines that give the same as torch."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from minicube import InputError
from minicube.engines import (
    AnyEngine,
    EngineName,
    Precision,
    load_model,
    open_engine,
    volume_logits,
)
from minicube.engines.portable import METADATA, NORMS, graph_checksum, metadata_of
from minicube.inference import shipped_model
from minicube.planning import LevelCut, Partition
from phoning import connections

SAME_LOGITS, CLEAR_MARGIN = 1e-4, 2e-4
AS_TORCH = 1e-3
WITHOUT_TORCH = (EngineName.OPENVINO, EngineName.ONNXRUNTIME)


def _opened(engine: EngineName) -> AnyEngine:
    return open_engine(shipped_model(), engine=engine, precision=Precision.FP32)


ENGINES = {name: _opened(name) for name in (*WITHOUT_TORCH, EngineName.TORCH)}


def _images(shape: tuple[int, int, int]) -> NDArray[np.float32]:
    images = np.random.default_rng(0).normal(size=(4, *shape)).astype(np.float32)
    images[:, : shape[0] // 4] = 0  # air on one side
    return images


@pytest.mark.parametrize("name", WITHOUT_TORCH)
@given(shape=st.tuples(*[st.integers(17, 60)] * 3))
@settings(deadline=None, max_examples=4)
def test_an_exported_network_gives_torch_s_logits(
    name: EngineName, shape: tuple[int, int, int]
) -> None:
    images = _images(shape)
    wanted = volume_logits(ENGINES[EngineName.TORCH], images)
    found = volume_logits(ENGINES[name], images)
    assert np.abs(wanted - found).max() < AS_TORCH
    first, second = np.sort(wanted, axis=0)[::-1][:2]
    sure = first - second > 2 * AS_TORCH
    assert (wanted.argmax(axis=0) == found.argmax(axis=0))[sure].all()


@st.composite
def _cuts(draw: st.DrawFn, depth: int) -> Partition:
    """One cut, or two below each other, with parts of any size."""
    middle = draw(st.integers(1, depth - 1))
    cuts = [(0, middle)]
    if middle < depth - 1 and draw(st.booleans()):
        cuts.append((middle, draw(st.integers(middle + 1, depth - 1))))
    return Partition(
        tuple(
            LevelCut(a, b, tuple(draw(st.integers(2, 6)) * 2 ** (b - a) for _ in range(3)))
            for a, b in cuts
        )
    )


@pytest.mark.parametrize("name", WITHOUT_TORCH)
@given(data=st.data(), shape=st.tuples(*[st.integers(17, 44)] * 3))
@settings(deadline=None, max_examples=5)
def test_parts_give_the_whole(
    name: EngineName, data: st.DataObject, shape: tuple[int, int, int]
) -> None:
    engine, images = ENGINES[name], _images(shape)
    cut = data.draw(_cuts(len(shipped_model().description.widths)))
    whole, parts = volume_logits(engine, images), volume_logits(engine, images, cut)
    assert np.abs(whole - parts).max() < SAME_LOGITS
    first, second = np.sort(whole, axis=0)[::-1][:2]
    differ = whole.argmax(axis=0) != parts.argmax(axis=0)
    assert not (differ & (first - second > CLEAR_MARGIN)).any()


@pytest.mark.parametrize("name", WITHOUT_TORCH)
def test_a_halo_a_step_short_is_noticed(name: EngineName, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, images = ENGINES[name], _images((48, 48, 48))
    cost = engine.cost
    short = [
        level.model_copy(update={"decode_halo": max(0, level.decode_halo - level.factor)})
        for level in cost.levels
    ]
    cut = Partition((LevelCut(0, 2, (16, 48, 48)),))
    whole = volume_logits(engine, images)
    assert np.abs(whole - volume_logits(engine, images, cut)).max() < SAME_LOGITS
    monkeypatch.setattr(engine, "cost", cost.model_copy(update={"levels": tuple(short)}))
    assert np.abs(whole - volume_logits(engine, images, cut)).max() > SAME_LOGITS


@pytest.mark.parametrize("name", WITHOUT_TORCH)
def test_nothing_phones_home(tmp_path: Path, name: EngineName) -> None:
    assert connections(tmp_path, "import socket; socket.socket().connect_ex(('', 9))")
    program = f"""
import numpy as np
from minicube.engines import EngineName, open_engine, segment_volume
from minicube.inference import shipped_model
engine = open_engine(shipped_model(), engine=EngineName({name.value!r}))
segment_volume(engine, np.ones((4, 32, 32, 32), np.float32))
"""
    assert connections(tmp_path, program) == ""


def test_the_file_says_what_it_is() -> None:
    model = shipped_model()
    assert model.is_exported
    assert list(metadata_of(model.place)) == [METADATA, NORMS]
    description = model.description
    assert description.sequences == ("t1n", "t1c", "t2w", "t2f")
    assert description.sha256 == graph_checksum(model.place)
    assert {"handed_1", "risen_1"} <= {*description.cut_points}
    assert model.cost.stride == (16, 16, 16)
    assert b"/home/" not in model.place.read_bytes()  # nor any path of who exported it


@given(at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(deadline=None, max_examples=40)
def test_a_damaged_file_is_noticed_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, at: float, bit: int
) -> None:
    """A flipped bit is refused with a sentence; outside what counts it changes nothing."""
    data = bytearray(shipped_model().place.read_bytes())
    data[int(at * len(data))] ^= 1 << bit
    damaged = tmp_path_factory.mktemp("damaged") / "model.onnx"
    try:
        damaged.write_bytes(data)
        assert load_model(damaged).description.sha256 == shipped_model().description.sha256
    except InputError:
        pass
    finally:
        damaged.unlink()


@pytest.mark.parametrize("length", [0, 1, 100, 4000, 1_000_000])
def test_a_file_cut_short_is_refused(tmp_path: Path, length: int) -> None:
    short = tmp_path / "short.onnx"
    short.write_bytes(shipped_model().place.read_bytes()[:length])
    with pytest.raises(InputError):
        load_model(short)


def test_changed_weights_are_refused(tmp_path: Path) -> None:
    changed = tmp_path / "changed.onnx"
    data = bytearray(shipped_model().place.read_bytes())
    data[len(data) // 2] ^= 1
    changed.write_bytes(data)
    with pytest.raises(InputError, match="not the file that its description was written for"):
        load_model(changed)


def test_another_s_onnx_file_is_refused(tmp_path: Path) -> None:
    import onnx

    stranger = onnx.load(shipped_model().place)
    del stranger.metadata_props[:]
    onnx.save(stranger, tmp_path / "stranger.onnx")
    with pytest.raises(InputError, match="does not say what it is"):
        load_model(tmp_path / "stranger.onnx")


def test_an_exported_file_in_a_folder_is_found(tmp_path: Path) -> None:
    shutil.copy(shipped_model().place, tmp_path / "model.onnx")
    assert load_model(tmp_path).description == shipped_model().description


@pytest.mark.parametrize(
    ("engine", "precision", "words"),
    [
        (EngineName.ONNXRUNTIME, Precision.BF16, "ONNX Runtime does not compute in bf16"),
        (EngineName.OPENVINO, Precision.BF16, "This processor does not compute in bf16"),
        (EngineName.OPENVINO, Precision.INT8, "is not in int8"),
        (EngineName.ONNXRUNTIME, Precision.INT8, "is not in int8"),
        (EngineName.TORCH, Precision.INT8, "is not in int8"),
    ],
)
def test_a_precision_that_would_not_be_kept_is_refused(
    engine: EngineName, precision: Precision, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minicube.engines.openvino_engine.has_bf16", lambda: False)
    with pytest.raises(InputError, match=words):
        open_engine(shipped_model(), engine=engine, precision=precision)


@pytest.mark.parametrize(
    ("engine", "companion"),
    [(EngineName.ONNXRUNTIME, "onnx"), (EngineName.TORCH, "safetensors")],
)
def test_an_engine_without_its_companion_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, engine: EngineName, companion: str
) -> None:
    monkeypatch.setattr(
        "minicube._errors.find_spec", lambda name: None if name == companion else find_spec(name)
    )
    with pytest.raises(InputError, match="pip install"):
        open_engine(shipped_model(), engine=engine)
