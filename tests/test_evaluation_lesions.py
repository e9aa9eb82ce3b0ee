"""Lesion by lesion: what is one lesion, what is found, what it costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import ndimage

from minicube import InputError
from minicube.evaluation import (
    BRATS2023_LESIONS,
    BRATS2026_LESIONS,
    LesionRule,
    LesionScore,
    evaluate_case,
    lesion_scores,
    mask_distances,
    summarise,
    surface_scores,
)
from minicube.scans import NETWORK_SCHEME, LabelMap, LabelScheme, Region, read_labels

DATA = Path(__file__).parent / "data" / "lesions"
UNIT = (1.0, 1.0, 1.0)
SHAPE = (36, 24, 20)
EVERY_LESION = replace(BRATS2023_LESIONS, minimum=0.0)

Mask = NDArray[np.bool_]


def scored(
    found: Mask,
    truth: Mask,
    rule: LesionRule = BRATS2023_LESIONS,
    spacing: tuple[float, float, float] = UNIT,
) -> LesionScore:
    one, other = (
        LabelMap(m.astype(np.uint8) * np.uint8(3), NETWORK_SCHEME) for m in (found, truth)
    )
    return lesion_scores(one, other, Region.ET, spacing, rule=rule)


def boxes(*corners: tuple[int, int], side: int = 4) -> Mask:
    """Cubes with a corner at (x, y, 6)."""
    mask = np.zeros(SHAPE, np.bool_)
    for x, y in corners:
        mask[x : x + side, y : y + side, 6 : 6 + side] = True
    return mask


NOTHING = boxes()


def by_description(
    found: Mask, truth: Mask, rule: LesionRule
) -> tuple[float, float, int, int, int]:
    """The BraTS 2023 rule as it is told, lesion by lesion over the whole scan."""
    around = ndimage.generate_binary_structure(3, 3)
    brush = ndimage.generate_binary_structure(3, 2)

    def grown(mask: Mask) -> Mask:
        return np.asarray(ndimage.binary_dilation(mask, brush, iterations=rule.dilation))

    parts, n_parts = ndimage.label(found, around)
    merged, n_lesions = ndimage.label(grown(truth), around)
    matched: set[int] = set()
    dice, far, missed = [], [], 0
    for i in range(1, n_lesions + 1):
        lesion = truth & (merged == i)
        mine = set(np.unique(parts[grown(lesion)]).tolist()) - {0}
        matched |= mine
        if lesion.sum() <= rule.minimum:
            continue
        against = np.isin(parts, list(mine))
        missed += not mine
        dice.append(2 * (against & lesion).sum() / (against.sum() + lesion.sum()))
        far.append(mask_distances(against, lesion, UNIT).hd95() if mine else rule.penalty)
    alarms = n_parts - len(matched)
    n = len(dice) + alarms
    if not n:
        return 1.0, 0.0, 0, 0, 0
    return sum(dice) / n, (sum(far) + alarms * rule.penalty) / n, len(dice), missed, alarms


@settings(max_examples=40, deadline=None)
@given(
    arrays(np.bool_, (7, 6, 6), elements=st.sampled_from([False] * 9 + [True])),
    arrays(np.bool_, (7, 6, 6), elements=st.sampled_from([False] * 9 + [True])),
    st.sampled_from([1, 2]),
    st.sampled_from([0.0, 2.0]),
)
def test_the_rule_as_it_is_told(found: Mask, truth: Mask, dilation: int, minimum: float) -> None:
    # Dots far enough apart that some merge and some do not.
    spread = [np.zeros((28, 24, 12), np.bool_) for _ in range(2)]
    for target, mask in zip(spread, (found, truth), strict=True):
        target[::4, ::4, ::2] = mask
        target[1::4, ::4, ::2] = mask & np.roll(mask, 1, 0)
    rule = replace(BRATS2023_LESIONS, dilation=dilation, minimum=minimum)
    ours = scored(spread[0], spread[1], rule)
    told = by_description(spread[0], spread[1], rule)
    assert (ours.lesions, ours.missed, ours.false_alarms) == told[2:]
    assert (ours.dice, ours.hd95) == pytest.approx(told[:2])


@pytest.mark.parametrize("rule", [BRATS2023_LESIONS, BRATS2026_LESIONS])
def test_nothing_anywhere_is_right(rule: LesionRule) -> None:
    nothing = np.zeros(SHAPE, np.bool_)
    score = scored(nothing, nothing, rule)
    assert (score.lesions, score.dice, score.hd95) == (0, 1, 0)


def test_one_found_one_missed_one_made_up() -> None:
    score = scored(boxes((2, 2), (28, 16)), boxes((2, 2), (16, 2)))
    assert (score.lesions, score.missed, score.false_alarms) == (2, 1, 1)
    assert score.dice == pytest.approx((1 + 0 + 0) / 3)
    assert score.hd95 == pytest.approx((0 + 374 + 374) / 3)
    assert [lesion.found for lesion in score.each] == [True, False]
    assert [lesion.volume for lesion in score.each] == [64.0, 64.0]


def test_lesions_merge_when_they_touch_once_grown() -> None:
    # Six voxels between them: 3 + 3 of dilation touch. Seven: they do not.
    near, apart = boxes((2, 2), (12, 2)), boxes((2, 2), (14, 2))
    assert scored(near, near).lesions == 1
    assert scored(apart, apart).lesions == 2
    assert scored(near, near, BRATS2026_LESIONS).lesions == 2


def test_what_lies_within_reach_is_found_and_what_does_not_is_not() -> None:
    truth = boxes((2, 2))
    # The reference ends at x = 5; grown, at x = 8.
    near, far = scored(boxes((8, 2)), truth), scored(boxes((9, 2)), truth)
    assert (near.missed, near.false_alarms) == (0, 0)
    assert (near.dice, near.each[0].found) == (0.0, True)
    assert near.hd95 == 6.0
    assert (far.missed, far.false_alarms) == (1, 1)
    assert far.hd95 == 374.0


def test_two_pieces_count_together_by_touch_and_one_by_one_to_one() -> None:
    truth = boxes((2, 2), side=7)
    pieces = boxes((2, 2), side=3) | boxes((6, 2), side=3)
    together = scored(pieces, truth)
    assert (together.missed, together.false_alarms) == (0, 0)
    assert together.dice == pytest.approx(2 * 54 / (343 + 54))
    one = scored(pieces, truth, BRATS2026_LESIONS)
    assert (one.missed, one.false_alarms) == (0, 1)
    assert one.dice == pytest.approx(2 * 27 / (343 + 27) / 2)
    assert one.hd95 == pytest.approx((one.each[0].hd95 + 373) / 2)


def test_one_to_one_takes_the_pairs_of_the_largest_sum() -> None:
    # One long component covers both lesions, a small one is inside the first: matched greedily,
    # the long one would take the first lesion and leave the second missed.
    truth = np.zeros(SHAPE, np.bool_)
    truth[2:10, 4:8, 6:10] = truth[14:18, 4:8, 6:10] = True
    found = np.zeros(SHAPE, np.bool_)
    found[4:18, 6:8, 6:10] = True
    found[3:10, 4, 6:10] = True
    score = scored(found, truth, BRATS2026_LESIONS)
    assert (score.missed, score.false_alarms) == (0, 0)
    # 28 voxels of the first lesion's 128; 32 that the second's 64 and the long one's 112 share.
    assert [m.dice for m in score.each] == pytest.approx([56 / 156, 64 / 176])


def test_small_lesions_do_not_count_but_excuse_what_was_predicted_there() -> None:
    small = boxes((2, 2), side=3)
    assert small.sum() == 27
    excused = scored(small, small)
    assert (excused.lesions, excused.false_alarms) == (0, 0)
    assert (excused.dice, excused.hd95) == (1.0, 0.0)
    assert scored(small, small, EVERY_LESION).lesions == 1
    # Volume is in mm³, and exactly at the minimum does not count.
    assert scored(small, small, spacing=(2.0, 1.0, 1.0)).lesions == 1
    exactly = replace(BRATS2023_LESIONS, minimum=27.0)
    assert scored(small, small, exactly).lesions == 0
    # A false alarm counts however small.
    assert scored(small, NOTHING).false_alarms == 1


def test_nothing_anywhere() -> None:
    score = scored(NOTHING, NOTHING)
    assert score == LesionScore(dice=1.0, hd95=0.0, lesions=0, missed=0, false_alarms=0)
    missed = scored(NOTHING, boxes((2, 2)))
    assert (missed.dice, missed.hd95, missed.missed) == (0.0, 374.0, 1)


def test_corners_connect() -> None:
    diagonal = np.zeros(SHAPE, np.bool_)
    diagonal[4:8, 4:8, 4:8] = diagonal[8:12, 8:12, 8:12] = True
    assert scored(diagonal, diagonal, BRATS2026_LESIONS).lesions == 1


def test_words_json_and_summary() -> None:
    words = BRATS2023_LESIONS.words()
    assert "3 voxels of dilation" in words
    assert "50 mm³ or less do not count" in words
    assert "HD95 374 mm" in words
    assert "one to one" in BRATS2026_LESIONS.words()
    assert "mm³" not in BRATS2026_LESIONS.words()
    found, truth = boxes((2, 2), (28, 16)), boxes((2, 2), (16, 2))
    maps = [LabelMap(m.astype(np.uint8) * np.uint8(3), NETWORK_SCHEME) for m in (found, truth)]
    cases = [
        evaluate_case(a, b, identity="one", spacing=UNIT, lesions=BRATS2023_LESIONS)
        for a, b in (maps, maps[::-1])
    ]
    lesions = cases[0].to_dict()["regions"]["ET"]["lesion_wise"]
    assert (lesions["lesions"], lesions["missed"], lesions["false_alarms"]) == (2, 1, 1)
    assert lesions["each"][0] == {"volume_mm3": 64.0, "found": True, "dice": 1.0, "hd95": 0.0}
    summary = summarise(cases).to_dict()
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary["lesion_rule"]["dilation_voxels"] == 3
    assert summary["regions"]["WT"]["lesion_wise"]["missed"] == 2
    assert summary["regions"]["WT"]["lesion_wise"]["dice"]["mean"] == pytest.approx(1 / 3)


def test_what_cannot_be_scored_is_refused_in_words() -> None:
    flat = LabelMap(np.zeros((4, 4), np.uint8), NETWORK_SCHEME)
    with pytest.raises(InputError, match="3-D"):
        lesion_scores(flat, flat, Region.ET, UNIT)
    solid = LabelMap(np.zeros((4, 4, 4), np.uint8), NETWORK_SCHEME)
    with pytest.raises(InputError, match="spacing"):
        lesion_scores(solid, solid, Region.ET, (0.0, 1.0, 1.0))
    with pytest.raises(InputError, match="same number of voxels"):
        lesion_scores(solid, flat, Region.ET, UNIT)


def test_the_command_line_shows_surfaces_lesions_and_confusion(tmp_path: Path) -> None:
    words = (
        *("--prediction", str(DATA / "prediction"), "--reference", str(DATA / "reference")),
        *("--prediction-labels", "brats2023", "--reference-labels", "brats2023"),
        *("--lesions", "--tolerance", "2", "--json", str(tmp_path / "scores.json")),
    )
    done = subprocess.run(
        [sys.executable, "-m", "minicube", "evaluate", *words],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "80"},
    )
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    for words_shown in (
        "Surfaces of each case",
        "ET lesion-wise HD95, mm",
        "95 % interval",
        "NSD at 2 mm",
        "374 mm for a false alarm",
        "Lesions of all cases",
        "Confusion matrix",
        "Rows: prediction. Columns: reference.",
    ):
        assert words_shown in done.stdout
    scores = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert scores["summary"]["surface_policy"]["tolerance_mm"] == 2.0
    et = scores["summary"]["regions"]["ET"]
    assert (et["n"], et["n_empty"], et["hd95"]["n"]) == (6, 2, 6)
    assert et["lesion_wise"]["false_alarms"] == sum(
        case["regions"]["ET"]["lesion_wise"]["false_alarms"] for case in scores["cases"]
    )
    low, high = et["hd95"]["interval"]
    assert low < et["hd95"]["mean"] < high
    # Slices of 2.5 mm: distances are in mm, not in voxels.
    thick = scores["cases"][4]["regions"]["ET"]
    found, truth = (
        read_labels(DATA / role / "lesions-00005-000.nii.gz", LabelScheme.BRATS2023)[0]
        for role in ("prediction", "reference")
    )
    in_mm = surface_scores(found, truth, Region.ET, (1.0, 1.0, 2.5), 2.0)
    assert (thick["hd95"], thick["nsd"]) == pytest.approx((in_mm.hd95, in_mm.nsd))
    assert in_mm.hd95 != surface_scores(found, truth, Region.ET, UNIT, 2.0).hd95


def test_one_case_is_shown_in_full() -> None:
    file = "lesions-00001-000.nii.gz"
    words = (
        *("--prediction", str(DATA / "prediction" / file)),
        *("--reference", str(DATA / "reference" / file)),
        *("--prediction-labels", "brats2023", "--reference-labels", "brats2023", "--lesions"),
    )
    done = subprocess.run(
        [sys.executable, "-m", "minicube", "evaluate", *words],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "80"},
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if line.strip().startswith("WT")]
    assert [len(row) for row in rows] == [8, 8]
    assert rows[1][3:6] == ["3", "1", "3"]
