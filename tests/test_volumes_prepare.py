"""Resampling and preparation."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from minicube import InputError
from minicube.scans import (
    Case,
    Geometry,
    LabelMap,
    LabelScheme,
    Region,
    Sequence,
    Tissue,
)
from minicube.volumes import (
    Intensities,
    normalise,
    prepare,
    resample,
    resample_labels,
    restore,
)


def _ball(shape: tuple[int, int, int], radius_mm: float, spacing: np.ndarray) -> np.ndarray:
    grid = np.indices(shape).reshape(3, -1).T + 0.5
    distance = np.linalg.norm((grid - np.array(shape) / 2) * spacing, axis=1)
    inside: np.ndarray = (distance < radius_mm).reshape(shape)
    return inside


def test_labels_that_networks_do_not_know_name_their_case() -> None:
    case = _case((24, 24, 24), (1, 1, 1))
    labels = np.zeros(case.shape, np.uint8)
    labels[8:12, 8:12, 8:12] = LabelScheme.BRATS2024.value_of(Tissue.CAVITY)
    cavity = replace(case, reference=LabelMap(labels, LabelScheme.BRATS2024))
    with pytest.raises(InputError, match=f"{case.identity} has what networks do not") as refused:
        prepare(cavity)
    assert "data convert" in refused.value.hint


def _case(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Case:
    rng = np.random.default_rng(0)
    mm = np.array(spacing)
    brain = _ball(shape, 22, mm)
    labels = np.zeros(shape, np.uint8)
    for value, radius in ((2, 14), (1, 9), (4, 5)):
        labels[_ball(shape, radius, mm)] = value
    images = {
        s: np.where(brain, 100 + 20 * labels + rng.normal(0, 3, shape), 0).astype(np.float32)
        for s in Sequence
    }
    geometry = Geometry(shape, np.diag([*spacing, 1.0]))
    return Case("ball", images, geometry, brain, LabelMap(labels, LabelScheme.BRATS2021))


sides = st.tuples(*[st.integers(1, 12)] * 3)


@settings(max_examples=60)
@given(sides, sides, st.sampled_from("CF"))
def test_resampling_is_that_of_scipy(
    shape: tuple[int, int, int], target: tuple[int, int, int], order: Literal["C", "F"]
) -> None:
    array = np.random.default_rng(shape).random(shape, np.float32)
    factors = [n / m for n, m in zip(shape, target, strict=True)]
    sigmas = [0.5 * max(f * f - 1, 0) ** 0.5 for f in factors]
    smooth = ndimage.gaussian_filter(array, sigmas, mode="nearest")
    offsets = [0.5 * f - 0.5 for f in factors]
    expected = ndimage.affine_transform(smooth, factors, offsets, target, order=1, mode="nearest")
    found = resample(np.asarray(array, order=order), target)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-6)


@given(
    shape=st.tuples(*[st.integers(2, 9)] * 3),
    target=st.tuples(*[st.integers(2, 15)] * 3),
    value=st.floats(-5, 5, width=32),
)
@settings(deadline=None, max_examples=50)
def test_constant_in_constant_out(
    shape: tuple[int, int, int], target: tuple[int, int, int], value: float
) -> None:
    out = resample(np.full(shape, value, np.float32), target)
    assert out.shape == target
    np.testing.assert_allclose(out, value, atol=1e-5)


def test_resampling_keeps_a_linear_ramp_in_place() -> None:
    coarse = (np.arange(20, dtype=np.float32) + 0.5) * 2  # millimetres of voxel centres
    fine = resample(np.broadcast_to(coarse[:, None, None], (20, 4, 4)).copy(), (40, 4, 4))
    expected = np.arange(40, dtype=np.float32) + 0.5
    np.testing.assert_allclose(fine[2:-2, 0, 0], expected[2:-2], atol=1e-4)


def test_labels_on_the_same_grid_are_untouched() -> None:
    labels = LabelMap(np.ones((3, 3, 3), np.uint8), LabelScheme.BRATS2023)
    assert resample_labels(labels, (3, 3, 3)) is labels


def test_normalise_gives_zero_mean_unit_spread_inside_and_zero_outside() -> None:
    rng = np.random.default_rng(1)
    brain = rng.random((12, 12, 12)) > 0.5
    image = rng.normal(300, 40, brain.shape).astype(np.float32)
    scaled, scale = normalise(image, brain)
    assert abs(scaled[brain].mean()) < 1e-4
    assert abs(scaled[brain].std() - 1) < 1e-4
    assert not scaled[~brain].any()
    assert scale.mean == pytest.approx(image[brain].mean(), rel=1e-5)
    assert scale.deviation == pytest.approx(image[brain].std(), rel=1e-5)


def test_a_flat_sequence_does_not_divide_by_zero() -> None:
    brain = np.ones((4, 4, 4), bool)
    scaled, scale = normalise(np.full((4, 4, 4), 7, np.float32), brain)
    assert not scaled.any()
    assert scale.mean == 7
    assert scale.deviation > 0


def test_at_one_millimetre_the_way_back_is_exact() -> None:
    case = _case((50, 60, 55), (1.0, 1.0, 1.0))
    prepared = prepare(case)
    assert prepared.labels is not None
    assert case.reference is not None
    assert prepared.images.shape == (4, *prepared.frame.box.shape)
    assert max(prepared.frame.box.shape) < 50  # cropped to the brain
    back = restore(prepared.labels, prepared.frame).to(LabelScheme.BRATS2021)
    assert np.array_equal(back.array, case.reference.array)


@pytest.mark.parametrize("spacing", [(0.5, 0.5, 1.0), (2.0, 1.0, 1.0), (0.9, 0.9, 5.0)])
def test_other_spacings_come_back_on_their_own_grid(spacing: tuple[float, float, float]) -> None:
    x, y, z = (round(50 / mm) for mm in spacing)
    case = _case((x, y, z), spacing)
    assert case.reference is not None
    prepared = prepare(case)
    assert prepared.labels is not None
    back = restore(prepared.labels, prepared.frame)
    assert back.array.shape == case.shape
    found, truth = back.region(Region.WT), case.reference.region(Region.WT)
    dice = 2 * (found & truth).sum() / (found.sum() + truth.sum())
    assert dice > 0.93


def test_labels_the_network_has_no_class_for_are_not_dropped_silently() -> None:
    case = _case((50, 50, 50), (1.0, 1.0, 1.0))
    cavity = LabelMap(np.full(case.shape, 4, np.uint8), LabelScheme.BRATS2024)
    with pytest.raises(InputError, match="resection cavity"):
        prepare(Case("c", case.images, case.geometry, case.brain, cavity))


def test_a_case_without_brain_is_refused() -> None:
    case = _case((50, 50, 50), (1.0, 1.0, 1.0))
    with pytest.raises(InputError, match="no brain"):
        prepare(Case("c", case.images, case.geometry, np.zeros(case.shape, bool)))


def test_raw_intensities_are_the_scans_own() -> None:
    case = _case((50, 60, 55), (1.0, 1.0, 1.0))
    prepared = prepare(case)
    assert prepared.images_as(Intensities.Z_SCORE) is prepared.images
    raw = prepared.images_as(Intensities.RAW)
    assert raw.dtype == np.float32
    for i, sequence in enumerate(Sequence):
        scan = case.images[sequence][prepared.frame.box.slices]
        np.testing.assert_allclose(raw[i], scan, rtol=1e-5, atol=1e-3)
        assert np.array_equal(raw[i] == 0, ~prepared.brain)
