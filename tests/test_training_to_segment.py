"""A model trained as reported – raw intensities, minicubes – does for users what it scored."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import minicube as mc
from minicube.cli import main
from minicube.engines import EngineName, load_model, segment_volume
from minicube.engines.torch_engine import TorchEngine, load_network
from minicube.inference import Limits, Segmenter
from minicube.networks import Network
from minicube.planning import NetworkCost
from minicube.scans import NETWORK_SCHEME, LabelMap, Sequence
from minicube.training import RunFolder, TrainingRequest, train
from minicube.volumes import Box, Intensities, StoredCase, open_stored, prepare
from small_cases import write_small_dataset
from small_training import tiny

Trained = tuple[Path, RunFolder]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """In the report's setting but for BatchNorm and rate, with which it learns in seconds."""
    folder = tmp_path_factory.mktemp("as-reported")
    data = write_small_dataset(folder / "data", 3)
    preset = "unet3d-report-as-reported"
    config = tiny(preset, steps=60, validations=1, normalisation="batch", learning_rate=3e-3)
    return data, train(TrainingRequest(data, folder / "run", config))


def _held_out(run: RunFolder) -> StoredCase:
    _, (name,) = run.read_split()
    case = open_stored(run.prepared, name)
    assert case is not None
    return case


def _segmented(trained: Trained, out: Path) -> LabelMap:
    """What ``minicube segment`` writes of the held-out case, on the network's grid."""
    data, run = trained
    folder = data / _held_out(run).identity
    with pytest.raises(SystemExit) as ended:
        main(["segment", str(folder), "--model", str(run.path), "-o", str(out)])
    assert not ended.value.code
    case = mc.load_case(folder)
    found = mc.segment(case, run.path)
    box = prepare(case).frame.box
    outside = found.labels.array.copy()
    outside[box.slices] = 0
    assert not outside.any()
    return LabelMap(np.ascontiguousarray(found.labels.array[box.slices]), NETWORK_SCHEME)


def test_the_description_says_all_that_segmenting_needs(trained: Trained) -> None:
    _, run = trained
    description = load_model(run.path).description
    config = run.read_config()
    assert config.cut is not None
    assert description.cut == config.cut
    assert description.normalisation is Intensities.RAW
    assert description.output_relu
    assert description.layers == "batch"
    assert load_network(load_model(run.path)).config == config.network_config


def test_segment_gives_the_labels_that_training_scored(trained: Trained, tmp_path: Path) -> None:
    _, run = trained
    config, case = run.read_config(), _held_out(run)
    network = load_network(load_model(run.path))
    images, _ = case.read(Box((0, 0, 0), case.shape), config.intensities)
    own = segment_volume(TorchEngine(network, bf16=False), images, config.cut)
    assert 0.001 < (own.array > 0).mean() < 0.9  # it says something, and not of everything
    found = _segmented(trained, tmp_path / "out.nii.gz")
    # Stored cases are in half precision, a user's are not: a voxel on the fence may fall over.
    assert (own.array != found.array).mean() < 1e-3
    for cut, images_as in ((None, config.intensities), (config.cut, Intensities.Z_SCORE)):
        other, _ = case.read(Box((0, 0, 0), case.shape), images_as)
        wrong = segment_volume(TorchEngine(network, bf16=False), other, cut)
        assert (own.array != wrong.array).mean() > 1e-2  # either would have been noticed


def test_its_dice_is_the_one_in_the_runs_log(trained: Trained, tmp_path: Path) -> None:
    data, run = trained
    out = tmp_path / "out.nii.gz"
    _segmented(trained, out)
    (reference,) = (data / _held_out(run).identity).glob("*-seg.nii.gz")
    (scored,) = mc.evaluate(out, reference)["cases"]
    with (run.path / "metrics.csv").open(encoding="utf-8", newline="") as file:
        *_, row = csv.DictReader(file)
    assert row["split"] == "validation"
    assert float(row["WT"]) > 0.1
    for region in ("WT", "TC", "ET"):
        logged = float(row[region])
        assert scored["regions"][region]["dice"] == pytest.approx(logged, abs=2e-3)


def test_raw_intensities_are_not_rounded_to_bf16(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    class Noted(TorchEngine):
        def __init__(self, network: Network, *, bf16: bool, cost: NetworkCost | None) -> None:
            asked.append(bf16)
            super().__init__(network, bf16=bf16, cost=cost)

    monkeypatch.setattr("minicube.engines.torch_engine.TorchEngine", Noted)
    monkeypatch.setattr("minicube.engines.torch_engine.has_bf16", lambda: True)
    _segmented(trained, tmp_path / "out.nii.gz")
    assert set(asked) == {False}
    Segmenter(limits=Limits(engine=EngineName.TORCH))  # the shipped model learnt from z-scores
    assert asked[-1]


def test_a_model_trained_on_denoised_scans_is_given_such(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, without = trained
    denoised: list[tuple[int, ...]] = []

    def brighter(scan: NDArray[np.float32], brain: NDArray[np.bool_]) -> NDArray[np.float32]:
        denoised.append(scan.shape)
        return np.where(brain, scan + 1000, scan).astype(np.float32)

    monkeypatch.setattr(sys.modules[prepare.__module__], "denoise_rician", brighter)
    config = tiny("segnet-as-reported", steps=1, validations=1, denoise=True)
    run = train(TrainingRequest(data, tmp_path / "run", config))
    assert len(denoised) == 3 * len(Sequence)  # three cases
    images, _ = _held_out(run).read(Box((0, 0, 0), (35, 35, 35)), Intensities.RAW)
    assert images.max() > 1000
    case = mc.load_case(data / _held_out(run).identity)
    mc.segment(case, run.path)
    assert len(denoised) == 4 * len(Sequence)
    mc.segment(case, without.path)
    assert len(denoised) == 4 * len(Sequence)
