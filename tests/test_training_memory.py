"""Training within a budget: whole volumes in slabs, and what is given up for memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minicube import InputError
from minicube._machine import resident_memory
from minicube.cli import main
from minicube.networks import LeveledNetwork, NetworkConfig, NetworkName, build_network
from minicube.planning.guard import run_within
from minicube.training import Device, TrainingConfig
from minicube.training.losses import LossConfig, build_loss
from minicube.training.memory import _ways, step_bytes, within_memory
from minicube.volumes import Shape
from small_cases import write_small_dataset

MB = 2**20
LEVELED = {
    NetworkName.UNET3D: (4, 6, 8),
    NetworkName.UNET3D_FAST: (6, 8),
    NetworkName.UNET3D_REPORT: (4, 6, 8),
    NetworkName.VNET: (4, 6, 8),
}
CASE: Shape = (40, 40, 40)


@pytest.fixture(autouse=True)
def _two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Here and in processes begun here: with one, drawing samples takes most of the memory."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def _network(name: NetworkName) -> LeveledNetwork:
    torch.manual_seed(5)
    network = build_network(NetworkConfig(name, LEVELED[name]))
    assert isinstance(network, LeveledNetwork)
    for key, value in network.state_dict().items():
        if key.endswith("running_var"):
            value.uniform_(0.5, 2)
    return network.eval()  # statistics frozen


def _gradients(network: LeveledNetwork, images: torch.Tensor, slab: int) -> list[torch.Tensor]:
    labels = torch.randint(0, 4, images.shape[2:], generator=torch.Generator().manual_seed(1))
    network.zero_grad()
    logits = network.in_slabs(images, slab) if slab else network(images)
    build_loss(LossConfig())(logits, labels[None]).backward()  # type: ignore[no-untyped-call]
    return [p.grad.clone() for p in network.parameters() if p.grad is not None]


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
@pytest.mark.parametrize("name", LEVELED)
@given(slab=st.integers(1, 14).map(lambda n: 2 * n), length=st.integers(2, 6))
@settings(deadline=None, max_examples=6)
def test_slabs_have_the_gradients_of_the_whole(
    name: NetworkName, dtype: torch.dtype, bound: float, slab: int, length: int
) -> None:
    network = _network(name).to(dtype)
    generator = torch.Generator().manual_seed(2)
    images = torch.randn(1, 4, 4 * length, 8, 12, dtype=dtype, generator=generator)
    whole, parts = _gradients(network, images, 0), _gradients(network, images, slab)
    assert len(whole) == len(parts) == sum(1 for _ in network.parameters())
    for a, b in zip(whole, parts, strict=True):
        assert float((a - b).norm()) <= bound * float(a.norm()) + bound * 1e-3


def test_a_slab_without_its_halo_has_other_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    from minicube.networks import levels

    network = _network(NetworkName.UNET3D).double()
    images = torch.randn(1, 4, 24, 8, 8, dtype=torch.double)
    whole = _gradients(network, images, 0)
    honest = levels._window
    monkeypatch.setattr(levels, "_window", lambda a, b, n, halo, f: honest(a, b, n, halo - f, f))
    parts = _gradients(network, images, 8)
    assert max(float((a - b).norm() / a.norm()) for a, b in zip(whole, parts, strict=True)) > 1e-3


def _config(**changed: object) -> TrainingConfig:
    values = {"widths": (8, 16, 32), "window": (32, 32, 32), "steps": 2, "validations": 1}
    return TrainingConfig.checked(values | changed, "test")


VOLUMES = {"sampling": "volumes", "batch": 1, "frozen_statistics": True}


@pytest.mark.parametrize(
    "wrong",
    [
        {"slab": 16},
        VOLUMES | {"slab": 15},
        VOLUMES | {"batch": 2},
        VOLUMES | {"slab": 16, "frozen_statistics": False},
        VOLUMES | {"slab": 16, "normalisation": "instance"},
        VOLUMES | {"slab": 16, "network": "segnet", "widths": (8, 8)},
    ],
)
def test_slabs_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError):
        _config(**wrong)


def test_memory_is_counted_for_each_way() -> None:
    two = step_bytes(_config(), CASE)
    one = step_bytes(_config(one_by_one=True), CASE)
    again = step_bytes(_config(one_by_one=True, recompute=True), CASE)
    assert two > 1.6 * one > 1.6 * again
    volumes = [step_bytes(_config(**VOLUMES, slab=slab), (96, 96, 96)) for slab in (0, 32, 8)]
    assert volumes == sorted(volumes, reverse=True)
    assert volumes[0] > 1.5 * volumes[2]


def test_samples_go_one_by_one_only_where_one_has_a_variance() -> None:
    for window, expected in ((16, True), (8, False)):
        config = _config(widths=(8, 16, 32, 64), window=(window,) * 3)
        ways = list(_ways(config))
        assert any(way.one_by_one for way in ways) is expected
        assert ways[-1].recompute


DRAWING = """
import json, sys
from pathlib import Path
from minicube._machine import (
    forget_peak_memory, give_back_freed_memory, peak_memory, resident_memory
)
from minicube.training import Augmentation, TrainingConfig
from minicube.training.memory import step_bytes
from minicube.training.stepper import Stepper

