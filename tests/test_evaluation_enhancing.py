"""From how little enhancing tumour on it is believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicube import InputError
from minicube.evaluation import EnhancingFound, fit_least_enhancing, mean_with_rule

ALARM = EnhancingFound(0.4, is_there=False, dice=0.0)
FAINT = EnhancingFound(0.3, is_there=True, dice=0.2)
SMALL = EnhancingFound(1.0, is_there=True, dice=0.6)
PLAIN = EnhancingFound(20.0, is_there=True, dice=0.8)
NOTHING = EnhancingFound(0.0, is_there=False, dice=1.0)

found = st.builds(
    lambda ml, there, dice: EnhancingFound(
        ml, is_there=there, dice=(dice if ml else 0.0) if there else float(ml == 0)
    ),
    st.floats(0, 50),
    st.booleans(),
    st.floats(0, 1),
)


def test_a_false_alarm_is_worth_more_than_a_faint_tumour() -> None:
    cases = [ALARM, FAINT, SMALL, PLAIN, NOTHING]
    least = fit_least_enhancing(cases)
    assert least == pytest.approx((0.4 + 1.0) / 2)
    assert mean_with_rule(cases, 0.0) == pytest.approx((0 + 0.2 + 0.6 + 0.8 + 1) / 5)
    assert mean_with_rule(cases, least) == pytest.approx((1 + 0 + 0.6 + 0.8 + 1) / 5)


def test_without_false_alarms_there_is_no_rule() -> None:
    assert fit_least_enhancing([FAINT, SMALL, PLAIN, NOTHING]) == 0.0
    with pytest.raises(InputError, match="cannot be fitted"):
        fit_least_enhancing([])


def test_cases_are_weighted_to_what_is_met_in_use() -> None:
    cases = [ALARM, FAINT, SMALL]
    assert mean_with_rule(cases, 0.5, 0.5) == pytest.approx(0.5 * 1 + 0.5 * (0 + 0.6) / 2)
    assert fit_least_enhancing(cases, 0.5) == pytest.approx(0.7)
    assert fit_least_enhancing(cases, 0.01) == 0.0  # hardly any lack it
    with pytest.raises(InputError, match="cannot be fitted"):
        fit_least_enhancing([FAINT, SMALL], 0.5)


@given(st.lists(found, min_size=1, max_size=8), st.floats(0, 60))
def test_no_threshold_is_better(cases: list[EnhancingFound], other: float) -> None:
    largest = max(case.found_ml for case in cases)
    if other <= largest:  # what lies above all that was found is never chosen
        assert mean_with_rule(cases, fit_least_enhancing(cases)) >= mean_with_rule(cases, other)
