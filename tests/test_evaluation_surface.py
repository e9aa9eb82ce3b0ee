"""Surface distances: HD95, surface Dice, and what they are where there is no surface."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from minicube import InputError
from minicube.evaluation import (
    BRATS_SURFACES,
    UNDEFINED_LEFT_OUT,
    EmptyScores,
    SurfacePolicy,
    SurfaceScore,
    evaluate_case,
    mask_distances,
    summarise,
    surface_distances,
    surface_scores,
)
from minicube.scans import NETWORK_SCHEME, LabelMap, LabelScheme, Region, Tissue

UNIT = (1.0, 1.0, 1.0)
SHAPE = (5, 6, 4)

small_masks = arrays(np.bool_, SHAPE)
small_maps = arrays(np.uint8, SHAPE, elements=st.integers(0, 3))
spacings = st.tuples(*[st.sampled_from((0.5, 0.7, 1.0, 1.2, 3.0))] * 3)


def network_map(array: NDArray[np.uint8]) -> LabelMap:
    return LabelMap(array, NETWORK_SCHEME)


def enhancing(mask: NDArray[np.bool_]) -> LabelMap:
    return network_map(mask.astype(np.uint8) * np.uint8(3))


def cube(start: int, side: int, size: int = 16) -> NDArray[np.bool_]:
    mask = np.zeros((size, size, size), np.bool_)
    mask[start : start + side, 4 : 4 + side, 4 : 4 + side] = True
    return mask


def surface_by_definition(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Voxels with a face neighbour outside the mask; what is outside the array is outside."""
    padded = np.pad(mask, 1)
    found = []
    for voxel in np.argwhere(padded):
        beside = [
            padded[tuple(voxel + step)] for step in (*np.eye(3, dtype=int), *-np.eye(3, dtype=int))
        ]
        if not all(beside):
            found.append(voxel - 1)
    return np.array(found, np.int64).reshape(-1, 3)


def distances_by_definition(
    start: NDArray[np.bool_], goal: NDArray[np.bool_], spacing: tuple[float, float, float]
) -> NDArray[np.float64]:
    one, other = surface_by_definition(start) * spacing, surface_by_definition(goal) * spacing
    if not len(other):
        return np.full(len(one), np.inf)
    apart = np.linalg.norm(one[:, None] - other[None], axis=2)
    return np.asarray(apart.min(axis=1) if len(one) else np.zeros(0))


@settings(max_examples=60)
@given(small_masks, small_masks, spacings)
def test_distances_are_those_of_the_definition(
    found: NDArray[np.bool_], truth: NDArray[np.bool_], spacing: tuple[float, float, float]
) -> None:
    measured = mask_distances(found, truth, spacing)
    expected = distances_by_definition(found, truth, spacing)
    np.testing.assert_allclose(np.sort(measured.predicted), np.sort(expected), rtol=1e-6)
    expected = distances_by_definition(truth, found, spacing)
    np.testing.assert_allclose(np.sort(measured.reference), np.sort(expected), rtol=1e-6)


@settings(max_examples=40)
@given(small_maps, small_maps, spacings)
def test_all_parts_at_once_are_the_parts_one_by_one(
    found: NDArray[np.uint8], truth: NDArray[np.uint8], spacing: tuple[float, float, float]
) -> None:
    maps = network_map(found), network_map(truth)
    together = surface_distances(*maps, spacing)
    assert list(together) == [Tissue.OEDEMA, Tissue.CORE, Tissue.ENHANCING, *Region]
    for part, distances in together.items():
        masks = [m.region(part) if isinstance(part, Region) else m.tissue(part) for m in maps]
        alone = mask_distances(masks[0], masks[1], spacing)
        for one, other in (
            (distances.predicted, alone.predicted),
            (distances.reference, alone.reference),
        ):
            np.testing.assert_allclose(np.sort(one), np.sort(other), rtol=1e-6)


@given(small_maps, small_maps)
def test_scheme_direction_and_memory_order_do_not_matter(
    found: NDArray[np.uint8], truth: NDArray[np.uint8]
) -> None:
    maps = network_map(found), network_map(truth)
    plain = surface_scores(*maps, Region.TC, (1.0, 2.0, 3.0))
    others = maps[0].to(LabelScheme.BRATS2021), maps[1].to(LabelScheme.BRATS2023)
    assert surface_scores(*others, Region.TC, (1.0, 2.0, 3.0)) == plain
    one, other = (LabelMap(np.asfortranarray(m.array)[::-1, :, ::-1], m.scheme) for m in maps)
    again = surface_scores(one, other, Region.TC, (1.0, 2.0, 3.0))
    assert (again.hd95, again.nsd) == pytest.approx((plain.hd95, plain.nsd))


