"""Counting voxels, and the ratios of the counts."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from minicube import InputError
from minicube.evaluation import CLASSES, Counts, EmptyPolicy, confusion
from minicube.scans import NETWORK_SCHEME, LabelMap, LabelScheme, Region, Tissue

PREDICTIONS = Path(__file__).parents[2] / "shared" / "data" / "predictions"
NETWORKS = ("baseline_attention", "baseline_no_attention", "waveloss_attention")

# Schemes that tell exactly the network's tissues apart, so that conversion loses nothing.
EQUIVALENT = (LabelScheme.DECATHLON, LabelScheme.BRATS2021, LabelScheme.BRATS2023)

small_maps = arrays(np.uint8, (3, 4, 2), elements=st.integers(0, 3))


def network_map(array: NDArray[np.uint8]) -> LabelMap:
    return LabelMap(array, NETWORK_SCHEME)


def test_counts_equal_those_made_by_hand() -> None:
    # Decathlon: 1 oedema, 2 non-enhancing, 3 enhancing.
    found = network_map(np.array([0, 0, 1, 1, 2, 3, 3, 3], np.uint8))
    truth = network_map(np.array([0, 1, 1, 2, 2, 2, 3, 0], np.uint8))
    counted = confusion(found, truth)
    assert counted.matrix.tolist() == [[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0], [1, 0, 1, 1]]
    assert counted.tissue(Tissue.BACKGROUND) == Counts(tp=1, fp=1, fn=1, tn=5)
    assert counted.tissue(Tissue.OEDEMA) == Counts(tp=1, fp=1, fn=1, tn=5)
    assert counted.tissue(Tissue.CORE) == Counts(tp=1, fp=0, fn=2, tn=5)
    assert counted.tissue(Tissue.ENHANCING) == Counts(tp=1, fp=2, fn=0, tn=5)
    assert counted.region(Region.WT) == Counts(tp=5, fp=1, fn=1, tn=1)
    assert counted.region(Region.TC) == Counts(tp=3, fp=1, fn=1, tn=3)
    assert counted.region(Region.ET) == counted.tissue(Tissue.ENHANCING)
    assert counted.notes == ()


def test_ratios_equal_those_made_by_hand() -> None:
    counts = Counts(tp=6, fp=2, fn=4, tn=88)
    assert counts.precision == 0.75
    assert counts.recall == 0.6
    assert counts.dice == pytest.approx(2 / 3)
    assert counts.iou == 0.5
    assert counts.reference == 10
    assert counts.predicted == 8


def test_nothing_divided_by_nothing_is_none() -> None:
    nothing = Counts(tp=0, fp=0, fn=0, tn=9)
    assert nothing.precision is nothing.recall is nothing.dice is nothing.iou is None
    missed = Counts(tp=0, fp=0, fn=3, tn=6)
    assert missed.precision is None
    assert (missed.recall, missed.dice, missed.iou) == (0, 0, 0)


@pytest.mark.parametrize(
    ("counts", "usual", "strict"),
    [
        (Counts(0, 0, 0, 9), 1.0, None),
        (Counts(0, 3, 0, 6), 0.0, 0.25),
        (Counts(0, 0, 3, 6), 0.0, 0.0),
        (Counts(3, 0, 0, 6), 1.0, 1.0),
    ],
)
def test_policy_speaks_only_where_the_reference_is_empty(
    counts: Counts, usual: float | None, strict: float | None
) -> None:
    assert EmptyPolicy().settle(counts, counts.dice) == usual
    other = EmptyPolicy(both_empty=None, false_alarm=0.25)
    assert other.settle(counts, counts.dice) == strict


def test_policy_says_what_it_does() -> None:
    assert "1 when the prediction has none either, 0 when it has some" in EmptyPolicy().words()
    assert "left out when the prediction has none" in EmptyPolicy(both_empty=None).words()
    assert EmptyPolicy(None, 0.5).to_dict() == {"both_empty": None, "false_alarm": 0.5}


def test_a_lossy_conversion_is_told_in_words() -> None:
    cavity = LabelMap(np.array([0, 1, 2, 3, 4, 4], np.uint8), LabelScheme.BRATS2024)
    whole = LabelMap(np.array([0, 1, 2, 3, 0, 2], np.uint8), LabelScheme.BRATS2023)
    counted = confusion(cavity, whole)
    (note,) = counted.notes
    assert note.startswith("prediction: resection cavity (value 4) becomes background")
    assert counted.region(Region.WT) == Counts(tp=3, fp=0, fn=1, tn=2)
    assert confusion(whole, cavity).notes == (note.replace("prediction", "reference"),)
    assert (counted + counted).notes == (note,)


def test_different_shapes_are_refused_in_words() -> None:
    small, large = (network_map(np.zeros(shape, np.uint8)) for shape in ((4, 5, 6), (4, 5, 7)))
    with pytest.raises(InputError, match="same number of voxels") as caught:
        confusion(small, large)
    assert "4 × 5 × 7" in caught.value.expected
    assert "4 × 5 × 6" in caught.value.found


@given(small_maps, small_maps)
def test_every_voxel_is_counted_once(found: NDArray[np.uint8], truth: NDArray[np.uint8]) -> None:
    counted = confusion(network_map(found), network_map(truth))
    everything = [counted.tissue(t) for t in CLASSES] + [counted.region(r) for r in Region]
    for counts in everything:
        assert counts.tp + counts.fp + counts.fn + counts.tn == found.size
        for ratio in (counts.precision, counts.recall, counts.dice, counts.iou):
            assert ratio is None or 0 <= ratio <= 1


@given(small_maps, small_maps)
def test_dice_and_iou_do_not_care_which_is_the_reference(
    found: NDArray[np.uint8], truth: NDArray[np.uint8]
) -> None:
    one = confusion(network_map(found), network_map(truth))
    other = confusion(network_map(truth), network_map(found))
    for region in Region:
        here, there = one.region(region), other.region(region)
        assert (here.dice, here.iou) == (there.dice, there.iou)
        assert (here.precision, here.recall) == (there.recall, there.precision)


@given(small_maps)
def test_a_map_agrees_with_itself(labels: NDArray[np.uint8]) -> None:
    counted = confusion(network_map(labels), network_map(labels))
    for counts in [counted.tissue(t) for t in CLASSES] + [counted.region(r) for r in Region]:
        assert counts.fp == counts.fn == 0
        assert counts.dice == (1 if counts.reference else None)


@given(small_maps, small_maps, st.sampled_from(EQUIVALENT), st.sampled_from(EQUIVALENT))
def test_schemes_do_not_change_the_counts(
    found: NDArray[np.uint8],
    truth: NDArray[np.uint8],
    found_scheme: LabelScheme,
    truth_scheme: LabelScheme,
) -> None:
    plain = confusion(network_map(found), network_map(truth))
    mixed = confusion(network_map(found).to(found_scheme), network_map(truth).to(truth_scheme))
    assert np.array_equal(plain.matrix, mixed.matrix)
    assert mixed.notes == ()


@given(small_maps, small_maps)
def test_memory_order_does_not_matter(found: NDArray[np.uint8], truth: NDArray[np.uint8]) -> None:
    plain = confusion(network_map(found), network_map(truth))
    turned = confusion(network_map(np.asfortranarray(found)), network_map(truth))
    assert np.array_equal(plain.matrix, turned.matrix)


@pytest.mark.parametrize("network", NETWORKS)
def test_real_predictions_agree_with_masks_counted_one_by_one(network: str) -> None:
    if not PREDICTIONS.is_dir():
        pytest.skip("the predictions of shared/data are not present")
    found = _labels(PREDICTIONS / network / "BraTS20_Training_002.nii.gz")
    truth = _labels(PREDICTIONS / "reference" / "002.nii.gz")
    counted = confusion(
        LabelMap(found, LabelScheme.BRATS2021), LabelMap(truth, LabelScheme.BRATS2021)
    )
    for region, values in {Region.WT: (1, 2, 4), Region.TC: (1, 4), Region.ET: (4,)}.items():
        p, r = np.isin(found, values), np.isin(truth, values)
        dice = 2 * np.sum(p & r) / (np.sum(p) + np.sum(r))
        assert counted.region(region).dice == pytest.approx(dice)
        assert counted.region(region).tp == np.sum(p & r)
        assert counted.region(region).fp == np.sum(p & ~r)
        assert counted.region(region).fn == np.sum(~p & r)


def _labels(path: Path) -> NDArray[np.uint8]:
    image = nib.Nifti1Image.from_filename(path)
    return np.asarray(image.dataobj).astype(np.uint8)
