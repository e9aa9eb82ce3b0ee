"""CarveMix: the tumour comes along with what is around it, and nothing of a head it is not in."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minicube.training.carving import Window, carved

HEAD, DONOR = 1.0, 5.0
N = 20


def window(value: float, tumour: slice | None = None) -> Window:
    images = np.full((4, N, N, N), value, np.float32)
    labels = np.zeros((N, N, N), np.uint8)
    if tumour is not None:
        labels[tumour, tumour, tumour] = 2
    return images, labels


@given(seed=st.integers(0, 2**32 - 1), has=st.booleans())
def test_a_voxel_is_of_one_of_the_two_or_between(seed: int, has: bool) -> None:
    head = window(HEAD, slice(0, 3) if has else None)
    donor = window(DONOR, slice(6, 15))
    images, labels = carved(head, donor, np.random.default_rng(seed))
    assert images.min() >= HEAD
    assert images.max() <= DONOR
    centre = N // 2
    assert labels[centre, centre, centre] == 2
    assert (images[:, centre, centre, centre] == DONOR).all()
    assert (images[:, -1, -1, -1] == HEAD).all()  # a tumour 4 deep brings at most as much along
    of_donor = images[0] > (HEAD + DONOR) / 2
    assert np.array_equal(labels[of_donor], donor[1][of_donor])
    of_head = images[0] < (HEAD + DONOR) / 2
    assert np.array_equal(labels[of_head], head[1][of_head])


def test_thresholds_reach_into_the_tumour_and_around_it() -> None:
    sizes = []
    for seed in range(40):
        images, _ = carved(window(HEAD), window(DONOR, slice(6, 15)), np.random.default_rng(seed))
        sizes.append(int((images[0] > 3).sum()))
    assert min(sizes) < 0.6 * 9**3
    assert max(sizes) > 2 * 9**3


def test_nothing_comes_outside_the_brain() -> None:
    head, donor = window(HEAD), window(DONOR, slice(6, 15))
    head[0][:, :10] = 0
    donor[0][:, :, :10] = 0
    images, labels = carved(head, donor, np.random.default_rng(1))
    assert not images[:, :10].any()
    assert not labels[:10].any()
    assert (images[:, 12, :9] == HEAD).all()  # the donor has no brain there to give


def test_a_sequence_that_either_lacks_is_missing() -> None:
    head, donor = window(HEAD), window(DONOR, slice(6, 15))
    head[0][0] = 0
    donor[0][3] = 0
    images, labels = carved(head, donor, np.random.default_rng(2))
    assert [bool(image.any()) for image in images] == [False, True, True, False]
    assert labels.any()
    head[0][1:3] = 0
    assert carved(head, donor, np.random.default_rng(2)) is head


def test_no_tumour_leaves_the_head_as_it_is() -> None:
    head = window(HEAD, slice(2, 5))
    assert carved(head, window(DONOR), np.random.default_rng(0)) is head


def test_a_window_of_nothing_but_tumour_is_taken_whole() -> None:
    for seed in range(4):
        donor = window(DONOR, slice(None))
        images, labels = carved(window(HEAD), donor, np.random.default_rng(seed))
        assert np.array_equal(images, donor[0])
        assert np.array_equal(labels, donor[1])