@given(small_masks, small_masks)
def test_it_does_not_matter_which_is_the_reference(
    found: NDArray[np.bool_], truth: NDArray[np.bool_]
) -> None:
    one, other = mask_distances(found, truth, UNIT), mask_distances(truth, found, UNIT)
    if one.defined:
        assert one.hd95() == other.hd95()
        assert one.nsd(1.0) == other.nsd(1.0)
        assert one.hd95(pooled=True) == pytest.approx(other.hd95(pooled=True))


@given(small_masks.filter(np.any))
def test_a_mask_agrees_with_itself(mask: NDArray[np.bool_]) -> None:
    same = mask_distances(mask, mask, UNIT)
    assert (same.hd95(), same.nsd(0.0)) == (0, 1)


def test_two_cubes_apart_are_as_far_as_made() -> None:
    # Cubes of 3³ moved by 4 along x. Of the 26 voxels of a surface 9 are in each of its outer
    # layers and 8 in the middle one; their distances are 4, 3 and 2.
    moved = mask_distances(cube(2, 3), cube(6, 3), (2.0, 1.0, 1.0))
    assert sorted(moved.predicted) == [4.0] * 9 + [6.0] * 8 + [8.0] * 9
    assert moved.hd95() == 8.0
    assert moved.nsd(4.0) == pytest.approx(18 / 52)
    assert moved.nsd(3.9) == 0.0
    assert moved.nsd(8.0) == 1.0


def test_hd95_forgives_five_percent_and_takes_the_worse_direction() -> None:
    line = np.zeros((60, 3, 3), np.bool_)
    line[:20, 1, 1] = True
    longer = line.copy()
    longer[40, 1, 1] = True
    # The far voxel is at 21 mm, one of 21 of its surface: position 19 of 0..20 is the 95th.
    far = mask_distances(longer, line, UNIT)
    assert far.predicted.max() == 21.0
    assert far.hd95() == pytest.approx(0.0)
    longer[41, 1, 1] = True
    # Now 22: the 95th percentile is at 19.95, between the last 0 and 21.
    far = mask_distances(longer, line, UNIT)
    assert far.hd95() == pytest.approx(0.95 * 21)
    assert far.reference.max() == 0.0
    assert far.hd95(pooled=True) < far.hd95()


def test_the_edge_of_the_scan_is_a_surface() -> None:
    everything = np.ones((5, 5, 5), np.bool_)
    inner = np.zeros_like(everything)
    inner[1:-1, 1:-1, 1:-1] = True
    distances = mask_distances(everything, inner, UNIT)
    assert distances.predicted.size == 5**3 - 3**3
    assert distances.predicted.min() == 1.0


def test_a_spacing_rounded_in_a_header_decides_nothing() -> None:
    # What a float32 affine makes of 1 mm.
    beside = mask_distances(cube(2, 1), cube(3, 1), (1.0000001, 1.0, 1.0))
    assert beside.predicted.tolist() == pytest.approx([1.0000001])
    assert beside.nsd(1.0) == 1.0
    assert mask_distances(cube(2, 1), cube(3, 1), (1.01, 1.0, 1.0)).nsd(1.0) == 0.0


EMPTY, FULL = np.zeros((4, 4, 4), np.bool_), np.ones((4, 4, 4), np.bool_)


@pytest.mark.parametrize(
    ("found", "truth", "brats", "left_out", "own"),
    [
        (EMPTY, EMPTY, (0.0, 1.0), (None, None), (1.0, 0.25)),
        (FULL, EMPTY, (374.0, 0.0), (None, 0.0), (2.0, 0.5)),
        (EMPTY, FULL, (374.0, 0.0), (None, 0.0), (3.0, 0.75)),
        (FULL, FULL, (0.0, 1.0), (0.0, 1.0), (0.0, 1.0)),
    ],
    ids=["both empty", "false alarm", "missed", "neither"],
)
def test_the_policy_speaks_only_where_a_mask_is_empty(
    found: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    brats: tuple[float, float],
    left_out: tuple[float | None, float | None],
    own: tuple[float, float],
) -> None:
    maps = enhancing(found), enhancing(truth)
    mine = SurfacePolicy(EmptyScores(1.0, 2.0, 3.0), EmptyScores(0.25, 0.5, 0.75))
    assert surface_scores(*maps, Region.ET, UNIT) == SurfaceScore(*brats)
    policies = {UNDEFINED_LEFT_OUT: left_out, mine: own}
    for policy, expected in policies.items():
        assert surface_scores(*maps, Region.ET, UNIT, policy=policy) == SurfaceScore(*expected)


