"""The plain loss, the split by patient, the schedule."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from minicube import InputError
from minicube.evaluation.splits import patient_of
from minicube.training import TrainingConfig
from minicube.training.data import split_cases
from minicube.training.losses import dice_and_cross_entropy
from minicube.training.stepper import learning_rate


def test_loss_equals_its_closed_form() -> None:
    # Two voxels, two classes: p(tumour) = 0.8 where there is tumour, 0.3 where there is none.
    p = torch.tensor([0.8, 0.3], dtype=torch.float64)
    logits = torch.stack([torch.log(1 - p), torch.log(p)])[None].reshape(1, 2, 2, 1, 1)
    target = torch.tensor([1, 0]).reshape(1, 2, 1, 1)
    dice = (2 * 0.8 + 1) / (0.8 + 0.3 + 1 + 1)
    cross_entropy = -(np.log(0.8) + np.log(0.7)) / 2
    found = float(dice_and_cross_entropy(logits, target))
    assert found == pytest.approx(1 - dice + cross_entropy, abs=1e-6)


def test_loss_of_a_perfect_answer_is_zero_and_bf16_is_safe() -> None:
    target = torch.randint(0, 4, (2, 6, 6, 6), generator=torch.Generator().manual_seed(0))
    logits = 60 * torch.nn.functional.one_hot(target, 4).movedim(-1, 1).float()
    assert float(dice_and_cross_entropy(logits, target)) == pytest.approx(0, abs=1e-6)
    assert float(dice_and_cross_entropy(logits.bfloat16(), target)) == pytest.approx(0, abs=1e-6)
    assert torch.isfinite(dice_and_cross_entropy(-1e4 * logits, target))


def test_split_is_by_case_complete_and_repeatable() -> None:
    names = [f"case-{i}" for i in range(20)]
    train, held_out = split_cases(names, 0.2, seed=1)
    assert len(held_out) == 4
    assert sorted(train + held_out) == sorted(names)
    assert split_cases(reversed(names), 0.2, seed=1) == (train, held_out)
    assert split_cases(names, 0.2, seed=2) != (train, held_out)
    assert [len(part) for part in split_cases(names[:2], 0.9, seed=0)] == [1, 1]


def test_cases_of_one_visit_each_are_split_as_they_ever_were() -> None:
    names = [f"BraTS-GLI-{i:05d}-000" for i in range(12)]
    order = np.random.default_rng((3, 12)).permutation(12)
    assert split_cases(names, 0.25, seed=3)[1] == sorted(names[i] for i in order[:3])


@given(visits=st.lists(st.integers(1, 4), min_size=2, max_size=30), seed=st.integers(0, 9))
@hypothesis_settings(max_examples=40)
def test_visits_of_a_patient_stay_on_one_side(visits: list[int], seed: int) -> None:
    names = [f"BraTS-GLI-{i:05d}-{v:03d}" for i, count in enumerate(visits) for v in range(count)]
    train, held_out = split_cases(names, 0.3, seed)
    assert sorted(train + held_out) == sorted(names)
    one, other = ({patient_of(name) for name in part} for part in (train, held_out))
    assert not one & other
    assert len(other) == max(1, round(0.3 * len(visits)))


def test_a_single_patient_cannot_be_split() -> None:
    with pytest.raises(InputError, match=r"of one patient.*\n.*two patients"):
        split_cases(["BraTS-GLI-00002-000", "BraTS-GLI-00002-001"], 0.5, seed=0)


def test_learning_rate_warms_up_and_ends_near_zero() -> None:
    config = TrainingConfig(steps=100, warmup=10, learning_rate=1e-2)
    rates = [learning_rate(step, config) for step in range(100)]
    assert rates[0] == pytest.approx(1e-3)
    assert max(rates) == pytest.approx(1e-2)
    assert rates[-1] < 1e-4
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_a_constant_rate_stays_after_its_warm_up() -> None:
    config = TrainingConfig.checked(
        {"steps": 50, "warmup": 0, "schedule": "constant", "learning_rate": 0.01}, "test"
    )
    assert {learning_rate(step, config) for step in range(50)} == {0.01}
    warmed = config.model_copy(update={"warmup": 5})
    assert learning_rate(0, warmed) == pytest.approx(0.002)
    assert {learning_rate(step, warmed) for step in range(5, 50)} == {0.01}
