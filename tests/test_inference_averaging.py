"""Mirrored heads, ensembles and probabilities."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import minicube as mc
from minicube.engines import Cut, load_model, open_engine
from minicube.engines.torch_engine import TorchEngine
from minicube.inference import Limits, Refinements, Segmenter
from minicube.inference.averaging import Probabilities, ProbabilitySum, Run
from minicube.networks import NetworkConfig, NetworkName, build_network
from minicube.planning import LevelCut, Partition
from minicube.scans import Region
from minicube.volumes import Box, Frame, Shape, even, prepare
from small_cases import small_case
from small_models import write_small_model

sizes = st.tuples(*[st.integers(1, 9)] * 3)
cuts = st.none() | st.builds(Cut, sizes)


@dataclass
class Pointwise:
    """Four logits that depend on each voxel alone: left and right are the same to it."""

    stride: Shape = (1, 1, 1)
    margin: int = 0

    def logits(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        return 2 * images - 1


@dataclass
class Sided(Pointwise):
    """Sees the left of what it is given otherwise than the right."""

    def logits(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        return images + np.arange(images.shape[1], dtype=np.float32)[None, :, None, None] * 0.1


def _images(shape: Shape, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(4, *shape)).astype(np.float32)


def _mean(*runs: Run) -> NDArray[np.float32]:
    x, y, z = runs[0].images.shape[1:]
    total = ProbabilitySum((x, y, z))
    for run in runs:
        total.add(run)
    return total.mean()


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    shares = np.exp(logits)
    out: NDArray[np.float32] = shares / shares.sum(axis=0)
    return out


@given(shape=sizes, cut=cuts)
@settings(deadline=None)
def test_probabilities_are_the_softmax_and_sum_to_one(shape: Shape, cut: Cut | None) -> None:
    images = _images(shape)
    found = _mean(Run(Pointwise(), images, cut))
    np.testing.assert_allclose(found, _softmax(2 * images - 1), atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_logits_are_divided_by_the_temperature(temperature: float) -> None:
    images = _images((6, 5, 4))
    run = Run(Pointwise(), images, None, temperature=temperature)
    np.testing.assert_allclose(_mean(run), _softmax((2 * images - 1) / temperature), atol=1e-6)
    plain, other = (ProbabilitySum((6, 5, 4)).add(r) for r in (replace(run, temperature=1), run))
    assert np.array_equal(plain.array, other.array)


def test_uncertainty_is_none_where_sure_and_whole_where_all_are_equal() -> None:
    shares = np.zeros((4, 2, 2, 2), np.float32)
    shares[0] = 1
    shares[:, 0, 0, 0] = 0.25
    shares[:, 1, 1, 1] = 0.5, 0.5, 0, 0
    frame = Frame((4, 4, 4), (4, 4, 4), Box((1, 1, 1), (3, 3, 3)))
    found = Probabilities(shares, frame).uncertainty()
    expected = np.zeros((4, 4, 4))
    expected[1, 1, 1], expected[2, 2, 2] = 1, np.log(2) / np.log(4)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    shares[:, 0, 0, 0] = 1 / 3, 1 / 3, 1 / 6, 1 / 6
    merged = Probabilities(shares, frame).without_enhancement().uncertainty()
    assert merged[1, 1, 1] == pytest.approx(1)  # of the three that are left
    assert merged[2, 2, 2] == pytest.approx(np.log(2) / np.log(3))


def test_a_map_of_uncertainty_is_written_in_the_geometry_of_the_input(
    runs: list[Path], tmp_path: Path
) -> None:
    case = small_case(3)
    refine = Refinements(uncertainty=True)
    result = Segmenter(load_model(runs[0]), refinements=refine).segment(case)
    image: Any = nib.load(result.save_uncertainty(tmp_path / "u.nii.gz"))
    assert np.array_equal(image.affine, case.geometry.affine)
    assert result.probabilities is not None
    p = result.probabilities.array.astype(np.float64)
    entropy = -(p * np.log(np.maximum(p, 1e-30))).sum(axis=0) / np.log(4)
    inside = image.get_fdata()[result.probabilities.frame.box.slices]
    np.testing.assert_allclose(inside, entropy, atol=0.003)
    assert entropy.max() > 0.5
    with pytest.raises(mc.InputError, match="not kept"):
        Segmenter(load_model(runs[0])).segment(case).save_uncertainty(tmp_path / "n.nii")


@given(shape=sizes, cut=cuts)
@settings(deadline=None)
def test_a_symmetric_network_gains_nothing_from_the_mirror(shape: Shape, cut: Cut | None) -> None:
    images = _images(shape)
    alone = _mean(Run(Pointwise(), images, cut))
    both = _mean(Run(Pointwise(), images, cut), Run(Pointwise(), images, cut, mirrored=True))
    np.testing.assert_allclose(both, alone, atol=1e-6)


@given(shape=sizes)
@settings(deadline=None)
def test_the_mirrored_head_has_the_mirrored_answer(shape: Shape) -> None:
    images = _images(shape)
    turned = np.ascontiguousarray(images[:, ::-1])
    runs = [(Run(Sided(), a, None), Run(Sided(), a, None, mirrored=True)) for a in (images, turned)]
    one, other = (_mean(*pair) for pair in runs)
    np.testing.assert_allclose(one, other[:, ::-1], atol=1e-6)


def test_a_part_that_holds_nothing_is_background() -> None:
    images = np.zeros((4, 8, 4, 4), np.float32)
    images[3, 4:] = 5
    found = _mean(Run(Pointwise(), images, Cut((4, 4, 4))))
    assert (found[0, :4] == 1).all()
    assert (found[3, 4:] > 0.9).all()


@pytest.mark.parametrize(
    "partition", [Partition(), Partition(cuts=(LevelCut(0, 1, (8, 8, 8)),))], ids=["whole", "cut"]
)
def test_exact_parts_have_the_probabilities_of_the_whole(partition: Partition) -> None:
    network = build_network(NetworkConfig(NetworkName.UNET3D, (4, 8, 8)))
    engine = TorchEngine(network.eval(), bf16=False)
    images = _images((17, 16, 12))
    for mirrored in (False, True):
        whole = _mean(Run(engine, images, None, mirrored))
        parts = _mean(Run(engine, images, partition, mirrored))
        np.testing.assert_allclose(parts, whole, atol=1e-5)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    return [write_small_model(folder / str(seed), seed) for seed in (2, 5)]


def test_an_ensemble_of_the_same_model_is_the_model(runs: list[Path]) -> None:
    model, case = load_model(runs[0]), small_case(3)
    alone = Segmenter(model).segment(case)
    twice = Segmenter([model, model]).segment(case)
    assert alone.labels.array.any()
    # But for voxels whose two best classes round to the same probability.
    assert (alone.labels.array != twice.labels.array).mean() < 1e-4


def test_an_ensemble_is_the_mean_of_its_models(runs: list[Path]) -> None:
    models, case = [load_model(run) for run in runs], small_case(3)
    keep = Refinements(probabilities=True)
    found = [Segmenter(each, refinements=keep).segment(case).probabilities for each in models]
    both = Segmenter(models, refinements=keep).segment(case).probabilities
    assert both is not None
    mean: Any = np.mean([each.array for each in found if each is not None], axis=0)
    np.testing.assert_allclose(both.array, mean, atol=1e-6)


def test_evened_scans_count_as_much_as_those_that_came(runs: list[Path]) -> None:
    model, case = load_model(runs[0]), small_case(3)
    keep = Refinements(even=True, probabilities=True)
    found = Segmenter(model, refinements=keep).segment(case).probabilities
    assert found is not None
    engine, views = open_engine(model), (prepare(case), even(prepare(case)))
    assert np.abs(views[0].images - views[1].images).max() > 0.1
    expected = _mean(*(Run(engine, view.images, model.description.cut) for view in views))
    np.testing.assert_allclose(found.array, expected, atol=1e-5)


def test_probabilities_change_no_label_and_agree_with_them(runs: list[Path]) -> None:
    model, case = load_model(runs[0]), small_case(3)
    bare = Segmenter(model).segment(case)
    kept = Segmenter(model, refinements=Refinements(probabilities=True)).segment(case)
    assert np.array_equal(bare.labels.array, kept.labels.array)
    assert bare.probabilities is None
    assert kept.probabilities is not None
    wt, tc, et = (kept.probabilities.of(region) for region in (Region.WT, Region.TC, Region.ET))
    assert (wt >= tc).all()
    assert (tc >= et).all()
    assert wt.max() <= 1
    # A class that has more than half is the likeliest; one with less than a quarter never is.
    assert kept.labels.region(Region.ET)[et > 0.5].all()
    assert not kept.labels.region(Region.ET)[et < 0.25 - 1e-6].any()


def test_maps_are_written_in_the_geometry_of_the_input(runs: list[Path], tmp_path: Path) -> None:
    refine = Refinements(mirror=True, probabilities=True)
    result = Segmenter(load_model(runs[0]), refinements=refine).segment(small_case(3))
    assert result.probabilities is not None
    for path in result.save_probabilities(tmp_path):
        image: Any = nib.load(path)
        region = Region(path.name.removesuffix(".nii.gz")[-2:])
        assert np.array_equal(image.affine, result.case.geometry.affine)
        np.testing.assert_allclose(image.get_fdata(), result.probabilities.of(region), atol=0.002)


def test_probabilities_that_were_not_asked_for_are_refused(
    runs: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(mc.InputError, match="not kept"):
        Segmenter(load_model(runs[0])).segment(small_case(3)).save_probabilities(tmp_path)


def test_a_budget_changes_no_mean(runs: list[Path]) -> None:
    models, case = [load_model(run) for run in runs], small_case(3)
    refine = Refinements(mirror=True, even=True)
    free = Segmenter(models, refinements=refine).segment(case)
    within = Segmenter(models, Limits(memory=8 << 30), refine).segment(case)
    assert np.array_equal(free.labels.array, within.labels.array)
    assert within.plan is not None
