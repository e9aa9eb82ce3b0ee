"""The seam score: label changes at the faces of minicubes against those beside them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from minicube.engines import Cut
from minicube.scans import NETWORK_SCHEME, LabelMap
from minicube.study.seams import SeamCounts, count_seams
from minicube.volumes import Shape


def _map(array: NDArray[np.integer]) -> LabelMap:
    return LabelMap(array.astype(np.uint8), NETWORK_SCHEME)


def _ball(shape: Shape, radii: tuple[float, ...], middle: tuple[float, ...]) -> NDArray[np.uint8]:
    grid = np.indices(shape)
    squares = [(grid[axis] - middle[axis]) ** 2 for axis in range(3)]
    distance = np.sqrt(sum(squares[1:], squares[0]))
    labels = np.zeros(shape, np.uint8)
    for value, radius in enumerate(radii, start=1):
        labels[distance < radius] = value
    return labels


def test_a_box_that_ends_at_the_face_is_counted_by_hand() -> None:
    # One cut along x, at 20. Tumour in x < 20, y < 3, z < 2: all 6 pairs across the face differ.
    labels = np.zeros((40, 6, 5), np.uint8)
    labels[:20, :3, :2] = 1
    counts = count_seams(_map(labels), Cut((20, 6, 5)))
    assert (counts.at_faces, counts.differing_at_faces) == (6, 6)
    # Nine planes before the face, all inside the tumour; nine behind it, without any.
    assert (counts.inside, counts.differing_inside) == (9 * 6, 0)
    assert counts.rate_at_faces == 1
    assert counts.rate_inside == 0
    assert counts.ratio is None  # nothing to compare with


def test_each_axis_and_each_label_counts() -> None:
    # A frame of 48 = 3 · 16 around 48: faces at 16 and 32 along z alone.
    labels = np.zeros((4, 4, 48), np.uint8)
    labels[1, 2, 10:16] = 1  # ends at the first face: 1 pair there, 1 differs
    labels[1, 2, 16:30] = 2  # changes there; ends between 29 and 30, two planes before the second
    labels[3, 0, 31:33] = 3  # across the second face: 1 pair, none differs
    counts = count_seams(_map(labels), Cut((4, 4, 16)))
    assert (counts.at_faces, counts.differing_at_faces) == (2, 1)
    # Planes 4 to 12 voxels beside 16: 4 … 12 and 20 … 28; beside 32: 20 … 28 and 36 … 44.
    # Pairs with tumour: planes 10, 11, 12 (of which 10 differs), then 20 … 28 twice.
    assert (counts.inside, counts.differing_inside) == (3 + 18, 1)
    assert counts.ratio == pytest.approx((1 / 2) / (1 / 21))


def test_faces_lie_where_the_volume_was_cut() -> None:
    # 21 voxels in parts of 16 are framed by 32: 5 voxels before, 6 behind; the face lies at 11.
    labels = np.ones((21, 16, 16), np.uint8)
    for plane in range(1, 21):
        labels[:] = 1
        labels[:plane] = 2
        counts = count_seams(_map(labels), Cut((16, 16, 16)))
        assert counts.at_faces == 16 * 16
        assert (counts.differing_at_faces > 0) is (plane == 11)
        beside = 4 <= abs(plane - 11) <= 12
        assert (counts.differing_inside > 0) is beside


def test_a_volume_of_one_part_has_no_faces() -> None:
    counts = count_seams(_map(np.ones((12, 12, 12), np.uint8)), Cut((16, 16, 16)))
    assert counts == SeamCounts()
    assert counts.rate_at_faces is None
    assert counts.ratio is None


def test_no_tumour_is_no_pair() -> None:
    assert count_seams(_map(np.zeros((32, 32, 32), np.uint8)), Cut((16, 16, 16))) == SeamCounts()


def test_context_moves_no_face() -> None:
    labels = _map(np.random.default_rng(0).integers(0, 4, (24, 24, 24)))
    assert count_seams(labels, Cut((8, 8, 8), 6)) == count_seams(labels, Cut((8, 8, 8)))


@pytest.mark.parametrize("seed", range(3))
def test_labels_without_seams_score_about_one(seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 4, (48, 48, 48))
    ratio = count_seams(_map(noise), Cut((24, 24, 24))).ratio
    assert ratio == pytest.approx(1, abs=0.02)


def test_balls_anywhere_score_about_one_and_halves_that_slipped_more() -> None:
    rng = np.random.default_rng(4)
    whole, slipped = SeamCounts(), SeamCounts()
    cut = Cut((32, 32, 32))
    for x in range(8, 57):  # a ball on its way through the face at 32, and past all planes beside
        labels = _ball((64, 32, 32), (10.0, 7.0, 4.0), (x + rng.uniform(), 16, 16))
        whole += count_seams(_map(labels), cut)
        labels[32:] = np.roll(labels[32:], 3, axis=1)
        slipped += count_seams(_map(labels), cut)
    assert whole.ratio == pytest.approx(1, abs=0.05)
    assert whole.ratio is not None
    assert slipped.ratio is not None
    assert slipped.ratio > 2 * whole.ratio
    assert slipped.inside == whole.inside  # slipping changes nothing away from the face
    assert slipped.differing_inside == whole.differing_inside


@given(
    shape=st.tuples(*[st.integers(1, 30)] * 3),
    minicube=st.tuples(*[st.integers(2, 20)] * 3),
    seed=st.integers(0, 99),
    values=st.integers(0, 3),
)
@settings(deadline=None, max_examples=60)
def test_counts_are_counts(shape: Shape, minicube: Shape, seed: int, values: int) -> None:
    labels = np.random.default_rng(seed).integers(0, values + 1, shape)
    counts = count_seams(_map(labels), Cut(minicube))
    assert 0 <= counts.differing_at_faces <= counts.at_faces
    assert 0 <= counts.differing_inside <= counts.inside
    mirrored = np.ascontiguousarray(labels.transpose(2, 1, 0))
    turned = count_seams(_map(mirrored), Cut((minicube[2], minicube[1], minicube[0])))
    assert turned == counts
    assert counts + counts == SeamCounts(
        2 * counts.at_faces,
        2 * counts.differing_at_faces,
        2 * counts.inside,
        2 * counts.differing_inside,
    )
