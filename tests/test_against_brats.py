"""Lesion by lesion against the numbers of the official programs.

``scripts/check_against_brats.py`` runs ``brats-evaluation`` and writes its numbers; those of
BraTS-2023-Metrics were made in the same way. The label maps in ``data/lesions`` are made up: near,
tiny, split, missed and made-up lesions, an empty reference, an empty prediction, thick slices.
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from minicube.evaluation import (
    BRATS2026_LESIONS,
    confusion,
    lesion_scores,
    mask_distances,
)
from minicube.scans import LabelMap, LabelScheme, Region, read_labels

DATA = Path(__file__).parent / "data"
PREDICTIONS = Path(__file__).parents[2] / "shared" / "data" / "predictions"
UNIT = (1.0, 1.0, 1.0)

MADE_UP = [f"lesions-0000{i}-000" for i in range(1, 7)]
THICK_SLICES = "lesions-00005-000"
REAL = ["baseline_attention/006", "baseline_no_attention/001", "waveloss_attention/003"]


def official(program: str) -> dict[str, Any]:
    kept = json.loads((DATA / f"{program}.json").read_text(encoding="utf-8"))
    cases: dict[str, Any] = kept["cases"]
    return cases


OFFICIAL_2023 = official("brats_2023_metrics")
OFFICIAL_2026 = official("brats_evaluation")


def pair(name: str) -> tuple[LabelMap, LabelMap, tuple[float, float, float]]:
    if name in MADE_UP:
        files = [DATA / "lesions" / role / f"{name}.nii.gz" for role in ("prediction", "reference")]
        scheme = LabelScheme.BRATS2023
    else:
        if not PREDICTIONS.is_dir():
            pytest.skip("the predictions of shared/data are not present")
        network, case = name.split("/")
        files = [
            PREDICTIONS / network / f"BraTS20_Training_{case}.nii.gz",
            PREDICTIONS / "reference" / f"{case}.nii.gz",
        ]
        scheme = LabelScheme.BRATS2021
    (found, grid), (truth, _) = (read_labels(file, scheme) for file in files)
    assert grid.axis_codes in ("RAS", "LPS")  # so that spacing is in the order of the axes
    return found, truth, grid.ras_spacing


def test_official_numbers_are_there_for_every_case() -> None:
    assert set(OFFICIAL_2023) == set(OFFICIAL_2026)
    assert set(MADE_UP + REAL) <= set(OFFICIAL_2023)


@pytest.mark.parametrize("name", MADE_UP + REAL)
def test_brats_2023(name: str) -> None:
    found, truth, spacing = pair(name)
    for region in Region:
        ours = lesion_scores(found, truth, region, spacing)
        theirs = OFFICIAL_2023[name][region]
        for count in ("lesions", "missed", "false_alarms"):
            assert getattr(ours, count) == theirs[count], region
        assert ours.dice == pytest.approx(theirs["dice"], abs=1e-12)
        # Theirs weighs surfaces by area; single lesions differ by 1.8 mm at most, cases by less.
        assert ours.hd95 == pytest.approx(theirs["hd95"], abs=0.35)


@pytest.mark.parametrize("name", MADE_UP + REAL)
def test_brats_evaluation(name: str) -> None:
    found, truth, (x, y, z) = pair(name)
    for region in Region:
        # That program applies the spacing to the axes in reverse order.
        ours = lesion_scores(found, truth, region, (z, y, x), rule=BRATS2026_LESIONS)
        theirs = OFFICIAL_2026[name][region]
        for count in ("lesions", "missed", "false_alarms"):
            assert getattr(ours, count) == theirs[count], region
        matched = [lesion for lesion in ours.each if lesion.found]
        assert bool(matched) == (theirs["dice_found"] is not None)
        if matched:
            dice, hd95 = fmean(m.dice for m in matched), fmean(m.hd95 for m in matched)
            assert dice == pytest.approx(theirs["dice_found"], abs=1e-12)
            assert hd95 == pytest.approx(theirs["hd95_found"], abs=1e-9)


@pytest.mark.parametrize("name", [*MADE_UP, "waveloss_attention/006"])
def test_whole_regions_of_brats_evaluation(name: str) -> None:
    found, truth, _ = pair(name)
    for region in Region:
        theirs = OFFICIAL_2026[name][region]
        # That program measures whole regions in voxels.
        distances = mask_distances(found.region(region), truth.region(region), UNIT)
        assert distances.defined == (theirs["hd95_pooled"] is not None)
        if distances.defined:
            assert confusion(found, truth).region(region).dice == pytest.approx(theirs["dice"])
            assert distances.hd95(pooled=True) == pytest.approx(theirs["hd95_pooled"], abs=1e-9)


def test_thick_slices_are_told_apart() -> None:
    """The made-up case with 2.5 mm slices would notice spacing in the wrong order."""
    found, truth, (x, y, z) = pair(THICK_SLICES)
    assert (x, y, z) == (1.0, 1.0, 2.5)
    right = lesion_scores(found, truth, Region.ET, (x, y, z), rule=BRATS2026_LESIONS)
    wrong = lesion_scores(found, truth, Region.ET, (z, y, x), rule=BRATS2026_LESIONS)
    assert abs(right.hd95 - wrong.hd95) > 0.1
