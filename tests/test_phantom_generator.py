"""Phantoms: the same twice, on the BraTS grid, and bright where they should be."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib.resources import files

import numpy as np
import pytest
from numpy.typing import NDArray

from minicube.phantom import Family, PhantomSpec, contrast, make_phantom, relaxation, tumour
from minicube.phantom.anatomy import draw_pose
from minicube.phantom.materials import Material
from minicube.scans import Case, LabelScheme, Region, Sequence, Tissue

SEED = 11
COUNT = 6


def fingerprint(case: Case) -> str:
    digest = hashlib.sha256()
    for sequence in Sequence:
        digest.update(case.images[sequence].tobytes())
    assert case.reference is not None
    digest.update(case.reference.array.tobytes())
    digest.update(case.brain.tobytes())
    return digest.hexdigest()


def labels_of(case: Case) -> NDArray[np.uint8]:
    assert case.reference is not None
    return case.reference.array


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return [make_phantom(PhantomSpec(SEED), index) for index in range(COUNT)]


@pytest.fixture(scope="module")
def others() -> list[Case]:
    return [make_phantom(PhantomSpec(SEED, Family.B), index) for index in range(2)]


def test_same_arguments_give_the_same_bytes(cases: list[Case]) -> None:
    again = make_phantom(PhantomSpec(SEED), 0)
    assert fingerprint(again) == fingerprint(cases[0])
    assert again.identity == "phantom-a-00011-00000"


def test_index_seed_and_family_each_change_the_phantom(
    cases: list[Case], others: list[Case]
) -> None:
    prints = [fingerprint(case) for case in [*cases, *others]]
    prints.append(fingerprint(make_phantom(PhantomSpec(SEED + 1), 0)))
    assert len(set(prints)) == len(prints)


def test_grid_is_that_of_brats_files(cases: list[Case]) -> None:
    case = cases[0]
    assert case.shape == (240, 240, 155)
    assert case.spacing == (1.0, 1.0, 1.0)
    assert case.geometry.axis_codes == "LPS"
    assert case.geometry.affine.tolist() == [
        [-1, 0, 0, 0],
        [0, -1, 0, 239],
        [0, 0, 1, 0],
        [0, 0, 0, 1],
    ]


def test_images_are_what_a_stripped_scan_holds(cases: list[Case], others: list[Case]) -> None:
    for case in [*cases, *others]:
        assert 1.1e6 < np.count_nonzero(case.brain) < 2.0e6  # mm³, an adult brain
        for image in case.images.values():
            assert image.dtype == np.float32
            assert not image[~case.brain].any()
            assert image[case.brain].min() >= 1
            assert image.max() < 2**15
            np.testing.assert_array_equal(image, np.round(image))


def test_labels_lie_in_the_brain_and_are_brats_2023(cases: list[Case], others: list[Case]) -> None:
    for case in [*cases, *others]:
        assert case.reference is not None
        assert case.reference.scheme is LabelScheme.BRATS2023
        assert not labels_of(case)[~case.brain].any()


def test_volumes_are_plausible(cases: list[Case], others: list[Case]) -> None:
    whole = []
    for case in [*cases, *others]:
        assert case.reference is not None
        volumes = {
            region: np.count_nonzero(case.reference.region(region)) / 1000 for region in Region
        }
        assert volumes[Region.WT] < 320
        assert volumes[Region.ET] <= volumes[Region.TC] <= volumes[Region.WT]
        whole.append(volumes[Region.WT])
    assert 10 < np.median(whole) < 150


def ratio_to_healthy(case: Case, sequence: Sequence, tissue: Tissue) -> float:
    """Median signal of a tissue over that of the brain without tumour."""
    assert case.reference is not None
    image = case.images[sequence]
    healthy = np.median(image[case.brain & (labels_of(case) == 0)])
    return float(np.median(image[case.reference.tissue(tissue)]) / healthy)


def having(cases: list[Case], tissue: Tissue) -> Iterator[Case]:
    for case in cases:
        assert case.reference is not None
        if np.count_nonzero(case.reference.tissue(tissue)) > 300:
            yield case


def test_enhancing_tumour_is_bright_only_after_contrast(
    cases: list[Case], others: list[Case]
) -> None:
    enhancing = list(having([*cases, *others], Tissue.ENHANCING))
    assert len(enhancing) >= 3
    after = [ratio_to_healthy(c, Sequence.T1C, Tissue.ENHANCING) for c in enhancing]
    before = [ratio_to_healthy(c, Sequence.T1N, Tissue.ENHANCING) for c in enhancing]
    assert np.mean(after) > 1.3
    assert np.mean(after) > np.mean(before) + 0.3


def test_oedema_is_bright_on_flair_and_t2(cases: list[Case], others: list[Case]) -> None:
    swollen = list(having([*cases, *others], Tissue.OEDEMA))
    assert len(swollen) >= 4
    assert np.mean([ratio_to_healthy(c, Sequence.T2F, Tissue.OEDEMA) for c in swollen]) > 1.2
    assert np.mean([ratio_to_healthy(c, Sequence.T2W, Tissue.OEDEMA) for c in swollen]) > 1.1


def test_skull_option_leaves_the_head_on() -> None:
    case = make_phantom(PhantomSpec(SEED, skull=True), 0)
    image = case.images[Sequence.T1N]
    assert np.count_nonzero(image[~case.brain]) > 5e5
    scalp = np.percentile(image[~case.brain & (image > 0)], 95)
    assert scalp > np.median(image[case.brain])


def test_some_heads_of_family_a_have_no_tumour() -> None:
    rng = np.random.default_rng(3)
    sites = draw_pose(rng, skull=False).sites()
    empty = [not tumour.draw_plan(rng, sites).foci for _ in range(400)]
    assert 5 < sum(empty) < 45


@pytest.mark.parametrize("draw", [contrast.draw_palette, relaxation.draw_palette])
def test_tissues_are_ordered_as_physics_orders_them(draw: object) -> None:
    assert callable(draw)
    for seed in range(40):
        palette = draw(np.random.default_rng(seed))
        grey, white, csf = Material.GREY, Material.WHITE, Material.CSF
        t1, t2, flair = (palette[s] for s in (Sequence.T1N, Sequence.T2W, Sequence.T2F))
        assert t1[white] > t1[grey] > t1[csf]
        assert t2[csf] > t2[grey] > t2[white]
        assert flair[csf] < 0.7 * flair[white]
        assert flair[Material.OEDEMA] > flair[white]
        t1c = palette[Sequence.T1C]
        assert t1c[Material.ENHANCING] > max(1.0, t1[Material.ENHANCING])


@pytest.mark.parametrize("draw", [contrast.draw_palette, relaxation.draw_palette])
def test_small_differences_have_the_right_sign_too(draw: object) -> None:
    assert callable(draw)
    for seed in range(40):
        palette = draw(np.random.default_rng(seed))
        t1, flair = palette[Sequence.T1N], palette[Sequence.T2F]
        assert flair[Material.GREY] >= 0.95 * flair[Material.WHITE]
        assert t1[Material.OEDEMA] < t1[Material.WHITE]


def test_asset_is_small_and_needs_no_pickle() -> None:
    asset = files("minicube.phantom") / "assets/icbm152.npz"
    with asset.open("rb") as file:
        assert len(file.read()) <= 2 * 2**20
        file.seek(0)
        with np.load(file, allow_pickle=False) as arrays:
            assert arrays["grey"].shape == arrays["white"].shape == (99, 233, 189)
            assert arrays["grey"].max() == 15
    assert "Copyright (C) 1993-2009 Louis Collins" in (
        files("minicube.phantom") / "assets/NOTICE.md"
    ).read_text(encoding="utf-8")
