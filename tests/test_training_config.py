"""Settings that fit together are read, kept and turned into a network; others are refused."""

from __future__ import annotations

import math
import re
import typing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from minicube import InputError
from minicube.cli import main
from minicube.cli.train import NetworkWord
from minicube.engines import Cut, Precision
from minicube.networks import NETWORKS, NetworkName, build_network
from minicube.training import Augmentation, TrainingConfig, TrainingRequest, preset_names
from minicube.training.config import Optimiser, Sampling, Schedule
from minicube.training.stepper import Stepper
from minicube.volumes import REPORT_MINICUBE, REPORT_REGION, Intensities, StoredCase
from small_training import store_small, tiny

REPORTED = [name for name in preset_names() if name.endswith("-as-reported")]
REPAIRED = [name for name in preset_names() if name not in REPORTED]


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[StoredCase]:
    return store_small(tmp_path_factory.mktemp("stored"), 1)


def _refused(values: dict[str, Any], *words: str) -> None:
    with pytest.raises(InputError) as refused:
        TrainingConfig.checked(values, "test")
    for word in words:
        assert re.search(word, str(refused.value)), f"{word} is not in: {refused.value}"


def test_there_is_a_preset_of_every_system_in_both_settings() -> None:
    systems = {"segnet", "unet2d", "unet3d-report", "unet3d-context", "vnet"}
    assert set(REPAIRED) == systems | {"unet3d-fast"}
    assert set(REPORTED) == {f"{name}-as-reported" for name in systems}


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads_under_its_name_and_survives_json(name: str) -> None:
    config = TrainingConfig.read(name)
    assert config.network == name.removesuffix("-as-reported")
    assert TrainingConfig.checked(config.model_dump(mode="json"), "test") == config
    assert tiny(name).network is config.network


@pytest.mark.parametrize("name", REPORTED)
def test_presets_as_reported_are_the_reports_setting(name: str) -> None:
    config = TrainingConfig.read(name)
    assert config.sampling is Sampling.MINICUBES
    assert config.batch == 2
    assert config.shuffle is False
    assert config.region == REPORT_REGION
    assert config.window == config.minicube
    assert config.intensities is Intensities.RAW
    assert config.output_relu
    assert (config.optimiser, config.learning_rate) == (Optimiser.ADAM, 0.01)
    assert (config.schedule, config.warmup, config.clip) == (Schedule.CONSTANT, 0, 0)
    assert config.precision is Precision.FP32
    assert config.augmentation == Augmentation.none()
    assert config.loss.class_weights == (1, 3, 5, 7)
    if config.network is not NetworkName.UNET2D:
        assert config.minicube == REPORT_MINICUBE
    assert config.cut == Cut(config.minicube or (), 20 if "context" in name else 0)


@pytest.mark.parametrize("name", REPAIRED)
def test_repaired_presets_undo_all_of_it(name: str) -> None:
    config = TrainingConfig.read(name)
    assert config.sampling is Sampling.WINDOWS
    assert config.tumour_share > 0.5
    assert config.shuffle
    assert config.region is None
    assert config.intensities is Intensities.Z_SCORE
    assert not config.output_relu
    assert config.schedule is Schedule.COSINE
    assert config.augmentation == Augmentation()


