"""Scores of cases, their summary, JSON and tables."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from rich.console import Console, RenderableType

from minicube import InputError
from minicube.evaluation import (
    CaseScores,
    EmptyPolicy,
    Evaluation,
    case_table,
    evaluate_case,
    summarise,
    summary_table,
)
from minicube.scans import NETWORK_SCHEME, LabelMap, LabelScheme, Region, Tissue


def case(found: list[int], truth: list[int], *, policy: EmptyPolicy | None = None) -> CaseScores:
    maps = (LabelMap(np.array(values, np.uint8), NETWORK_SCHEME) for values in (found, truth))
    return evaluate_case(*maps, identity="one", policy=policy or EmptyPolicy())


def shown(renderable: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


# Enhancing tumour (3): found half, missed, a false alarm, rightly none.
HALF = case([3, 0, 1, 0], [3, 3, 1, 0])
MISSED = case([0, 0, 1, 0], [3, 0, 1, 0])
ALARM = case([3, 3, 1, 0], [0, 0, 1, 0])
NONE = case([0, 0, 1, 0], [0, 0, 1, 0])


def test_summary_equals_the_one_made_by_hand() -> None:
    et = summarise([HALF, MISSED, ALARM, NONE]).regions[Region.ET]
    assert (et.n, et.n_empty) == (4, 2)
    # Dice 2/3, 0, 0, 1.
    assert et.mean == pytest.approx(5 / 12)
    assert et.median == pytest.approx(1 / 3)
    assert (et.pooled.tp, et.pooled.fp, et.pooled.fn) == (1, 2, 2)
    assert et.pooled.precision == et.pooled.recall == et.pooled.dice == pytest.approx(1 / 3)
    assert et.pooled.tp + et.pooled.fp + et.pooled.fn + et.pooled.tn == 16


def test_cases_that_the_policy_leaves_out_are_not_in_the_mean() -> None:
    policy = EmptyPolicy(both_empty=None, false_alarm=None)
    cases = [
        case([3, 0], [3, 3], policy=policy),
        case([3, 0], [0, 0], policy=policy),
        case([0, 0], [0, 0], policy=policy),
    ]
    et = summarise(cases).regions[Region.ET]
    assert (et.n, et.n_empty) == (1, 2)
    assert et.mean == et.median == pytest.approx(2 / 3)
    nobody = summarise(cases[1:]).regions[Region.ET]
    assert (nobody.n, nobody.mean, nobody.median) == (0, None, None)


def test_the_policy_leaves_precision_and_recall_alone() -> None:
    score = NONE.regions[Region.ET]
    assert (score.dice, score.iou) == (1, 1)
    assert (score.counts.precision, score.counts.recall) == (None, None)


def test_nothing_to_summarise_and_mixed_policies_are_refused() -> None:
    with pytest.raises(InputError, match="no cases"):
        summarise([])
    with pytest.raises(InputError, match="one policy"):
        summarise([HALF, case([0], [0], policy=EmptyPolicy(both_empty=None))])


def test_json_has_nulls_and_known_names() -> None:
    values = Evaluation((NONE, MISSED)).to_dict()
    again = json.loads(json.dumps(values, allow_nan=False))
    assert again == values
    first = values["cases"][0]
    assert list(first["classes"]) == ["background", "oedema", "non_enhancing", "enhancing"]
    assert list(first["regions"]) == ["WT", "TC", "ET"]
    assert first["classes"]["enhancing"] == {
        "counts": {"tp": 0, "fp": 0, "fn": 0, "tn": 4},
        "precision": None,
        "recall": None,
        "f1": 1.0,
        "iou": 1.0,
    }
    assert values["cases"][1]["regions"]["ET"]["dice"] == 0
    assert np.sum(first["confusion"]["voxels"]) == 4
    summary = values["summary"]
    assert summary["cases"] == 2
    assert summary["empty_policy"] == {"both_empty": 1.0, "false_alarm": 0.0}
    assert summary["regions"]["ET"]["n_empty"] == 1
    assert summary["regions"]["ET"]["dice"]["mean"] == 0.5
    assert summary["classes"]["oedema"]["f1"] == {"mean": 1.0, "median": 1.0}
    assert summary["classes"]["non_enhancing"]["pooled"]["f1"] is None


def test_tables_show_counts_ratios_and_policy_in_80_columns() -> None:
    text = shown(case_table(HALF))
    (row,) = (line for line in text.splitlines() if line.strip().startswith("ET"))
    assert row.split() == ["ET", "1", "0", "1", "1.000", "0.500", "0.667", "0.500"]
    assert "1 when the prediction has none" in " ".join(text.split())
    text = shown(summary_table(summarise([HALF, MISSED, ALARM, NONE])))
    (row,) = (line for line in text.splitlines() if line.strip().startswith("ET"))
    assert row.split() == ["ET", "4", "2", "0.417", "0.333", "0.333", "0.333", "0.333"]
    assert "1 when the prediction has none" in " ".join(text.split())


def test_an_evaluation_shows_one_case_in_full_and_many_in_rows() -> None:
    assert "precision" in shown(Evaluation((HALF,)).table())
    many = shown(Evaluation((HALF, MISSED)).table())
    assert "Dice of each case" in many
    assert "All 2 cases" in many


def test_losses_are_kept_and_shown() -> None:
    found = LabelMap(np.array([4, 0], np.uint8), LabelScheme.BRATS2024)
    truth = LabelMap(np.array([0, 0], np.uint8), NETWORK_SCHEME)
    scores = evaluate_case(found, truth, identity="one")
    assert len(scores.notes) == 1
    assert scores.to_dict()["notes"] == list(scores.notes)
    assert "resection cavity" in shown(case_table(scores))
    assert "resection cavity" in summarise([scores]).to_dict()["notes"][0]
    assert scores.classes[Tissue.BACKGROUND].dice == 1
