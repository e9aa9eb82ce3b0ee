"""Coil shading measured and taken out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from minicube.scans import Sequence
from minicube.volumes import even, fit_shading, prepare
from minicube.volumes.prepare import ABSENT
from small_cases import small_case

SHAPE = (40, 48, 36)
shares = st.floats(-0.25, 0.25)


def _ball() -> NDArray[np.bool_]:
    x, y, z = np.ix_(*(np.linspace(-1, 1, n) for n in SHAPE))
    inside: NDArray[np.bool_] = x**2 + y**2 + z**2 < 0.95
    return inside


def _head(seed: int = 0) -> NDArray[np.float32]:
    """Two tissues with noise, and a bright tumour on one side, a tenth of the whole."""
    rng = np.random.default_rng(seed)
    image = np.where(rng.random(SHAPE) < 0.5, 400.0, 460.0) * rng.normal(1, 0.03, SHAPE)
    image[4:16, 14:36, 10:26] *= 2.2
    image[~_ball()] = 0
    return image.astype(np.float32)


def _shaded(a: float, b: float, c: float) -> NDArray[np.float32]:
    x, y, z = np.ix_(*(np.linspace(-1, 1, n) for n in SHAPE))
    factor: NDArray[np.float64] = np.exp(a * x + b * y * z + c * z**2)
    return factor.astype(np.float32)


@given(a=shares, b=shares, c=shares)
@settings(deadline=None, max_examples=20)
def test_a_smooth_factor_is_found_beside_a_bright_tumour(a: float, b: float, c: float) -> None:
    brain, factor = _ball(), _shaded(a, b, c)
    plain, found = (fit_shading(image, brain) for image in (_head(), _head() * factor))
    assert plain is not None
    assert found is not None
    assert np.abs(np.log(plain[brain])).max() < 0.05  # the tumour is not taken for shading
    left = np.log((found / factor)[brain])
    assert np.ptp(left) < 0.1
    assert abs(np.log(found[brain]).mean()) < 0.01


@given(unit=st.floats(1e-3, 1e4))
@settings(deadline=None, max_examples=10)
def test_the_unit_of_the_scan_does_not_matter(unit: float) -> None:
    image = _head() * _shaded(0.2, 0.1, -0.2)
    one, other = (fit_shading(scan, _ball()) for scan in (image, image * np.float32(unit)))
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(other, one, rtol=1e-3)


def test_a_constant_has_no_shading() -> None:
    found = fit_shading(np.full(SHAPE, 7, np.float32), _ball())
    assert found is not None
    np.testing.assert_allclose(found, 1, atol=1e-6)


@pytest.mark.parametrize("brain", [_ball(), np.zeros(SHAPE, np.bool_)], ids=["z-scores", "none"])
def test_what_is_no_magnitude_has_none_that_can_be_measured(brain: NDArray[np.bool_]) -> None:
    assert fit_shading(_head() - np.float32(430), brain) is None


def test_shaded_scans_become_as_those_that_were_not() -> None:
    case = small_case(3)
    x = np.linspace(-1, 1, case.shape[0], dtype=np.float32)[:, None, None]
    shaded = {s: image * np.exp(0.3 * x + 0.2 * x**2) for s, image in case.images.items()}
    bare, plain = prepare(case), even(prepare(case))
    before = prepare(replace(case, images=shaded))
    after = even(before)
    inside = bare.brain
    off = [np.abs(found.images - plain.images)[:, inside].mean() for found in (before, after)]
    assert off[1] < 0.1 * off[0]
    assert (after.images[:, ~inside] == 0).all()
    mean = after.images[:, inside].mean(axis=1)
    np.testing.assert_allclose(mean, 0, atol=1e-3)
    np.testing.assert_allclose(after.images[:, inside].std(axis=1), 1, atol=1e-3)


def test_a_sequence_that_is_not_there_stays_away() -> None:
    case = small_case(3)
    left = dict(case.images)
    del left[Sequence.T2F]
    found = even(prepare(replace(case, images=left)))
    assert found.scales[-1] == ABSENT
    assert not found.images[-1].any()
    assert found.present == (Sequence.T1N, Sequence.T1C, Sequence.T2W)


def test_z_scores_are_left_as_they_are() -> None:
    case = small_case(3)
    scores = {s: (v - v[case.brain].mean()) * case.brain for s, v in case.images.items()}
    before = prepare(replace(case, images=scores))
    after = even(before)
    assert np.array_equal(after.images, before.images)
    assert after.scales == before.scales
