"""Noise estimated inside the brain, and removed with its bias."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from minicube import InputError
from minicube._errors import MissingExtra
from minicube.volumes.denoise import denoise_rician, estimate_noise

SIDE = 40
Volume = NDArray[np.float32]


def head(*, dark: float = 40.0) -> tuple[Volume, NDArray[np.bool_]]:
    """A ball of smooth tissues, signal 300 to 500, around a dark core; 0 outside."""
    grid = np.indices((SIDE, SIDE, SIDE)) - (SIDE - 1) / 2
    radius = np.sqrt((grid**2).sum(0))
    brain = radius < 0.45 * SIDE
    signal = np.where(radius < 0.33 * SIDE, 450.0, 320.0) + 25 * np.sin(grid[0] / 6)
    signal[core()] = dark
    return np.where(brain, signal, 0).astype(np.float32), brain


def core(share: float = 0.2) -> NDArray[np.bool_]:
    grid = np.indices((SIDE, SIDE, SIDE)) - (SIDE - 1) / 2
    dark: NDArray[np.bool_] = np.sqrt((grid**2).sum(0)) < share * SIDE
    return dark


def noisy(clean: Volume, brain: NDArray[np.bool_], sigma: float, seed: int = 0) -> Volume:
    """The length of a complex signal with noise in both parts, skull-stripped."""
    rng = np.random.default_rng(seed)
    real, imaginary = rng.normal(0, sigma, (2, *clean.shape))
    return np.where(brain, np.hypot(clean + real, imaginary), 0).astype(np.float32)


def root_mean_square(values: NDArray[np.float32]) -> float:
    return float(np.sqrt((values.astype(np.float64) ** 2).mean()))


@pytest.fixture
def dipy() -> Any:
    """The filter itself; denoising needs it."""
    return pytest.importorskip("dipy.denoise.nlmeans", reason="the extra 'denoise' is missing")


# --- estimate -------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.floats(2, 100), st.integers(0, 2**32))
def test_known_noise_is_estimated_within_a_tenth(sigma: float, seed: int) -> None:
    clean, brain = head()
    assert estimate_noise(noisy(clean, brain, sigma, seed), brain) == pytest.approx(sigma, rel=0.1)


@pytest.mark.parametrize("ratio", [0.0, 0.5, 1.0, 2.0, 3.0])
def test_estimate_holds_where_nothing_is_gaussian(ratio: float) -> None:
    # Signal of a few sigma and less: the spread of the magnitudes is down to 0.655 sigma.
    brain = np.ones((SIDE, SIDE, SIDE), bool)
    image = noisy(np.full(brain.shape, ratio * 10, np.float32), brain, 10)
    assert float(image.std()) < 9.9
    assert estimate_noise(image, brain) == pytest.approx(10, rel=0.15)


@settings(max_examples=15, deadline=None)
@given(st.floats(1e-3, 1e4), st.integers(0, 2**32))
def test_estimate_follows_the_unit_and_ignores_what_is_outside(unit: float, seed: int) -> None:
    clean, brain = head()
    image = noisy(clean, brain, 15, seed)
    sigma = estimate_noise(image, brain)
    assert estimate_noise(np.float32(unit) * image, brain) == pytest.approx(unit * sigma, rel=1e-4)
    elsewhere = image + np.where(brain, 0, np.random.default_rng(seed).normal(0, 1e3, image.shape))
    assert estimate_noise(elsewhere.astype(np.float32), brain) == sigma


def test_smooth_tissue_is_not_taken_for_noise() -> None:
    clean, brain = head()
    assert estimate_noise(clean, brain) < 0.01
    assert estimate_noise(np.full(brain.shape, 7, np.float32), brain) == 0


def test_smoothed_noise_is_estimated_too_low() -> None:
    # As resampled scans are: the docstring warns of it.
    clean, brain = head()
    image = noisy(clean, brain, 20)
    between = (image[:-1] + image[1:]) / 2
    both = brain[:-1] & brain[1:]
    assert estimate_noise(between.astype(np.float32), both) < 0.8 * 20


def test_what_cannot_be_estimated_is_refused() -> None:
    clean, brain = head()
    with pytest.raises(InputError, match="one grid"):
        estimate_noise(clean[1:], brain)
    sheet = np.zeros_like(brain)
    sheet[20] = brain[20]
    with pytest.raises(InputError, match="too small"):
        estimate_noise(clean, sheet)


# --- filter ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("sigma", "factor"), [(8, 1.9), (20, 2.2), (40, 2.4)])
@pytest.mark.usefixtures("dipy")
def test_error_falls(sigma: float, factor: float) -> None:
    clean, brain = head()
    image = noisy(clean, brain, sigma)
    out = denoise_rician(image, brain)
    assert out.dtype == np.float32
    assert float(out.min()) >= 0
    assert not out[~brain].any()
    before = root_mean_square((image - clean)[brain])
    assert root_mean_square((out - clean)[brain]) < before / factor


@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.0])
def test_the_bias_of_low_signal_is_removed_which_a_gaussian_filter_keeps(
    dipy: Any, ratio: float
) -> None:
    sigma = 30.0
    clean, brain = head(dark=ratio * sigma)
    image = noisy(clean, brain, sigma)
    dark = core(0.15)  # away from its bright surface
    # What a mean keeps: the mean of Rician values less the signal.
    raw = float((image - clean)[dark].mean())
    gaussian = dipy.nlmeans(
        image.astype(np.float64),
        np.full(image.shape, sigma),
        mask=brain,
        block_radius=3,
        rician=False,
        method="classic",
    )
    kept = float((gaussian - clean)[dark].mean())
    left = abs(float((denoise_rician(image, brain, sigma) - clean)[dark].mean()))
    assert raw > 0.2 * sigma
    assert kept > 0.2 * sigma
    assert left < 0.3 * kept


@pytest.mark.usefixtures("dipy")
def test_zeros_outside_do_not_pull_the_rim_down() -> None:
    sigma = 30.0
    brain = head()[1]
    clean = np.where(brain, np.float32(2 * sigma), np.float32(0))
    out = denoise_rician(noisy(clean, brain, sigma), brain, sigma)
    inner = np.pad(brain, 1)
    for axis in range(3):
        inner &= np.roll(inner, 1, axis) & np.roll(inner, -1, axis)
    inner = inner[1:-1, 1:-1, 1:-1]
    rim = brain & ~inner
    assert float(out[rim].mean()) == pytest.approx(float(out[inner].mean()), rel=0.05)


@pytest.mark.usefixtures("dipy")
def test_constant_in_constant_out_and_no_noise_no_change() -> None:
    clean, brain = head()
    constant = np.where(brain, np.float32(120), np.float32(0))
    assert np.array_equal(denoise_rician(constant, brain), constant)
    assert np.array_equal(denoise_rician(clean, brain, noise=0), clean)
    # With a noise given that is not there, its bias is taken off all the same.
    expected = np.sqrt(120**2 - 2 * 10**2)
    assert denoise_rician(constant, brain, noise=10)[brain] == pytest.approx(expected, rel=1e-5)


@pytest.mark.usefixtures("dipy")
def test_result_follows_the_unit_and_the_place() -> None:
    clean, brain = head()
    image = noisy(clean, brain, 20)
    out = denoise_rician(image, brain)
    assert np.allclose(denoise_rician(1000 * image, brain), 1000 * out, rtol=1e-3, atol=1)
    wide = np.pad(image, ((0, 5), (9, 0), (2, 2)))
    moved = denoise_rician(wide, np.pad(brain, ((0, 5), (9, 0), (2, 2))))
    assert np.array_equal(moved[:-5, 9:, 2:-2], out)


@pytest.mark.usefixtures("dipy")
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 4, 2), (2, 2, 2)])
def test_a_brain_of_a_few_voxels_has_room(shape: tuple[int, int, int]) -> None:
    image = np.full(shape, 50, np.float32)
    out = denoise_rician(image, np.ones(shape, bool), noise=5)
    assert out == pytest.approx(np.sqrt(50**2 - 2 * 5**2), rel=1e-5)
    assert not denoise_rician(image, np.zeros(shape, bool), noise=5).any()


@pytest.mark.usefixtures("dipy")
def test_what_cannot_be_denoised_is_refused() -> None:
    clean, brain = head()
    with pytest.raises(InputError, match="magnitudes"):
        denoise_rician(clean - 400 * brain, brain)
    with pytest.raises(InputError, match="at least 0"):
        denoise_rician(clean, brain, noise=-1)
    with pytest.raises(InputError, match="one grid"):
        denoise_rician(clean, brain[1:], noise=1)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dipy.denoise.nlmeans", None)
    clean, brain = head()
    with pytest.raises(MissingExtra, match=r"minicube\[denoise\]"):
        denoise_rician(clean, brain)