def test_unknown_presets_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="segnett is neither a file nor a preset") as refused:
        TrainingConfig.read("segnett")
    assert all(name in str(refused.value) for name in preset_names())
    broken = tmp_path / "broken.toml"
    broken.write_text("steps = = 3")
    with pytest.raises(InputError, match="not a readable TOML"):
        TrainingConfig.read(broken)
    with pytest.raises(InputError, match="not a readable TOML"):
        TrainingConfig.read(tmp_path)
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("batch = 0\n[loss]\nname = 'dicee'\n")
    with pytest.raises(InputError, match=r"wrong\.toml") as refused:
        TrainingConfig.read(wrong)
    assert "batch" in str(refused.value)
    assert "loss.name" in str(refused.value)  # all that is wrong at once


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"stepz": 3}, "stepz"),
        ({"augmentation": {"flop": 0.5}}, r"augmentation\.flop"),
        ({"augmentation": {"flip": 1.5}}, r"augmentation\.flip"),
        ({"augmentation": {"sharpness": -0.1}}, r"augmentation\.sharpness"),
        ({"loss": {"name": "tversky", "alpha": 2}}, r"loss\.alpha"),
        ({"network": "unet4d"}, "network"),
        ({"widths": (16,)}, "widths"),
        ({"steps": 0}, "steps"),
        ({"seed": -1}, "seed"),
        ({"batch": 0}, "batch"),
        ({"tumour_share": 1.01}, "tumour_share"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"clip": -1}, "clip"),
        ({"precision": "fp16"}, "precision"),
        ({"sampling": "everything"}, "sampling"),
        ({"intensities": "raw"}, "intensities"),
        ({"schedule": "step"}, "schedule"),
        ({"optimiser": "sgd"}, "optimiser"),
        ({"validation_share": 1}, "validation_share"),
        ({"validations": 0}, "validations"),
        ({"context": 3, "minicube": (16, 16, 16)}, "context"),
        ({"context": -2, "minicube": (16, 16, 16)}, "context"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_named(values: dict[str, Any], named: str) -> None:
    _refused(values, named)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"window": (96, 96, 81)}, (r"\(96, 96, 81\)", r"multiple.*\(8, 8, 8\)")),
        ({"window": (96, 96, 0)}, (r"\(96, 96, 0\)", "multiple")),
        ({"network": "unet2d", "window": (44, 48, 3)}, (r"multiple.*\(8, 8, 1\)",)),
        ({"network": "segnet"}, ("segnet has 2 levels", "4 widths")),
        ({"network": "unet3d-context"}, ("unet3d-context has 3 levels", "4 widths")),
        ({"triplanar": True}, ("triplanar is for unet2d", "unet3d")),
        (
            {"network": "unet3d-context", "widths": (4, 8, 8), "context": 18},
            ("at least 20", "found 18"),
        ),
        ({"network": "unet3d-context", "widths": (4, 8, 8)}, ("at least 20", "found 0")),
        ({"context": 20}, ("needs minicubes", "context of 20")),
        ({"sampling": "minicubes"}, ("sampling minicubes needs a region",)),
        (
            {"sampling": "minicubes", "window": (16, 16, 16), "minicube": (16, 16, 16)},
            ("region None",),
        ),
        (
            {"sampling": "minicubes", "region": (32, 32, 32), "minicube": (16, 16, 16)},
            ("window = minicube",),
        ),
        ({"sampling": "volumes", "batch": 1, "simulated": 0.3}, ("made-up cases", "volumes")),
        ({"loss": {"class_weights": [1, 1, 1]}}, ("4 class weights, background first, found 3",)),
        ({"window": (8, 8, 8), "batch": 1}, ("one voxel", r"larger than \(8, 8, 8\)")),
        ({"window": (8, 8, 8), "one_by_one": True}, ("batch normalisation takes a variance",)),
        ({"window": (8, 8, 8), "normalisation": "instance"}, ("instance normalisation takes",)),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    values: dict[str, Any], words: tuple[str, ...]
) -> None:
    _refused(values, *words)


@given(
    network=st.sampled_from(NetworkName),
    levels=st.integers(2, 5),
    window=st.tuples(*[st.integers(1, 48)] * 3),
    context=st.integers(0, 12).map(lambda n: 2 * n),
    minicube=st.none() | st.just((16, 16, 16)),
)
@hypothesis_settings(deadline=None, max_examples=100)
def test_a_config_is_refused_or_its_network_takes_its_windows(
    network: NetworkName,
    levels: int,
    window: tuple[int, int, int],
    context: int,
    minicube: tuple[int, int, int] | None,
) -> None:
    values = {
        "network": network,
        "widths": (1,) * levels,
        "window": window,
        "context": context,
        "minicube": minicube,
    }
    try:
        config = TrainingConfig.checked(values, "test")
    except InputError:
        if levels in NETWORKS[network].levels:
            built = build_network(
                TrainingConfig(
                    network=network,
                    widths=(1,) * levels,
                    **{"window": (96, 96, 96), **_fitting(network)},
                ).network_config
            )
            fits = all(n % s == 0 for n, s in zip(window, built.stride, strict=True))
            assert not fits or context < 2 * built.margin or (context and minicube is None)
        return
    built = build_network(config.network_config)
    assert all(n % s == 0 for n, s in zip(window, built.stride, strict=True))
    assert 2 * built.margin <= context


