"""The random fields and interpolation weights phantoms are made of."""

from __future__ import annotations

import numpy as np
import pytest

from minicube.phantom._fields import smooth_noise, spline_weights, stretch, tent_weights
from minicube.phantom.scanner import Protocol, acquire


@pytest.mark.parametrize("step", [2.0, 3.5, 8.0])
def test_noise_has_mean_0_and_variance_1(step: float) -> None:
    field = smooth_noise(np.random.default_rng(1), (120, 110, 100), step)
    assert abs(field.mean()) < 0.1
    assert 0.85 < field.std() < 1.15


def test_noise_gets_smoother_with_its_step() -> None:
    fine, coarse = (
        np.abs(np.diff(smooth_noise(np.random.default_rng(1), (60, 60, 60), step))).mean()
        for step in (2.0, 6.0)
    )
    assert coarse < 0.6 * fine


@pytest.mark.parametrize("size", [7, 8, 9, 30])
def test_linear_stretch_reproduces_a_ramp(size: int) -> None:
    weights = tent_weights(size, 4)
    nodes = 4 * np.arange(weights.shape[1], dtype=np.float32)
    np.testing.assert_allclose(weights @ nodes, np.arange(size), atol=1e-5)


def test_stretch_is_the_product_along_each_axis() -> None:
    rng = np.random.default_rng(2)
    nodes = rng.standard_normal((3, 4, 5)).astype(np.float32)
    weights = [rng.standard_normal((n, m)).astype(np.float32) for n, m in ((6, 3), (7, 4), (8, 5))]
    expected = np.einsum("xa,yb,zc,abc->xyz", *weights, nodes)
    np.testing.assert_allclose(stretch(nodes, weights), expected, atol=1e-4)


def test_spline_rows_have_unit_norm() -> None:
    np.testing.assert_allclose((spline_weights(50, 3.3) ** 2).sum(1), 1, atol=1e-5)


def test_a_perfect_scanner_changes_nothing() -> None:
    image = np.random.default_rng(3).uniform(0, 2, (20, 21, 22)).astype(np.float32)
    ideal = Protocol(shading=0, gamma=1, noise=0, blur=0, axis=2, thickness=1)
    seen = acquire(image, np.arange(image.size), ideal, np.random.default_rng(4))
    np.testing.assert_allclose(seen, image, atol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_thick_slices_blur_along_their_axis_only(axis: int) -> None:
    image = np.zeros((31, 31, 31), np.float32)
    image[15, 15, 15] = 1
    thick = Protocol(shading=0, gamma=1, noise=0, blur=0, axis=axis, thickness=5)
    seen = acquire(image, np.arange(image.size), thick, np.random.default_rng(5))
    spread = [np.unique(where).size for where in np.nonzero(seen > 1e-4)]
    assert spread[axis] >= 5
    assert [n for other, n in enumerate(spread) if other != axis] == [1, 1]


def test_rician_noise_is_as_strong_as_asked() -> None:
    image = np.ones((40, 40, 40), np.float32)
    noisy = Protocol(shading=0, gamma=1, noise=0.05, blur=0, axis=2, thickness=1)
    seen = acquire(image, np.arange(image.size), noisy, np.random.default_rng(6))
    assert 0.045 < seen.std() < 0.055
    assert seen.min() >= 0
