"""Reports as one file of HTML: complete, escaped, in need of nothing else."""

from __future__ import annotations

import base64
import io
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from minicube import InputError
from minicube.evaluation import evaluate_case, summarise
from minicube.reporting import case_report, run_report, write_report
from minicube.reporting.chart import Series, line_chart
from minicube.scans import Case, LabelMap, LabelScheme, Region, Tissue
from small_cases import small_case

VOID = {"meta", "img", "br", "hr", "link", "input", "circle", "polyline", "line"}
METRICS = """step,split,loss,learning_rate,seconds,WT,TC,ET
10,train,1.500000,2.0e-03,13.0,,,
20,train,1.200000,2.0e-03,26.0,,,
20,validation,1.300000,,,0.6000,0.4000,
30,train,0.900000,1.0e-03,150.0,,,
30,validation,1.000000,,,0.7000,0.5000,0.3000
"""


class Page(HTMLParser):
    """Checks that tags are balanced, and collects text, attributes and elements."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.text += " " + " ".join(data.split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def shows(page: Page, *parts: str) -> None:
    """The parts stand in the page one after the other."""
    assert " ".join(parts) in " ".join(page.text.split())


def needs_nothing_else(html: str) -> None:
    page = Page(html)
    assert not page.all("script")
    assert not page.all("link")
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "data", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, value)
    assert "url(" not in html
    assert "@import" not in html


@pytest.fixture(scope="module")
def case() -> Case:
    return small_case(3)


@pytest.fixture(scope="module")
def labels(case: Case) -> LabelMap:
    assert case.reference is not None
    array = np.roll(case.reference.array, 2, axis=0)
    return LabelMap(array, case.reference.scheme)


def test_case_report_shows_volumes_pictures_and_what_made_them(
    case: Case, labels: LabelMap
) -> None:
    html = case_report(case, labels, scores=None, provenance={"model": "first (1000 steps)"})
    needs_nothing_else(html)
    page = Page(html)
    shows(page, "Research use only", "– not a medical device")
    shows(page, case.identity)
    shows(page, "model", "first (1000 steps)")
    for region in Region:
        ml = np.count_nonzero(labels.region(region)) / 1000
        shows(page, region.value, region.title, f"{ml:.2f}")
    for value, tissue in labels.scheme.tissues.items():
        ml = np.count_nonzero(labels.array == value) / 1000
        shows(page, tissue.value, str(value), f"{ml:.2f}")
    assert "Agreement" not in page.text
    # Four sequences, then FLAIR and T1 with contrast, each without and with labels.
    pictures = page.all("img")
    assert len(pictures) == 4 + 2 * 2 * 3
    assert all(picture["alt"] for picture in pictures)
    for picture in pictures:
        source = picture["src"]
        assert source is not None
        data = base64.b64decode(source.removeprefix("data:image/png;base64,"), validate=True)
        with Image.open(io.BytesIO(data)) as image:
            assert image.format == "PNG"
            assert image.size == (int(picture["width"] or 0), int(picture["height"] or 0))


def test_volumes_follow_the_spacing(labels: LabelMap) -> None:
    case = small_case(3)
    geometry = type(case.geometry)(case.shape, np.diag([2.0, 3.0, 0.5, 1.0]))
    stretched = Case(case.identity, case.images, geometry, case.brain)
    ml = np.count_nonzero(labels.region(Region.WT)) * 3 / 1000
    page = Page(case_report(stretched, labels, scores=None, provenance={}))
    shows(page, "WT", "whole tumour", f"{ml:.2f}" if ml < 10 else f"{ml:.1f}")


def test_case_report_with_scores_shows_them_and_the_reference(case: Case, labels: LabelMap) -> None:
    assert case.reference is not None
    scores = evaluate_case(labels, case.reference, identity=case.identity)
    page = Page(case_report(case, labels, scores=scores, provenance={}))
    et = scores.regions[Region.ET]
    assert et.dice is not None
    shows(page, "ET enhancing tumour", f"{et.counts.reference:,}", f"{et.counts.predicted:,}")
    shows(page, f"{et.counts.tp:,}", f"{et.dice:.3f}")
    shows(page, "with the reference")
    shows(page, scores.policy.words())
    assert len(page.all("img")) == 4 + 2 * 3 * 3


def test_what_is_written_into_a_page_is_escaped(case: Case, labels: LabelMap) -> None:
    nasty = '<script>alert("1")</script>'
    warned = Case(nasty, case.images, case.geometry, case.brain, None, (nasty, "T1 is blurred."))
    html = case_report(warned, labels, scores=None, provenance={nasty: nasty})
    assert "<script" not in html
    page = Page(html)
    shows(page, "Please note", nasty, "T1 is blurred.")
    assert page.text.count(nasty) == 5  # title, heading, warning, fact and its value


def test_an_empty_label_map_and_a_cavity_are_reported(case: Case) -> None:
    empty = LabelMap(np.zeros(case.shape, np.uint8), LabelScheme.BRATS2024)
    page = Page(case_report(case, empty, scores=None, provenance={}))
    shows(page, Tissue.CAVITY.value, "4", "0.00")
    shows(page, "ET", "enhancing tumour", "0.00")


def test_write_report_keeps_a_file_that_must_not_be_replaced(tmp_path: Path) -> None:
    target = tmp_path / "new" / "report.html"
    write_report(target, "first – ü")
    with pytest.raises(InputError, match="already exists"):
        write_report(target, "second", overwrite=False)
    assert target.read_text(encoding="utf-8") == "first – ü"
    write_report(target, "second")
    assert target.read_text(encoding="utf-8") == "second"


def write_run(folder: Path, *, finished: bool) -> Path:
    """A run folder as training writes it."""
    folder.mkdir()
    config = {"network": "unet3d", "widths": [8, 16], "steps": 30, "augmentation": {"flip": 0.5}}
    contents: dict[str, Any] = {"config.json": config}
    if finished:
        truth = [small_case(seed).reference for seed in range(2)]
        scores = [
            evaluate_case(LabelMap(np.roll(t.array, 1, 0), t.scheme), t, identity=str(i))
            for i, t in enumerate(truth)
            if t is not None
        ]
        contents |= {
            "environment.json": {"python": "3.11.2", "cores": 2},
            "split.json": {"train": ["a", "b", "c"], "validation": ["d", "e"]},
            "model.json": {"name": "first", "sha256": "ab" * 32},
            "validation.json": summarise(scores).to_dict(),
        }
        (folder / "metrics.csv").write_text(METRICS)
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content))
    return folder


def test_run_report_of_a_finished_run(tmp_path: Path) -> None:
    run = write_run(tmp_path / "first", finished=True)
    html = run_report(run)
    needs_nothing_else(html)
    page = Page(html)
    shows(page, "Research use only")
    shows(page, "cases learnt from", "3", "cases held out", "2", "steps", "30")
    shows(page, "time training", "2 min")
    summary = json.loads((run / "validation.json").read_text())
    et = summary["regions"]["ET"]["dice"]
    shows(page, "ET enhancing tumour", "2", "0", f"{et['mean']:.3f}", f"{et['median']:.3f}")
    shows(page, "1 when the prediction has none either")
    shows(page, "augmentation, flip", "0.5")
    shows(page, "widths", "8, 16")
    shows(page, "python", "3.11.2")
    shows(page, "Held out", "d, e", "Learnt from", "a, b, c")
    assert len(page.all("svg")) == 2
    shows(page, "Mean Dice over training steps")


def test_run_report_of_a_run_that_has_just_begun(tmp_path: Path) -> None:
    run = write_run(tmp_path / "first", finished=False)
    page = Page(run_report(run))
    shows(page, "0 of 30, unfinished")
    shows(page, "Nothing is logged yet.")
    shows(page, "They have not been scored yet.")
    (run / "metrics.csv").write_text("\n".join(METRICS.splitlines()[:2]) + "\n")
    page = Page(run_report(run))
    shows(page, "10 of 30, unfinished")
    assert len(page.all("svg")) == 1


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no training run"):
        run_report(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", "[1, 2]"),
        ("config.json", '{"steps": 10'),
        ("split.json", '{"train": 3}'),
        ("model.json", '"words"'),
        ("validation.json", '{"cases": 1}'),
        ("metrics.csv", "step,split\nten,train\n"),
        ("metrics.csv", "step,split,loss\n10,train,nan\n"),
        ("metrics.csv", "step,loss\n10,0.5\n"),
        ("metrics.csv", "step,split,loss\n10\n"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: str) -> None:
    run = write_run(tmp_path / "first", finished=True)
    (run / name).write_text(content)
    with pytest.raises(InputError) as caught:
        run_report(run)
    assert name in caught.value.problem


def drawn(*series: Series, **settings: float) -> ElementTree.Element:
    svg = line_chart(series, title="Loss", x_title="step", **settings)
    return ElementTree.fromstring(svg)


def polyline(svg: ElementTree.Element, number: int) -> list[tuple[float, float]]:
    (line,) = (g.find("polyline") for g in svg.iter("g") if g.get("class") == f"series-{number}")
    assert line is not None
    pairs = (pair.split(",") for pair in line.attrib["points"].split())
    return [(float(x), float(y)) for x, y in pairs]


def test_chart_draws_values_where_its_axis_says() -> None:
    svg = drawn(Series("a", ((0, 0), (50, 1), (100, 2))))
    (left, bottom), middle, (right, top) = polyline(svg, 1)
    assert middle == pytest.approx(((left + right) / 2, (top + bottom) / 2), abs=0.06)
    lines = sorted(float(line.attrib["y1"]) for line in svg.iter("line"))
    assert lines[0] == pytest.approx(top, abs=0.06)
    assert lines[-1] == pytest.approx(bottom, abs=0.06)
    words = [text.text for text in svg.iter("text")]
    assert {"0", "2", "40", "100", "step", "a"} <= set(words)


@pytest.mark.parametrize("height_of_all", [0.0, 0.5, 0.99])
def test_chart_keeps_every_line_inside_and_their_names_apart(height_of_all: float) -> None:
    values = [height_of_all + 0.001 * i for i in range(4)]
    many = [Series(str(value), ((1, value), (7, value))) for value in values]
    svg = drawn(*many, y_top=1)
    _, _, width, height = map(float, svg.attrib["viewBox"].split())
    for number in range(1, 5):
        assert all(0 <= x <= width and 0 <= y <= height for x, y in polyline(svg, number))
    names = sorted(float(text.attrib["y"]) for g in svg.iter("g") for text in g.iter("text"))
    assert len(names) == 4
    assert np.diff(names).min() >= 12
    assert names[0] >= 0
    assert names[-1] <= height


@pytest.mark.parametrize("largest", [0, 1e-9, 0.3, 1, 1.0000001, 7, 99, 1234, 5e6])
def test_chart_has_few_round_ticks_for_any_size(largest: float) -> None:
    svg = drawn(Series("a", ((0, 0), (1, largest))))
    assert 2 <= len(list(svg.iter("line"))) <= 7
    assert all(0 <= y <= 280 for _, y in polyline(svg, 1))


def test_chart_without_points_is_an_empty_frame() -> None:
    svg = drawn(Series("<a> & b", ()))
    assert not list(svg.iter("polyline"))
    assert list(svg.iter("line"))
