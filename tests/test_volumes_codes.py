"""Intensities as codes: exact where values are few, rounded within a bound where they are many."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from minicube._errors import InternalError
from minicube.volumes.codes import EXACT_LEVELS, ROUNDING, decode, encode


def decoded(codes: np.ndarray, levels: np.ndarray) -> np.ndarray:
    out = np.empty(codes.shape, np.float32)
    decode(codes, levels, out)
    return out


SHAPES = st.tuples(*[st.integers(1, 6)] * 3)


@given(arrays.arrays(np.float32, SHAPES, elements=st.floats(-(2**60), 2**60, width=32)))
@settings(deadline=None, max_examples=100)
def test_few_values_come_back_bit_for_bit(image: np.ndarray) -> None:
    codes, levels = encode(image)
    assert codes.dtype == np.uint16
    assert levels.dtype == np.float32
    assert np.array_equal(decoded(codes, levels), image)
    assert np.array_equal(codes == 0, image == 0)


@given(
    seed=st.integers(0, 10**6),
    scale=st.floats(1e-6, 1e6),
    middle=st.floats(-3, 3),
    heavy=st.booleans(),
)
@settings(deadline=None, max_examples=40)
def test_many_values_are_rounded_by_half_a_step_and_never_to_zero(
    seed: int, scale: float, middle: float, heavy: bool
) -> None:
    rng = np.random.default_rng(seed)
    drawn = rng.standard_t(2, (20, 30, 40)) if heavy else rng.normal(0, 1, (20, 30, 40))
    drawn[rng.random(drawn.shape) < 0.3] = -middle
    image = ((drawn + middle) * scale).astype(np.float32)  # some 0, some next to it
    inside = image != 0
    assert np.unique(image).size > EXACT_LEVELS
    codes, levels = encode(image)
    found = decoded(codes, levels)
    assert np.array_equal(found != 0, inside)
    deviation = image[inside].std(dtype=np.float64)
    float32 = np.abs(image).max() * 2.0**-23
    error = np.abs(found.astype(np.float64) - image).max()
    assert error <= ROUNDING / 2 * deviation * (1 + 1e-9) + float32
    assert error < 0.005 * deviation


def test_an_outlier_costs_no_precision() -> None:
    image = np.random.default_rng(0).normal(0, 1, (30, 30, 30)).astype(np.float32)
    image[3, 4, 5] = 150
    codes, levels = encode(image)
    found = decoded(codes, levels)
    assert np.abs(found - image).max() <= ROUNDING / 2 * image.std() * 1.001


def test_an_empty_image_has_the_level_of_nothing() -> None:
    codes, levels = encode(np.zeros((3, 3, 3), np.float32))
    assert not codes.any()
    assert levels.tolist() == [0]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_refused(value: float) -> None:
    image = np.ones((3, 3, 3), np.float32)
    image[1, 1, 1] = value
    with pytest.raises(InternalError, match="no numbers"):
        encode(image)


def test_a_code_that_is_not_in_the_table_is_an_error() -> None:
    with pytest.raises(IndexError):
        decoded(np.full((2, 2, 2), 5, np.uint16), np.zeros(5, np.float32))
