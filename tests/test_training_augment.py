"""Each change to a sample does what its name says, and nothing to what it must leave alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from minicube.scans import NETWORK_SCHEME, Sequence
from minicube.training import Augmentation
from minicube.training.augment import augmentation
from minicube.training.sampling import Sampler
from minicube.volumes import StoredCase
from small_training import NOTHING, settings, store_small

SPATIAL = ("flip", "affine", "elastic")
NAMES = sorted(Augmentation.model_fields)
Sample = tuple[NDArray[np.float32], NDArray[np.uint8], int]

both = pytest.mark.parametrize("planar", [False, True], ids=["3d", "planar"])


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[StoredCase]:
    return store_small(tmp_path_factory.mktemp("stored"), 2)


def _samples(
    cases: list[StoredCase], count: int = 2, window: tuple[int, int, int] = (32, 32, 16)
) -> Iterator[Sample]:
    sampler = Sampler(
        cases, settings(window=window, tumour_share=1.0, network="segnet", widths=(2, 2), seed=1), 0
    )
    return (sampler.draw(0, index) for index in range(count))


def _only(name: str) -> Augmentation:
    return NOTHING.model_copy(update={name: 1.0})


@both
def test_at_zero_samples_stay_as_they_are(cases: list[StoredCase], planar: bool) -> None:
    for images, labels, seed in _samples(cases):
        changed, same = augmentation(NOTHING, planar=planar)(images, labels, seed)
        assert torch.equal(changed, torch.from_numpy(images))
        assert torch.equal(same, torch.from_numpy(labels).long())
        assert type(changed) is type(same) is Tensor
        assert (changed.dtype, same.dtype) == (torch.float32, torch.int64)


@both
@pytest.mark.parametrize("name", NAMES)
def test_each_at_one_changes_every_sample(cases: list[StoredCase], name: str, planar: bool) -> None:
    change = augmentation(_only(name), planar=planar)
    spatial = name in SPATIAL
    for images, labels, seed in _samples(cases):
        before = torch.from_numpy(images)
        changed, moved = change(images, labels, seed)
        assert changed.shape == before.shape
        assert moved.shape == labels.shape
        assert torch.isfinite(changed).all()
        assert set(np.unique(moved.numpy()).tolist()) <= set(NETWORK_SCHEME.values)
        if name == "elastic" and planar:
            assert torch.equal(changed, before)
            continue
        assert not torch.equal(changed, before)
        assert torch.equal(moved, torch.from_numpy(labels).long()) != spatial
        if spatial:  # tumour stays in the brain
            assert not moved[~(changed != 0).any(dim=0)].any()
        else:  # what lies outside the brain stays 0
            air = torch.from_numpy(~(images != 0).any(axis=0))
            assert air.any()
            assert not changed[:, air].any()


@both
@pytest.mark.parametrize("name", [n for n in NAMES if n not in (*SPATIAL, "missing")])
def test_every_sequence_is_changed_on_its_own(
    cases: list[StoredCase], name: str, planar: bool
) -> None:
    (images, labels, seed), *_ = _samples(cases)
    alike = np.repeat(images[:1], 4, axis=0)
    changed, _ = augmentation(_only(name), planar=planar)(alike, labels, seed)
    for i in range(4):
        assert not torch.equal(changed[i], torch.from_numpy(alike[i]))
        assert all(not torch.equal(changed[i], changed[j]) for j in range(i))


def test_what_moves_a_sample_does_not_say_what_shades_it(cases: list[StoredCase]) -> None:
    (images, labels, _), *_ = _samples(cases)
    at_times = augmentation(NOTHING.model_copy(update={"flip": 0.5, "contrast": 0.5}))
    lateral = labels[::-1] != labels  # mirrored labels tell that it was mirrored
    assert lateral.any()
    found = np.zeros((4, 2, 2), int)
    for seed in range(60):
        changed, moved = at_times(images, labels, seed)
        flipped = int(not torch.equal(moved, torch.from_numpy(labels).long()))
        same = images[:, ::-1] if flipped else images
        for sequence, (one, other) in enumerate(zip(changed, same.copy(), strict=True)):
            found[sequence, flipped, int(not torch.equal(one, torch.from_numpy(other)))] += 1
    assert (found > 0).all(), "a sequence changes only where the sample is mirrored, or is not"


@pytest.mark.parametrize("name", ["affine", "elastic"])
def test_air_that_comes_in_at_the_border_is_zero(name: str) -> None:
    full = np.full((4, 24, 24, 24), 7, np.float32)
    labels = np.full((24, 24, 24), 2, np.uint8)
    change = augmentation(_only(name))
    moved = [change(full, labels, seed) for seed in range(12)]
    assert any((images == 0).any() for images, _ in moved)
    for images, changed in moved:
        assert images.min() >= 0
        assert images.max() <= 7 + 1e-4
        assert not changed[(images == 0).all(dim=0)].any()


def test_flip_moves_images_and_labels_together(cases: list[StoredCase]) -> None:
    for images, labels, seed in _samples(cases):
        changed, moved = augmentation(_only("flip"))(images, labels, seed)
        assert torch.equal(changed, torch.from_numpy(images[:, ::-1].copy()))
        assert torch.equal(moved, torch.from_numpy(labels[::-1].copy()).long())


@pytest.mark.parametrize("name", ["affine", "elastic"])
def test_labels_go_where_the_images_go(cases: list[StoredCase], name: str) -> None:
    for _, labels, seed in _samples(cases, 6):
        images = np.repeat((labels[None] > 0).astype(np.float32) + 1, 4, axis=0)
        changed, moved = augmentation(_only(name))(images, labels, seed)
        tumour = changed[0] > 1.5
        assert tumour.any()
        assert (tumour == (moved > 0)).float().mean() > 0.97


@both
@pytest.mark.parametrize("name", NAMES)
def test_a_sequence_that_is_not_there_stays_away(
    cases: list[StoredCase], name: str, planar: bool
) -> None:
    (images, labels, seed), *_ = _samples(cases)
    images[1] = 0
    changed, _ = augmentation(_only(name), planar=planar)(images, labels, seed)
    assert changed.any()
    assert not changed[1].any()


def test_sharpness_sharpens_and_blur_blurs() -> None:
    rng = np.random.default_rng(0)
    images = rng.normal(5, 1, (4, 20, 20, 20)).astype(np.float32)
    labels = np.zeros((20, 20, 20), np.uint8)

    def roughness(volumes: Tensor) -> float:
        inside = volumes[:, 5:-5, 5:-5, 5:-5]
        return float((inside.diff(dim=1) ** 2).mean())

    before = roughness(torch.from_numpy(images))
    assert roughness(augmentation(_only("sharpness"))(images, labels, 3)[0]) > 1.1 * before
    assert roughness(augmentation(_only("blur"))(images, labels, 3)[0]) < 0.9 * before


def test_shading_scales_the_signal_and_not_what_is_above_the_middle() -> None:
    level = np.linspace(-3, 3, 16, dtype=np.float32)
    images = np.broadcast_to(level, (4, 16, 16, 16)).copy()
    images[images == 0] = 0.1
    labels = np.zeros((16, 16, 16), np.uint8)
    for seed in range(4):
        changed, _ = augmentation(_only("bias"))(images, labels, seed)
        factors = (changed + 3.5) / (torch.from_numpy(images) + 3.5)
        assert 0.3 < factors.min() < factors.max() < 3
        assert factors.std() > 0.02
        assert (changed - torch.from_numpy(images)).abs().amax(dim=(0, 1, 2))[:4].min() > 1e-3
        steps = factors.diff(dim=1).abs().max()  # smooth
        assert steps < 0.4


def test_missing_leaves_out_one_sequence_or_two(cases: list[StoredCase]) -> None:
    gone, counts = set(), set()
    for images, labels, seed in _samples(cases, 20):
        changed, _ = augmentation(_only("missing"))(images, labels, seed)
        empty = [i for i in range(4) if not changed[i].any()]
        counts.add(len(empty))
        gone |= set(empty)
    assert gone == {0, 1, 2, 3}
    assert counts == {1, 2}


def test_flair_is_left_out_most_often() -> None:
    full = np.ones((4, 2, 2, 2), np.float32)
    change, labels = augmentation(_only("missing")), np.zeros((2, 2, 2), np.uint8)
    gone = sum((change(full, labels, seed)[0] == 0).all(dim=(1, 2, 3)).int() for seed in range(400))
    assert isinstance(gone, torch.Tensor)
    flair = [*Sequence].index(Sequence.T2F)
    others = [int(n) for i, n in enumerate(gone) if i != flair]
    assert gone[flair] > 1.4 * max(others)
    assert min(others) > 60


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("missing", "noise")])
def test_planar_slices_know_nothing_of_each_other(cases: list[StoredCase], name: str) -> None:
    change = augmentation(_only(name), planar=True)
    for images, labels, seed in _samples(cases, window=(32, 32, 4)):
        whole, whole_labels = change(images, labels, seed)
        for k in range(4):
            alone, label = np.zeros_like(images), np.zeros_like(labels)
            alone[..., k], label[..., k] = images[..., k], labels[..., k]
            changed, moved = change(alone, label, seed)
            rest = [i for i in range(4) if i != k]
            assert not changed[..., rest].any()  # a voxel's z never changes
            assert not moved[..., rest].any()
            if name != "contrast":  # its gamma is of the whole sample's range
                torch.testing.assert_close(changed[..., k], whole[..., k], atol=1e-4, rtol=1e-4)
                assert torch.equal(moved[..., k], whole_labels[..., k])


@pytest.mark.parametrize("name", ["affine", "elastic", "blur", "sharpness", "coarse"])
def test_in_3d_slices_do_reach_each_other(name: str) -> None:
    rng = np.random.default_rng(2)
    images = rng.normal(5, 1, (4, 24, 24, 8)).astype(np.float32)
    other = images.copy()
    other[..., 4] += 9
    labels = np.zeros((24, 24, 8), np.uint8)
    change = augmentation(_only(name))
    reached = (change(images, labels, 1)[0] != change(other, labels, 1)[0]).any(dim=(0, 1, 2))
    assert reached.sum() > 1


@pytest.mark.parametrize("name", ["blur", "sharpness", "coarse"])
def test_a_sample_of_two_slices_keeps_its_brightness(name: str) -> None:
    images = np.ones((4, 32, 32, 2), np.float32)
    images[..., 1] = 3
    changed, _ = augmentation(_only(name), planar=True)(images, np.zeros((32, 32, 2), np.uint8), 5)
    inside = changed[:, 10:-10, 10:-10]
    torch.testing.assert_close(
        inside, torch.from_numpy(images)[:, 10:-10, 10:-10], atol=0.01, rtol=0
    )
