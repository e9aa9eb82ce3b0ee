"""The report of a study: its numbers, its pictures, and what it does when half is missing."""

from __future__ import annotations

import copy
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from minicube import InputError
from minicube.reporting import (
    study_report,
)
from minicube.reporting.chart import Series, line_chart
from minicube.reporting.study_answers import answers, compared
from minicube.reporting.study_charts import heat_table, learning_curves
from minicube.reporting.study_costs import seconds_bars, seed_spreads
from minicube.reporting.study_results import Comparison, Curve, Results
from minicube.scans import Region
from small_study import CLASSES, TITLES, made_up_results
from test_reporting_html import Page, needs_nothing_else, shows

SPACE = "\N{NO-BREAK SPACE}"


def write_study(folder: Path, results: object) -> Path:
    (folder / "results.json").write_text(json.dumps(results))
    return folder


def report_of(folder: Path, results: object) -> Page:
    return Page(study_report(write_study(folder, results)))


def said(results: dict[str, Any], question: str) -> str:
    found = {a.question: " ".join(a.sentences) for a in answers(Results.model_validate(results))}
    return found[question].replace(SPACE, " ")


def test_a_finished_study_shows_every_part_and_nothing_is_missing(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in ("composite.png", "predictions-real.png", "sweep-a.webp", "other.png"):
        Image.new("RGB", (30, 20), "navy").save(pictures / name)
    (pictures / "network-partition.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    html = study_report(write_study(tmp_path, made_up_results()))
    needs_nothing_else(html)
    page = Page(html)
    shows(page, "Research use only")
    assert "ot run yet" not in page.text
    assert "still running" not in page.text
    shows(page, "real cases", "12", "folds", "3", "seeds", "2", "minutes each", "20")
    shows(page, "96 to train, 6 to test")
    shows(page, "commit", "abc1234", "config hash", "0123456789abcdef")
    shows(page, "3D U-Net with context, repaired: narrower than 64-128-256: 16-32-64")
    sources = [picture["src"] or "" for picture in page.all("img")]
    assert [source[5:15] for source in sources] == [
        "image/png;",
        "image/svg+",
        "image/png;",
        "image/webp",
        "image/png;",
    ]
    assert all(picture["alt"] for picture in page.all("img"))
    # Two settings of four systems and one of the fifth: a chart and a matrix each.
    assert len(page.all("svg")) == 9
    assert sum("matrix" in (f.get("class") or "") for f in page.all("figure")) == 9
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    assert {(a["href"] or "")[1:] for a in page.all("a")} <= ids


def test_table_2_is_that_of_the_voxels_beside_the_report_s_own(tmp_path: Path) -> None:
    results = made_up_results()
    page = report_of(tmp_path, results)
    counts = np.array(results["systems"]["unet3d-context"]["real"]["confusion"])
    for i, words in enumerate(("background", "oedema", "non-enhancing", "enhancing")):
        tp = counts[i, i]
        precision, recall = tp / counts[i].sum(), tp / counts[:, i].sum()
        f1 = 2 * tp / (counts[i].sum() + counts[:, i].sum())
        own = ("1.0", "0.975", "0.988") if i == 0 else ("0", "NaN", "NaN")
        share = counts[:, 0].sum() / counts.sum()
        broken = (f"{share:.3f}", "1.000", f"{2 * share / (1 + share):.3f}")
        broken = broken if i == 0 else ("–", "0.000", "0.000")
        ours = (f"{precision:.3f}", f"{recall:.3f}", f"{f1:.3f}")
        shows(page, words, *own, *broken, *ours, "12", "2" if i == 3 else "0")
    shows(page, f"{counts[:, 0].sum() / counts.sum():.3f} by the cases here, 0.982 by the report")
    assert page.text.count("By definition such a network has recall 1") == 1


def test_table_1_has_every_set_and_the_report_s_own(tmp_path: Path) -> None:
    page = report_of(tmp_path, made_up_results())
    text = page.text.replace(SPACE, " ")
    assert "fold 1, train 70 000 000 0.9875 466 666 0.0066" in " ".join(text.split())
    shows(page, "the report, test", "4.7 · 10⁸", "0.982", "5.3 · 10⁶", "0.011")


def test_a_study_that_has_just_begun_says_what_is_not_there(tmp_path: Path) -> None:
    page = report_of(tmp_path, {"format": 1})
    shows(page, "The study is still running")
    assert page.text.count("Not run yet.") >= 20
    assert not page.all("img")
    assert "Phantoms" not in page.text


def test_systems_that_are_not_run_yet_are_named(tmp_path: Path) -> None:
    results = made_up_results()
    results["systems"]["unet2d"]["real"] = None
    results["systems"]["vnet"] = None
    page = report_of(tmp_path, results)
    shows(page, "Not run yet: 2D U-Net, repaired; V-Net, repaired.")
    learnt = said(results, "Do the networks learn?")
    assert "3 of 3 repaired systems find all three" in learnt


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value inside, the outermost left out."""
    inside: Any = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list) and value and isinstance(value[0], dict):
        inside = enumerate(value)
    for key, part in inside:
        yield (*path, key)
        yield from places(part, (*path, key))


PLACES = [
    place
    for place in places(made_up_results())
    if place != ("format",) and not isinstance(place[-1], int)
]


@given(gone=st.lists(st.sampled_from(PLACES), min_size=1, max_size=40), removed=st.booleans())
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_value_may_be_null_or_missing(
    tmp_path: Path, gone: list[tuple[Any, ...]], removed: bool
) -> None:
    results = made_up_results()
    for *way, last in gone:
        inside: Any = results
        for key in way:
            if inside is not None:
                inside = inside.get(key) if isinstance(inside, dict) else inside[key]
        if isinstance(inside, dict):
            if removed:
                inside.pop(last, None)
            else:
                inside[last] = None
    page = report_of(tmp_path, results)
    assert "None" not in page.text
    assert "nan" not in page.text


@pytest.mark.parametrize("top", [key for key in made_up_results() if key != "format"])
def test_each_part_may_be_missing(tmp_path: Path, top: str) -> None:
    results = made_up_results()
    del results[top]
    assert "None" not in report_of(tmp_path, results).text


def test_no_file_a_damaged_one_and_another_format_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        study_report(tmp_path)
    results = made_up_results()
    results["systems"]["vnet"]["real"]["edema"]["f1"] = float("nan")
    with pytest.raises(InputError, match="not the file that a study writes") as caught:
        study_report(write_study(tmp_path, results))
    assert "edema" in str(caught.value)
    damaged: list[object] = [[], {}, {"format": 2}, {"format": 1, "systems": 7}]
    for wrong in damaged:
        with pytest.raises(InputError, match="not the file that a study writes"):
            study_report(write_study(tmp_path, wrong))
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(InputError, match="not a readable JSON"):
        study_report(tmp_path)


def test_names_are_escaped(tmp_path: Path) -> None:
    results = made_up_results()
    nasty = "<script>alert(1)</script>"
    results["systems"]["vnet"]["title"] = nasty
    results["setting"]["processor"] = nasty
    results["ablation"]["repaired"]["rows"][0]["what"] = nasty
    html = study_report(write_study(tmp_path, results))
    assert "<script" not in html
    assert Page(html).text.count(nasty) > 5


def test_answers_are_made_from_the_numbers() -> None:
    results = made_up_results()
    learnt = said(results, "Do the networks learn?")
    f1 = [results["systems"]["unet3d-context"]["real"][c]["f1"] for c in CLASSES[1:]]
    assert f"Mean tumour F1: 3D U-Net with context {np.mean(f1):.3f}" in learnt
    reported = [title for name, title in TITLES.items() if name != "vnet"]
    assert f"say background everywhere: {', '.join(reported)}." in learnt
    three = said(results, "Does 3D beat 2D?")
    assert "3D U-Net without context against 2D U-Net: ahead in WT (+0.040 [0.010, 0.070]" in three
    # This pair is given the other way round in the file.
    assert "3D U-Net with context against 2D U-Net: ahead in WT (+0.070 [0.040, 0.100]" in three
    assert "p = 0.030); ahead in TC" in three
    context = said(results, "Does context beat no context?")
    assert "no difference shown in WT (+0.020 [−0.010, 0.050], p = 0.900)" in context
    repairs = said(results, "Which repair made them learn?")
    assert (
        "most is gained by learning rate (not 0.01, constant): mean tumour F1 0.000 to 0.050"
        in (repairs)
    )
    assert "most is lost by normalisation of intensities (raw intensities)" in repairs
    assert "0.470 to 0.310" in repairs
    seams = said(results, "Do minicubes leave seams?")
    assert f"3D U-Net with context {1.2 * 1.15:.2f}" in seams
    assert f"V-Net {1.2 * 1.3:.2f} (run whole)." in seams
    assert seams.count("run whole") == 1
    assert "The reference itself has 1.01 there." in seams
    assert "whole volume is best: mean tumour F1 0.585, 0.035 above" in said(
        results, "How much context is needed?"
    )


def test_answers_turn_with_the_numbers() -> None:
    results = made_up_results()
    for comparison in results["comparisons"]:
        comparison["mean_difference"] *= -1
        comparison["interval"] = [-end for end in reversed(comparison["interval"])]
    assert "behind in WT (−0.040 [−0.070, −0.010]" in said(results, "Does 3D beat 2D?")
    for row in results["ablation"]["as_reported"]["rows"]:
        row["mean"] = 0.0
    for row in results["ablation"]["repaired"]["rows"]:
        row["mean"] = 0.5
    repairs = said(results, "Which repair made them learn?")
    assert "most is gained by nothing" in repairs
    assert "most is lost by nothing" in repairs
    results["systems"]["vnet"]["real"]["enhancing"]["f1"] = 0.0
    learnt = said(results, "Do the networks learn?")
    assert "4 of 5 repaired systems" in learnt
    assert "V-Net does not find: enhancing." in learnt
    broken = results["systems"]["segnet-as-reported"]["real"]
    for name in CLASSES[1:]:
        broken[name] |= {"precision": 0.2, "f1": 0.1}
    learnt = said(results, "Do the networks learn?")
    assert "Exploratory CNN reaches a mean tumour F1 of 0.100; repaired" in learnt


@given(
    difference=st.floats(-1, 1),
    p=st.none() | st.floats(0, 1),
    p_holm=st.none() | st.floats(0, 1),
)
def test_a_test_beats_only_when_its_p_is_small(
    difference: float, p: float | None, p_holm: float | None
) -> None:
    found = compared(Comparison(region="WT", mean_difference=difference, p=p, p_holm=p_holm))
    deciding = p if p_holm is None else p_holm
    shown = deciding is not None and deciding < 0.05 and difference != 0
    assert found.startswith("no difference shown") != shown
    if shown:
        assert found.startswith("ahead" if difference > 0 else "behind")


def test_seeds_lie_apart_as_far_as_they_do() -> None:
    results = Results.model_validate(made_up_results())
    system = results.systems["unet2d"]
    assert system is not None
    assert seed_spreads(system.seeds) == pytest.approx({0: 0.02})
    assert seed_spreads(system.seeds[:1]) == {}


def test_bars_are_as_long_as_the_seconds() -> None:
    results = made_up_results()
    bars = seconds_bars(Results.model_validate(results))
    assert bars is not None
    totals = [sum(s["cost"]["seconds_by_cause"].values()) for s in results["systems"].values()]
    lengths = [sum(segment.percent for segment in bar.segments) for bar in bars.bars]
    assert lengths == pytest.approx([100 * total / max(totals) for total in totals])


@given(hnp.arrays(np.int64, (4, 4), elements=st.integers(0, 10**9)))
def test_a_heat_table_s_columns_are_shares_of_the_reference(counts: Any) -> None:
    heat = heat_table(counts.tolist())
    assert heat is not None
    for column in range(4):
        shares = [row[column].share for row in heat.rows]
        total = counts[:, column].sum()
        if total == 0:
            assert shares == [None] * 4
        else:
            assert shares == pytest.approx((counts[:, column] / total).tolist())


def test_a_heat_table_without_all_counts_is_not_drawn() -> None:
    assert heat_table([]) is None
    assert heat_table([[1, 2], [3, 4]]) is None
    assert heat_table([[1, 2, 3, None]] + [[0] * 4] * 3) is None


def curve(*points: tuple[float, float | None, float | None]) -> Curve:
    keys = ("step", "train", "test")
    return Curve.model_validate({"points": [dict(zip(keys, p, strict=True)) for p in points]})


def test_the_gap_is_test_less_train_averaged_over_trainings() -> None:
    first = curve((0, 2.0, 2.0), (10, 1.0, 1.5), (20, 0.5, 1.25))
    second = curve((0, 2.0, 1.9), (5, 1.5, None), (10, 1.0, 1.1))
    drawn = learning_curves([first, second], "Loss")
    assert drawn is not None
    chart, words = drawn
    assert words == "mean of 2 trainings; test less train at the end +0.425 (+0.100 to +0.750)"
    groups = ElementTree.fromstring(chart).findall("g")
    assert [group.findtext("text") for group in groups] == ["train", "test", "gap"]
    # Means reach to step 10, which both have: of train (1 + 1) / 2, of the gap (0.5 + 0.1) / 2.
    ends = [float(g.findall("circle")[-1].attrib["cy"]) for g in groups]
    start = float(groups[0].findall("circle")[0].attrib["cy"])  # a loss of 2
    scale = (ends[0] - start) / (2 - 1)
    assert (ends[1] - ends[0]) / scale == pytest.approx(1 - 1.3, abs=0.01)
    assert (ends[2] - ends[0]) / scale == pytest.approx(1 - 0.3, abs=0.01)


def test_curves_without_a_test_loss_or_without_points() -> None:
    assert learning_curves([], "x") is None
    assert learning_curves([curve((3, None, None))], "x") is None
    drawn = learning_curves([curve((0, 1.0, None), (5, 0.5, None))], "x")
    assert drawn is not None
    assert drawn[1] == "one training; no gap can be told"


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=30))
@example([-5e-324])
def test_a_chart_holds_negative_values_too(values: list[float]) -> None:
    line = Series("gap", tuple(enumerate(values)))
    svg = ElementTree.fromstring(line_chart([line], title="t", x_title="x"))
    _, _, width, height = map(float, svg.attrib["viewBox"].split())
    polyline = svg.find("g/polyline")
    assert polyline is not None
    places = [tuple(map(float, p.split(","))) for p in polyline.attrib["points"].split()]
    assert all(0 <= x <= width and 0 <= y <= height for x, y in places)
    order = np.argsort(values, kind="stable")
    heights = [places[i][1] for i in order]
    assert all(a >= b - 0.11 for a, b in itertools.pairwise(heights))


def test_pictures_that_cannot_be_put_in_are_named(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "predictions.png").write_bytes(b"\x89PNG, not quite")
    (pictures / "notes.txt").write_text("not a picture")
    noise = np.random.default_rng(0).integers(0, 256, (520, 520, 3), np.uint8)
    for i in range(5):
        Image.fromarray(noise).save(pictures / f"sweep-{i}.webp", lossless=True)
    Image.fromarray(noise).save(pictures / "composite.png")
    html = study_report(write_study(tmp_path, {"format": 1}))
    assert len(html) < 4_200_000
    page = Page(html)
    shows(page, "predictions.png cannot be read")
    shows(page, "sweep-4.webp is left out")
    sources = [picture["src"] or "" for picture in page.all("img")]
    assert 1 < len(sources) < 6
    # Noise is smaller as WebP with some loss than as PNG.
    assert sources[0].startswith("data:image/webp")


def test_regions_are_in_the_table_with_interval_median_and_counts(tmp_path: Path) -> None:
    results = made_up_results()
    regions = results["systems"]["unet2d"]["real"]["regions"]
    page = report_of(tmp_path, results)
    parts = []
    for measure, digits in (("dice", 3), ("hd95", 1), ("nsd", 3), ("lesion_dice", 3)):
        spread = regions[Region.TC.value][measure]
        low, high = spread["interval"]
        parts += [f"{spread['mean']:.{digits}f}", f"[{low:.{digits}f}, {high:.{digits}f}]"]
        parts += [f"{spread['median']:.{digits}f}"]
    shows(page, "TC", *parts, "12", "0")
    shows(page, results["policy"])


def test_the_file_is_not_changed_by_reading(tmp_path: Path) -> None:
    results = made_up_results()
    before = copy.deepcopy(results)
    Results.model_validate(results)
    assert results == before
    study = write_study(tmp_path, results)
    assert study_report(study) == study_report(study)
    assert not re.search(r">\s*nan\s*<", study_report(study))
