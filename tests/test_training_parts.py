"""Losses, configuration, sampling, augmentation, split, schedule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from minicube import InputError
from minicube.scans import NETWORK_SCHEME
from minicube.training import Augmentation, TrainingConfig
from minicube.training.augment import augmentation
from minicube.training.data import split_cases
from minicube.training.losses import dice_and_cross_entropy
from minicube.training.sampling import Sampler
from minicube.training.stepper import learning_rate
from minicube.volumes import StoredCase, prepare, store_one
from small_cases import small_case

NOTHING = Augmentation(**dict.fromkeys(Augmentation.model_fields, 0.0))


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[StoredCase]:
    folder = tmp_path_factory.mktemp("stored")
    return [store_one(prepare(small_case(seed)), folder) for seed in range(3)]


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


def test_unknown_and_impossible_settings_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="stepz"):
        TrainingConfig.checked({"stepz": 3}, "test")
    with pytest.raises(InputError, match="multiple of 8"):
        TrainingConfig.checked({"window": (96, 96, 81)}, "test")
    with pytest.raises(InputError, match=r"augmentation\.flip"):
        TrainingConfig.checked({"augmentation": {"flip": 1.5}}, "test")
    broken = tmp_path / "broken.toml"
    broken.write_text("steps = = 3")
    with pytest.raises(InputError, match="not a readable TOML"):
        TrainingConfig.read(broken)


def test_config_survives_the_run_folder() -> None:
    config = TrainingConfig(steps=7, window=(32, 32, 16), augmentation=Augmentation(flip=0.25))
    assert TrainingConfig.checked(config.model_dump(mode="json"), "test") == config


def test_a_sample_is_a_function_of_seed_step_and_index(cases: list[StoredCase]) -> None:
    sampler = Sampler(cases, (32, 32, 16), 0.5, seed=3)
    again = Sampler(cases, (32, 32, 16), 0.5, seed=3)
    change = augmentation(Augmentation())
    for step, index in ((0, 0), (5, 11), (0, 1)):
        first = change(*sampler.draw(step, index))
        change(*sampler.draw(9, 9))  # an other sample in between leaves no trace
        second = change(*again.draw(step, index))
        assert torch.equal(first[0], second[0])
        assert torch.equal(first[1], second[1])
    other = Sampler(cases, (32, 32, 16), 0.5, seed=4).draw(0, 0)
    assert not np.array_equal(other[0], sampler.draw(0, 0)[0])


def test_an_epoch_sees_every_case_once(cases: list[StoredCase]) -> None:
    sampler = Sampler(cases, (16, 16, 16), 0.5, seed=0)
    for epoch in range(3):
        turns = {sampler._turn(3 * epoch + i) for i in range(3)}
        assert turns == {0, 1, 2}


def test_windows_aimed_at_tumour_hold_tumour(cases: list[StoredCase]) -> None:
    aimed = Sampler(cases, (8, 8, 8), tumour_share=1.0, seed=0)
    aimless = Sampler(cases, (8, 8, 8), tumour_share=0.0, seed=0)
    assert all(aimed.draw(0, i)[1].any() for i in range(60))
    assert not all(aimless.draw(0, i)[1].any() for i in range(60))
    present = {int(v) for i in range(60) for v in np.unique(aimed.draw(0, i)[1])}
    assert present == set(NETWORK_SCHEME.values)


def test_a_window_larger_than_the_case_is_padded(cases: list[StoredCase]) -> None:
    images, labels, _ = Sampler(cases, (96, 96, 80), 1.0, seed=0).draw(0, 0)
    assert images.shape == (4, 96, 96, 80)
    assert labels.shape == (96, 96, 80)


def test_augmentation_at_zero_changes_nothing(cases: list[StoredCase]) -> None:
    images, labels, seed = Sampler(cases, (32, 32, 16), 1.0, seed=1).draw(0, 0)
    changed, same = augmentation(NOTHING)(images, labels, seed)
    assert torch.equal(changed, torch.from_numpy(images))
    assert torch.equal(same, torch.from_numpy(labels).long())


@pytest.mark.parametrize("name", sorted(Augmentation.model_fields))
def test_each_augmentation_at_one_changes_every_sample(cases: list[StoredCase], name: str) -> None:
    change = augmentation(NOTHING.model_copy(update={name: 1.0}))
    spatial = name in ("flip", "affine", "elastic")
    for index in range(4):
        images, labels, seed = Sampler(cases, (32, 32, 16), 1.0, seed=1).draw(0, index)
        changed, moved = change(images, labels, seed)
        assert not torch.equal(changed, torch.from_numpy(images))
        assert torch.equal(moved, torch.from_numpy(labels).long()) != spatial
        assert torch.isfinite(changed).all()
        if not spatial:  # what lies outside the brain stays 0
            assert not changed[:, torch.from_numpy(~(images != 0).any(axis=0))].any()


def test_flip_moves_images_and_labels_together(cases: list[StoredCase]) -> None:
    images, labels, seed = Sampler(cases, (32, 32, 16), 1.0, seed=1).draw(0, 0)
    changed, moved = augmentation(NOTHING.model_copy(update={"flip": 1.0}))(images, labels, seed)
    assert torch.equal(changed, torch.from_numpy(images[:, ::-1].copy()))
    assert torch.equal(moved, torch.from_numpy(labels[::-1].copy()).long())


def test_split_is_by_case_complete_and_repeatable() -> None:
    names = [f"case-{i}" for i in range(20)]
    train, held_out = split_cases(names, 0.2, seed=1)
    assert len(held_out) == 4
    assert sorted(train + held_out) == sorted(names)
    assert split_cases(reversed(names), 0.2, seed=1) == (train, held_out)
    assert split_cases(names, 0.2, seed=2) != (train, held_out)
    assert [len(part) for part in split_cases(names[:2], 0.9, seed=0)] == [1, 1]


def test_learning_rate_warms_up_and_ends_near_zero() -> None:
    config = TrainingConfig(steps=100, warmup=10, learning_rate=1e-2)
    rates = [learning_rate(step, config) for step in range(100)]
    assert rates[0] == pytest.approx(1e-3)
    assert max(rates) == pytest.approx(1e-2)
    assert rates[-1] < 1e-4
    assert rates[10:] == sorted(rates[10:], reverse=True)