tests, folder = sys.argv[1:]
sys.path.insert(0, tests)
from small_training import store_small

give_back_freed_memory()
always = dict.fromkeys(Augmentation().model_dump(), 1.0) | {"missing": 0.0}
values = {"network": "segnet", "widths": (2, 2), "window": (80, 80, 80), "one_by_one": True}
config = TrainingConfig.checked(values | {"augmentation": always}, "test")
stepper = Stepper(config, store_small(Path(folder), 1))
stepper.batch(0)
before = resident_memory()
forget_peak_memory()
stepper.batch(1)
print(json.dumps([step_bytes(config, (40, 40, 40)), peak_memory() - before]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's tables are Linux's")
@pytest.mark.parametrize("threads", ["1", "2"])
def test_samples_are_drawn_within_what_is_counted(
    tmp_path: Path, threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small network on large windows: drawing them takes more than learning from them."""
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    words = [str(Path(__file__).parent), str(tmp_path)]
    done = run_within([sys.executable, "-c", DRAWING, *words], 4 << 30)
    assert done.code == 0, done.errors
    counted, held = json.loads(done.output)
    assert held <= counted <= 1.5 * held


def test_less_memory_asks_for_more_frugal_ways() -> None:
    config = _config(window=(64, 64, 64))
    needed = [
        step_bytes(config.model_copy(update=change), CASE)
        for change in ({}, {"one_by_one": True}, {"one_by_one": True, "recompute": True})
    ]
    within_memory(config, 64 << 30, CASE)  # loads what a training needs
    for index, extra in enumerate(needed):
        budget = int(((resident_memory() or 0) + extra) * 1.06) + 108 * MB
        found = within_memory(config, budget, CASE).config
        assert found.one_by_one is (index > 0)
        assert found.recompute is (index > 1)
    with pytest.raises(InputError, match="too little") as refused:
        within_memory(config, (resident_memory() or 0) + 40 * MB, CASE)
    enough = int(refused.value.hint.split("--memory ")[1].split("MB")[0])
    assert within_memory(config, (enough + 30) * MB, CASE).config.recompute


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a graphics card")
def test_of_a_card_only_what_lies_there_counts() -> None:
    config = _config()
    there = within_memory(config, 8 << 30, CASE, Device.CUDA).predicted
    here = within_memory(config, 8 << 30, CASE).predicted
    assert here - there == pytest.approx((resident_memory() or 0) * 1.06, rel=0.05)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a graphics card")
@pytest.mark.parametrize("memory", [[], ["--memory", "auto"]])
def test_without_a_card_training_on_one_is_refused(
    tmp_path: Path, memory: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "--data", str(tmp_path), "--out", str(tmp_path / "run"), *memory]
    with pytest.raises(SystemExit) as stopped:
        main([*words, "--device", "cuda"])
    assert stopped.value.code == 2
    assert "no graphics card" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's tables are Linux's")
@pytest.mark.parametrize("volumes", [False, True])
def test_a_training_stays_within_its_budget(tmp_path: Path, volumes: bool) -> None:
    data = write_small_dataset(tmp_path / "data", 3)
    settings_file = tmp_path / "config.toml"
    lines = ["widths = [8, 16, 32]", "validations = 1", "validation_share = 0.3"]
    if volumes:
        lines += ['sampling = "volumes"', "batch = 1", "slab = 96", "frozen_statistics = true"]
        lines += ["region = [96, 96, 96]"]
    else:
        lines += ["window = [64, 64, 64]", "batch = 3"]
    settings_file.write_text("\n".join(lines), encoding="utf-8")
    words = ["train", "--data", str(data), "--out", str(tmp_path / "run"), "--steps", "2"]
    words += ["--config", str(settings_file), "--memory"]
    refused = run_within([sys.executable, "-m", "minicube", *words, "200MB"], 4 << 30)
    assert refused.code == 2, refused.errors
    least = int(refused.errors.split("--memory ")[1].split("MB")[0])
    budget = least + 30  # two plans may count libraries a little differently
    done = run_within([sys.executable, "-m", "minicube", *words, f"{budget}MB"], budget * MB)
    assert done.code == 0, done.errors
    assert not done.killed
    kept = TrainingConfig.read(tmp_path / "run" / "config.json")
    assert kept.recompute or kept.one_by_one or kept.slab < 96
