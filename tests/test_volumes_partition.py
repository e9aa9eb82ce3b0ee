"""Cutting and putting together loses nothing, for any sizes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicube import InputError
from minicube.scans import LabelMap, LabelScheme
from minicube.volumes import (
    REPORT_MINICUBE,
    REPORT_REGION,
    Box,
    ContextPlacement,
    composite,
    concatenate,
    partition,
    region_around,
)

sizes = st.tuples(*[st.integers(1, 13)] * 3)


@given(shape=sizes, minicube=sizes, context=st.integers(0, 4), seed=st.integers(0, 9))
@settings(deadline=None, max_examples=60)
def test_cores_of_windows_concatenate_to_the_volume(
    shape: tuple[int, int, int], minicube: tuple[int, int, int], context: int, seed: int
) -> None:
    volume = np.random.default_rng(seed).integers(0, 255, (2, *shape), np.uint8)
    parts = partition(shape, minicube, context=2 * context)
    cores = []
    for part in parts:
        window = part.window.cut(volume)
        assert window.shape[1:] == part.window.shape
        cores.append(part.core.relative_to(part.window.start).cut(window))
    assert np.array_equal(concatenate(cores, parts), volume)


@given(shape=sizes, minicube=sizes)
@settings(deadline=None)
def test_every_voxel_is_answered_for_exactly_once(
    shape: tuple[int, int, int], minicube: tuple[int, int, int]
) -> None:
    hits = np.zeros(shape, int)
    for part in partition(shape, minicube):
        hits[part.core.slices] += 1
    assert (hits == 1).all()


def test_box_outside_the_volume_is_padded_with_zeros() -> None:
    volume = np.ones((3, 3, 3), np.float32)
    cut = Box((-2, 1, 3), (2, 5, 6)).cut(volume)
    assert cut.shape == (4, 4, 3)
    assert cut.sum() == 0  # z starts where the volume ends
    cut = Box((-2, 1, 0), (2, 5, 3)).cut(volume)
    assert cut.sum() == 2 * 2 * 3
    assert cut[2:, :2].all()


@pytest.mark.parametrize(
    ("placement", "first", "last"),
    [
        (ContextPlacement.BOTH_SIDES, ((-10, -10, -10), (106, 106, 90)), (202, 202, 170)),
        (ContextPlacement.INNER_FACE, ((0, 0, 0), (116, 116, 100)), (192, 192, 160)),
    ],
)
def test_report_preset_gives_its_eight_windows(
    placement: ContextPlacement,
    first: tuple[tuple[int, int, int], tuple[int, int, int]],
    last: tuple[int, int, int],
) -> None:
    parts = partition(REPORT_REGION, REPORT_MINICUBE, context=20, placement=placement)
    assert len(parts) == 8
    assert {part.core.shape for part in parts} == {(96, 96, 80)}
    assert {part.window.shape for part in parts} == {(116, 116, 100)}
    assert (parts[0].window.start, parts[0].window.stop) == first
    assert parts[-1].window.stop == last


def test_context_that_cannot_be_placed_is_refused() -> None:
    with pytest.raises(InputError, match="even"):
        partition((8, 8, 8), (4, 4, 4), context=3)
    with pytest.raises(InputError, match="cut in two"):
        partition((9, 9, 9), (3, 3, 3), context=2, placement=ContextPlacement.INNER_FACE)
    with pytest.raises(InputError, match="at least one voxel"):
        partition((8, 8, 8), (0, 4, 4))


def test_report_crop_and_back_is_identity_for_labels_inside() -> None:
    brains = []
    for shift in (0, 6):
        brain = np.zeros((240, 240, 155), bool)
        brain[40 + shift : 180 + shift, 30:210, 3:150] = True
        brains.append(brain)
    together = composite(brains)
    assert together.sum() > brains[0].sum()
    region = region_around(together)
    assert region.box.shape == REPORT_REGION
    assert region.left_out(together) == 0
    labels = LabelMap(together.astype(np.uint8), LabelScheme.DECATHLON)
    cropped = LabelMap(region.crop(labels.array), labels.scheme)
    assert cropped.array.shape == REPORT_REGION  # 155 slices are padded to 160
    assert np.array_equal(region.decrop(cropped).array, labels.array)


def test_brain_outside_the_region_is_counted() -> None:
    brain = np.zeros((240, 240, 155), bool)
    brain[40:180, 30:210, 3:150] = True
    region = region_around(brain)
    assert region.warning(brain) is None
    brain[0, 0, :5] = True
    assert region.left_out(brain) == 5
    assert (region.warning(brain) or "").startswith("5 voxels of the brain")


def test_composite_wants_one_grid() -> None:
    with pytest.raises(InputError, match="one shape"):
        composite([np.zeros((2, 2, 2), bool), np.zeros((2, 2, 3), bool)])
