"""Intervals over cases, paired tests, families of tests."""

from __future__ import annotations

import itertools
import math
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from minicube import InputError
from minicube.evaluation import compare, holm, interval

Statistic = Literal["mean", "median"]

scores = st.floats(0, 1, allow_subnormal=False)
several = st.lists(scores, min_size=1, max_size=12)


@settings(max_examples=40)
@given(several, st.sampled_from(["mean", "median"]))
def test_an_interval_holds_its_estimate_and_stays_among_the_values(
    values: list[float], statistic: Statistic
) -> None:
    found = interval(values, statistic=statistic)
    centre = np.mean(values) if statistic == "mean" else np.median(values)
    slack = 1e-12
    assert found.n == len(values)
    assert found.estimate == pytest.approx(centre, abs=1e-12)
    assert min(values) - slack <= found.low <= found.high <= max(values) + slack
    if len(values) > 3:
        assert found.low - slack <= found.estimate <= found.high + slack


def test_an_interval_is_the_same_each_time_and_wider_for_more_confidence() -> None:
    values = np.random.default_rng(0).beta(8, 2, 15).tolist()
    usual = interval(values)
    assert interval(values) == usual
    assert interval(values, seed=1) != usual
    sure = interval(values, level=0.99)
    assert sure.low < usual.low < usual.high < sure.high
    assert usual.to_dict() == {
        "low": usual.low,
        "high": usual.high,
        "estimate": usual.estimate,
        "n": 15,
    }


@pytest.mark.parametrize("n", [5, 12, 40])
def test_intervals_are_those_of_scipy(n: int) -> None:
    values = np.random.default_rng(n).beta(8, 2, n)
    kinds: tuple[tuple[Statistic, str], ...] = (("mean", "BCa"), ("median", "percentile"))
    for statistic, method in kinds:
        ours = interval(values.tolist(), statistic=statistic)
        function = {"mean": np.mean, "median": np.median}[statistic]
        theirs = stats.bootstrap(
            (values,), function, method=method, n_resamples=20_000, rng=1
        ).confidence_interval
        # Two draws of resamples: the ends agree to a few percent of the width.
        width = theirs.high - theirs.low
        assert ours.low == pytest.approx(theirs.low, abs=0.06 * width)
        assert ours.high == pytest.approx(theirs.high, abs=0.06 * width)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(7)
    held = 0
    for seed in range(150):
        found = interval(rng.beta(6, 2, 25).tolist(), seed=seed)
        held += found.low <= 0.75 <= found.high
    # 95 % of 150 is 142; the bootstrap falls a little short with 25 cases.
    assert 0.88 <= held / 150 <= 1.0


def test_values_all_alike_give_a_point() -> None:
    found = interval([0.8] * 7)
    assert (found.low, found.estimate, found.high) == pytest.approx((0.8, 0.8, 0.8))
    alone = interval([0.3])
    assert (alone.low, alone.high, alone.n) == (0.3, 0.3, 1)


def test_an_outlier_skews_the_interval_of_the_mean() -> None:
    found = interval([0.9] * 5 + [0.88, 0.91, 0.87, 0.92, 0.1])
    assert found.estimate - found.low > 1.5 * (found.high - found.estimate)


def by_enumeration(differences: list[float]) -> float:
    """Wilcoxon's p with Pratt's zeros: every way to give the differences their signs."""
    given = np.asarray(differences)
    ranks = stats.rankdata(np.abs(given))[given != 0]
    signs = given[given != 0] > 0
    middle = ranks.sum() / 2
    seen = abs(ranks[signs].sum() - middle)
    sums = [np.dot(ways, ranks) for ways in itertools.product((0, 1), repeat=len(ranks))]
    return float(np.mean(np.abs(np.array(sums) - middle) >= seen - 1e-9))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(-4, 4), min_size=6, max_size=11).filter(lambda d: sum(map(bool, d)) > 5)
)
def test_p_counts_every_way_to_give_the_signs(differences: list[int]) -> None:
    values = [float(d) for d in differences]
    tested = compare(values, [0.0] * len(values))
    assert tested.p == pytest.approx(by_enumeration(values))


@pytest.mark.parametrize("n", [6, 20, 50, 51, 200])
def test_p_is_that_of_scipy_where_nothing_is_tied(n: int) -> None:
    rng = np.random.default_rng(n)
    first, second = rng.normal(0.3, 1, n), rng.normal(0, 1, n)
    method = "exact" if n <= 50 else "asymptotic"
    expected = stats.wilcoxon(first - second, zero_method="pratt", method=method).pvalue
    assert compare(first.tolist(), second.tolist()).p == pytest.approx(expected)


def test_p_is_that_of_scipy_where_many_are_tied_and_too_many_to_count() -> None:
    rng = np.random.default_rng(0)
    differences = rng.normal(0.2, 1, 90).round(1)
    expected = stats.wilcoxon(differences, zero_method="pratt", method="asymptotic").pvalue
    assert (differences == 0).any()
    assert compare(differences.tolist(), [0.0] * 90).p == pytest.approx(expected)


def test_the_difference_is_first_minus_second_with_its_interval() -> None:
    first, second = [0.9, 0.8, 0.85, 0.7, 0.95, 0.9, 0.6], [0.8, 0.7, 0.8, 0.65, 0.9, 0.7, 0.6]
    tested = compare(first, second)
    assert tested.n == 7
    assert tested.mean_difference == pytest.approx(0.55 / 7)
    assert 0 < tested.low < tested.mean_difference < tested.high
    # Six differ, all in one direction: 2 of 2⁶ ways are as extreme.
    assert tested.p == pytest.approx(2 / 2**6)
    other = compare(second, first)
    assert other.mean_difference == pytest.approx(-tested.mean_difference)
    assert other.p == tested.p
    assert tested.to_dict()["p"] == tested.p


def test_without_six_differences_there_is_no_p() -> None:
    assert compare([0.9] * 5, [0.1] * 5).p is None
    same = compare([0.5] * 9, [0.5] * 9)
    assert (same.p, same.mean_difference, same.low, same.high) == (None, 0, 0, 0)
    assert compare([0.5] * 9 + [0.6] * 5, [0.5] * 14).p is None


def test_holm_as_made_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
    # What has no p stays so, and still counts as one of three.
    assert holm([0.01, None, 0.02]) == pytest.approx([0.03, None, 0.04])
    assert holm([None, None]) == [None, None]


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_keeps_the_order_and_lies_between_none_and_bonferroni(family: list[float]) -> None:
    adjusted = holm(family)
    for before, after in zip(family, adjusted, strict=True):
        assert after is not None
        assert before <= after <= min(1.0, len(family) * before)
    pairs = sorted(zip(family, adjusted, strict=True), key=lambda pair: pair[0])
    assert [b for _, b in pairs] == sorted(b for b in adjusted if b is not None)


@pytest.mark.parametrize("values", [[], [math.nan], [0.1, math.inf]])
def test_no_values_and_values_that_are_none_are_refused(values: list[float]) -> None:
    with pytest.raises(InputError, match="nothing to calculate"):
        interval(values)
    with pytest.raises(InputError, match="nothing to calculate"):
        compare(values, values)


def test_other_mistakes_are_refused_in_words() -> None:
    with pytest.raises(InputError, match="same cases"):
        compare([0.1, 0.2], [0.1])
    with pytest.raises(InputError, match="level of confidence"):
        interval([0.1, 0.2], level=95)
    with pytest.raises(InputError, match="p-value"):
        holm([0.5, 1.5])
