"""Simulated cases: the same twice, labels on what is bright, all kinds of tumours and none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from minicube.scans import NETWORK_SCHEME, Case, Sequence
from minicube.simulator import Material, Simulation, load_material, simulate
from minicube.simulator.generator import Kind
from minicube.simulator.looks import CORE, OEDEMA, draw_look, learn
from minicube.simulator.material import ENHANCING
from minicube.simulator.scan import digitise, scan
from minicube.simulator.tumour import _scale
from small_material import write_patches, write_shapes


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    folder = tmp_path_factory.mktemp("material")
    shapes = write_shapes(folder / "shapes.npz")
    return load_material(shapes, write_patches(folder / "patches.npz", shapes), leave_out=[])


@pytest.fixture(scope="module")
def enhancing(material: Material) -> Case:
    return simulate(3, material, Simulation(no_tumour=0, low_grade=0, grafted=1, around=1))


def labels_of(case: Case) -> np.ndarray:
    assert case.reference is not None
    assert case.reference.scheme is NETWORK_SCHEME
    return case.reference.array


def test_a_case_is_a_function_of_its_seed(material: Material, enhancing: Case) -> None:
    options = Simulation(no_tumour=0, low_grade=0, grafted=1, around=1)
    again = simulate(3, material, options)
    for sequence in Sequence:
        assert np.array_equal(again.images[sequence], enhancing.images[sequence])
    assert np.array_equal(labels_of(again), labels_of(enhancing))
    assert again.identity == "simulated-00000003"


def test_what_enhances_is_brighter_than_what_surrounds_the_tumour(enhancing: Case) -> None:
    labels, image = labels_of(enhancing), enhancing.images[Sequence.T1C]
    inside = labels == ENHANCING
    assert inside.sum() > 100
    near = ndimage.binary_dilation(labels > 0, iterations=4) & (labels == 0) & enhancing.brain
    assert np.median(image[inside]) > np.median(image[near])
    flair = enhancing.images[Sequence.T2F]
    assert np.median(flair[labels == OEDEMA]) > np.median(flair[near])


def test_a_case_lies_on_the_brats_grid(enhancing: Case) -> None:
    assert enhancing.spacing == (1, 1, 1)
    first = enhancing.affine[:3, 3] + (239, 0, 0)
    assert (first >= 0).all()
    assert (first + enhancing.shape <= (240, 240, 155)).all()
    for image in enhancing.images.values():
        assert np.array_equal(image > 0, enhancing.brain)
        assert np.array_equal(image, np.round(image))
    assert not labels_of(enhancing)[~enhancing.brain].any()


def test_without_files_and_without_enhancement() -> None:
    plain = simulate(1, Material(), Simulation(no_tumour=0, low_grade=1))
    found = set(np.unique(labels_of(plain)).tolist())
    assert CORE in found
    assert ENHANCING not in found
    none = simulate(2, Material(), Simulation(no_tumour=1))
    assert not labels_of(none).any()
    assert none.brain.sum() > 800_000
    assert plain.shape != none.shape or not np.array_equal(plain.brain, none.brain)


def test_a_third_of_the_cases_has_no_enhancement_and_some_no_tumour() -> None:
    rng, usual = np.random.default_rng(0), Simulation()
    kinds = [usual.draw(rng) for _ in range(2000)]
    assert kinds.count(Kind.LOW_GRADE) >= 0.3 * len(kinds)
    assert 0.04 < kinds.count(Kind.NO_TUMOUR) / len(kinds) < 0.1


def test_looks_are_those_of_the_patches(material: Material) -> None:
    looks = learn(material)
    assert (len(looks.enhancing), len(looks.plain)) == (2, 1)
    real = looks.enhancing[0]
    middles = {part: table[:, 10] for part, table in real.tables.items()}
    assert middles[OEDEMA] == pytest.approx(2, abs=0.1)
    assert middles[CORE] == pytest.approx(3, abs=0.1)
    assert middles[ENHANCING] == pytest.approx(5, abs=0.1)
    for mixing in real.mixing.values():
        assert np.linalg.norm(mixing, axis=1) == pytest.approx(1, abs=1e-5)
    rng = np.random.default_rng(0)
    drawn = [draw_look(rng, looks, enhances=False, learnt=1).tables[CORE][:, 10] for _ in range(40)]
    assert np.median(drawn) == pytest.approx(3, abs=1.5)


def test_the_whole_picture_has_mean_0_and_deviation_1() -> None:
    rng = np.random.default_rng(0)
    healthy = rng.normal(3, 0.4, 100_000).astype(np.float32)
    above = np.where(np.arange(100_000) < 10_000, 1.5 + 0.3 * healthy, 0).astype(np.float32)
    stretch, shift, share = _scale(healthy, above)
    whole = stretch * healthy + shift + share * above
    assert share == 1
    assert whole.mean() == pytest.approx(0, abs=1e-3)
    assert whole.std() == pytest.approx(1, abs=1e-3)
    stretch, shift, share = _scale(healthy, 4 * above)
    whole = stretch * healthy + shift + share * 4 * above
    assert share < 1
    assert whole.std() == pytest.approx(1, abs=1e-3)
    assert stretch > 0


def test_a_scan_is_positive_in_the_brain_and_empty_outside() -> None:
    brain = np.zeros((40, 44, 36), bool)
    brain[5:35, 5:40, 5:30] = True
    image = np.where(brain, np.random.default_rng(1).standard_normal(brain.shape), 0)
    for seed in range(12):
        rng = np.random.default_rng(seed)
        seen = digitise(rng, scan(rng, image.astype(np.float32), brain), brain)
        assert seen.dtype == np.float32
        assert np.array_equal(seen > 0, brain)