def _fitting(network: NetworkName) -> dict[str, Any]:
    needs = network is NetworkName.UNET3D_CONTEXT
    return {"context": 20, "minicube": (16, 16, 16)} if needs else {}


@pytest.mark.parametrize(
    "values",
    [
        {"clip": math.inf},
        {"learning_rate": math.inf},
        {"weight_decay": math.inf},
        {"augmentation": {"flip": math.nan}},
    ],
)
def test_numbers_without_an_end_are_refused(values: dict[str, Any]) -> None:
    _refused(values, "finite number")


LOWEST = {
    "segnet": (4, 4, 4),
    "unet2d": (4, 4, 1),
    "unet3d-report": (4, 4, 4),
    "vnet": (4, 4, 4),
    "unet3d": (4, 4, 4),
    "unet3d-fast": (8, 8, 8),
}


@pytest.mark.parametrize("normalisation", ["batch", "instance"])
@pytest.mark.parametrize("network", LOWEST)
def test_one_number_has_no_variance(
    cases: list[StoredCase], network: str, normalisation: str
) -> None:
    levels = 2 if network == "segnet" else 3
    x, y, z = LOWEST[network]
    values: dict[str, Any] = {
        "network": network,
        "widths": (2,) * levels,
        "normalisation": normalisation,
        "augmentation": Augmentation.none(),
    }
    _refused(values | {"window": (x, y, z), "batch": 1}, "one voxel")
    frozen = values | {"window": (x, y, z), "frozen_statistics": True}
    if normalisation == "instance":
        _refused(frozen, "one voxel")
    else:
        Stepper(TrainingConfig.checked(frozen, "test"), cases).step(0)
        values["batch"] = 2
        Stepper(TrainingConfig.checked(values | {"window": (x, y, z)}, "test"), cases).step(0)
        values["batch"] = 1
    Stepper(TrainingConfig.checked(values | {"window": (2 * x, y, z)}, "test"), cases).step(0)


def test_slices_of_one_voxel_have_no_variance_alone(cases: list[StoredCase]) -> None:
    values: dict[str, Any] = {"network": "unet2d", "widths": (2, 2, 2), "batch": 1}
    Stepper(TrainingConfig.checked(values | {"window": (4, 4, 2)}, "test"), cases).step(0)
    values |= {"normalisation": "instance"}
    _refused(values | {"window": (4, 4, 2)}, "one voxel")
    _refused(values | {"window": (4, 4, 16), "triplanar": True}, "one voxel")
    fits = values | {"window": (4, 8, 8), "triplanar": True}
    Stepper(TrainingConfig.checked(fits, "test"), cases).step(0)


def test_the_command_lines_networks_are_the_networks() -> None:
    assert list(typing.get_args(NetworkWord)) == [name.value for name in NetworkName]
    assert set(NETWORKS) == set(NetworkName)


@pytest.mark.parametrize("preset", ["segnet", "unet3d-context-as-reported"])
def test_train_takes_a_preset_by_its_name(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    preset: str,
) -> None:
    asked: list[TrainingRequest] = []

    def refuses(request: TrainingRequest, listener: object) -> None:
        asked.append(request)
        raise InputError("Enough.")

    monkeypatch.setattr("minicube.training.train", refuses)
    run = tmp_path / "run"
    words = ["train", "--data", str(tmp_path), "--out", str(run), "--steps", "7", "--seed", "3"]
    assert _exit_code([*words, "--config", f"{preset}-"]) == 2
    complaint = capsys.readouterr().err
    assert f"{preset}- is neither a file nor a preset" in complaint
    assert "vnet-as-reported" in complaint
    assert not asked
    assert _exit_code([*words, "--config", preset]) == 2
    assert "Enough" in capsys.readouterr().err
    wanted = TrainingConfig.read(preset).model_copy(update={"steps": 7, "seed": 3})
    assert [request.config for request in asked] == [wanted]


def _exit_code(words: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        main(words)
    return int(ended.value.code or 0)