def test_the_tolerance_given_goes_before_the_policys() -> None:
    maps = enhancing(cube(2, 3)), enhancing(cube(4, 3))
    wide = SurfacePolicy(BRATS_SURFACES.hd95, BRATS_SURFACES.nsd, tolerance=2.0)
    usual = surface_scores(*maps, Region.ET, UNIT).nsd
    assert surface_scores(*maps, Region.ET, UNIT, policy=wide).nsd == 1.0
    assert surface_scores(*maps, Region.ET, UNIT, 1.0, policy=wide).nsd == usual
    assert usual is not None
    assert usual < 1.0


def test_the_policy_says_what_it_does() -> None:
    words = BRATS_SURFACES.words()
    assert "HD95: 0 mm when both are empty, 374 mm for a false alarm, 374 mm when missed" in words
    assert "NSD at 1 mm: 1 when both are empty" in words
    assert "left out when both are empty" in UNDEFINED_LEFT_OUT.words()
    assert BRATS_SURFACES.to_dict()["hd95"]["missed"] == 374.0


def test_what_cannot_be_measured_is_refused_in_words() -> None:
    flat = network_map(np.zeros((4, 4), np.uint8))
    solid = network_map(np.zeros((4, 4, 4), np.uint8))
    with pytest.raises(InputError, match="3-D"):
        surface_distances(flat, flat, UNIT)
    for spacing in ((1.0, 1.0, 0.0), (1.0, -1.0, 1.0), (1.0, math.nan, 1.0)):
        with pytest.raises(InputError, match="spacing"):
            surface_distances(solid, solid, spacing)
    with pytest.raises(InputError, match="same number of voxels"):
        surface_distances(solid, network_map(np.zeros((4, 4, 5), np.uint8)), UNIT)
    nothing = mask_distances(EMPTY, FULL, UNIT)
    assert not nothing.defined
    with pytest.raises(InputError, match="no 95 % Hausdorff distance"):
        nothing.hd95()
    with pytest.raises(InputError, match="no surface Dice"):
        nothing.nsd(1.0)
    with pytest.raises(InputError, match="tolerance"):
        SurfacePolicy(BRATS_SURFACES.hd95, BRATS_SURFACES.nsd, tolerance=-1.0)


def test_scores_of_a_case_hold_surfaces_only_when_asked() -> None:
    maps = enhancing(cube(2, 3)), enhancing(cube(4, 3))
    plain = evaluate_case(*maps, identity="one").to_dict()
    assert "hd95" not in plain["regions"]["WT"]
    case = evaluate_case(*maps, identity="one", spacing=UNIT, surfaces=BRATS_SURFACES)
    assert case.to_dict()["regions"]["WT"]["hd95"] == 2.0
    assert case.to_dict()["classes"]["oedema"]["hd95"] == 0.0
    assert "hd95" not in case.to_dict()["classes"]["background"]
    with pytest.raises(InputError, match="spacing"):
        evaluate_case(*maps, identity="one", surfaces=BRATS_SURFACES)


def test_the_summary_has_mean_median_interval_and_policy() -> None:
    truth = enhancing(cube(2, 3))
    cases = [
        evaluate_case(
            enhancing(found), truth, identity=str(i), spacing=UNIT, surfaces=BRATS_SURFACES
        )
        for i, found in enumerate((cube(2, 3), cube(3, 3), cube(5, 3), np.zeros_like(cube(0, 1))))
    ]
    summary = summarise(cases).to_dict()
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    et = summary["regions"]["ET"]
    assert et["hd95"]["n"] == 4
    assert et["hd95"]["mean"] == pytest.approx((0 + 1 + 3 + 374) / 4)
    assert et["hd95"]["median"] == 2.0
    low, high = et["dice"]["interval"]
    assert 0 <= low < et["dice"]["mean"] < high <= 1
    assert summary["surface_policy"]["tolerance_mm"] == 1.0
    with pytest.raises(InputError, match="one policy"):
        summarise([cases[0], evaluate_case(truth, truth, identity="counts only")])
    left_out = [
        evaluate_case(
            enhancing(EMPTY), enhancing(EMPTY), identity="none", spacing=UNIT, surfaces=policy
        )
        for policy in (UNDEFINED_LEFT_OUT,)
    ]
    assert summarise(left_out).to_dict()["regions"]["ET"]["hd95"] == {
        "n": 0,
        "mean": None,
        "median": None,
    }
