"""An absent sequence is a warning and an answer; one that is there and broken an error."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from minicube import InputError
from minicube.cli import main
from minicube.engines import load_model
from minicube.inference import Limits, Refinements, Segmenter
from minicube.reporting import case_report
from minicube.scans import (
    Case,
    LabelMap,
    LabelScheme,
    Layout,
    Region,
    Sequence,
    Tissue,
    convert_dataset,
    find_cases,
    load_case,
    read_labels,
    without_enhancement,
    write_case,
)
from minicube.training import find_labelled_cases
from minicube.volumes import Box, Intensities, prepare, store_one
from small_cases import small_case
from small_models import write_small_model

SHARED = Path(__file__).parents[2] / "shared" / "data"
T1N, T1C, T2W, T2F = Sequence


def _without(*absent: Sequence, seed: int = 3) -> Case:
    case = small_case(seed)
    images = {s: image for s, image in case.images.items() if s not in absent}
    return replace(case, images=images, reference=None)


def _written(folder: Path, *absent: Sequence, layout: Layout = Layout.PLAIN) -> Path:
    write_case(_without(*absent), folder, layout)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_model(tmp_path_factory.mktemp("model") / "run", 5)


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("absent", [(T1N,), (T1C,), (T2W,), (T2F,), (T1N, T2F), (T1N, T1C, T2W)])
def test_what_is_absent_is_shown_as_zeros(
    tmp_path: Path, absent: tuple[Sequence, ...], on_disk: bool
) -> None:
    case = load_case(_written(tmp_path, *absent), on_disk=on_disk)
    assert case.absent == absent
    assert set(case.images) == set(Sequence) - set(absent)
    assert [s for s in Sequence if any(f"no {s.label} (" in w for w in case.warnings)] == [*absent]
    assert any("not determinable" in w for w in case.warnings) == (T1C in absent)
    ready, complete = prepare(case), prepare(small_case(3))
    assert {*ready.present} == {*Sequence} - {*absent}
    for channel, sequence in enumerate(Sequence):
        expected = 0 if sequence in absent else complete.images[channel]
        assert np.array_equal(ready.images[channel], np.broadcast_to(expected, ready.brain.shape))
    raw = ready.images_as(Intensities.RAW)
    assert [s for channel, s in enumerate(Sequence) if not raw[channel].any()] == [*absent]


def test_asking_whether_a_sequence_is_there_reads_no_file(tmp_path: Path) -> None:
    case = load_case(_written(tmp_path, T1C), on_disk=True)
    for path in tmp_path.rglob("*.nii.gz"):
        path.unlink()
    assert T1C not in case.images
    assert T1N in case.images


@pytest.mark.parametrize("kept", list(Sequence))
def test_one_sequence_that_shows_a_tumour_is_the_least(tmp_path: Path, kept: Sequence) -> None:
    folder = _written(tmp_path, *(s for s in Sequence if s is not kept))
    if kept is T1N:
        with pytest.raises(InputError, match="no sequence is there") as caught:
            load_case(folder)
        assert caught.value.found == "no T1 with contrast (t1c), no T2 (t2w), no FLAIR (t2f)"
    else:
        assert set(load_case(folder).images) == {kept}


@pytest.mark.parametrize("fault", ["zeros", "NaN", "cut off", "grid"])
def test_what_is_there_and_broken_stays_an_error(tmp_path: Path, fault: str) -> None:
    case = _without(T1C)
    spoilt = case.images[T2W].copy()
    if fault == "zeros":
        spoilt[:] = 0
    elif fault == "NaN":
        spoilt[0, 0, 0] = np.nan
    write_case(replace(case, images={**case.images, T2W: spoilt}), tmp_path, Layout.PLAIN)
    path = next(tmp_path.rglob("t2w.nii.gz"))
    if fault == "cut off":
        path.write_bytes(path.read_bytes()[:-40])
    elif fault == "grid":
        moved = replace(case.geometry, affine=np.diag([1, 1, 1.2, 1]))
        write_case(replace(case, geometry=moved), tmp_path / "moved", Layout.PLAIN)
        next((tmp_path / "moved").rglob("t2w.nii.gz")).replace(path)
    words = {"zeros": "every voxel is 0", "NaN": "NaN", "cut off": "breaks off", "grid": "grids"}
    for on_disk in (False, True):
        with pytest.raises(InputError, match=words[fault]):
            load_case(path.parent, on_disk=on_disk)


@pytest.mark.parametrize("layout", sorted(set(Layout) - {Layout.DECATHLON}))
def test_every_layout_with_a_file_less(tmp_path: Path, layout: Layout) -> None:
    (files,) = find_cases(_written(tmp_path, T1N, layout=layout))
    assert files.layout is layout
    assert load_case(files).absent == (T1N,)


def test_a_4d_file_of_three_sequences(tmp_path: Path) -> None:
    write_case(small_case(3), tmp_path, Layout.DECATHLON)
    path = tmp_path / "dataset.json"
    described = json.loads(path.read_text(encoding="utf-8"))
    described["modality"]["2"] = "something else"  # where T1 with contrast is
    path.write_text(json.dumps(described), encoding="utf-8")
    for on_disk in (False, True):
        case = load_case(tmp_path, with_reference=False, on_disk=on_disk)
        assert case.absent == (T1C,)
        assert np.array_equal(case.images[T2W], small_case(3).images[T2W])
    with pytest.raises(InputError, match="a sequence is missing"):
        write_case(_without(T1C), tmp_path / "other", Layout.DECATHLON)


def test_where_all_four_are_asked_for_that_is_said(tmp_path: Path) -> None:
    pytest.importorskip("blosc2")
    case = replace(_without(T1C), reference=small_case(3).reference)
    for name in ("a", "b"):
        write_case(replace(case, identity=name), tmp_path / "data", Layout.BRATS2023)
    with pytest.raises(InputError, match="a sequence is missing") as caught:
        find_labelled_cases(tmp_path / "data")
    assert "to learn from" in caught.value.expected
    assert caught.value.found == "no T1 with contrast (t1c)"
    for files in find_labelled_cases(tmp_path / "data", incomplete=True):
        stored = store_one(prepare(load_case(files)), tmp_path / "store")
        images, labels = stored.read(Box((0, 0, 0), stored.shape))
        assert [bool(image.any()) for image in images] == [s is not T1C for s in Sequence]
        assert labels.any()
    with pytest.raises(InputError, match="a sequence is missing"):
        convert_dataset(tmp_path / "data", tmp_path / "out", Layout.PLAIN)


@pytest.mark.parametrize("scheme", [s for s in LabelScheme if Tissue.CORE in s.tissues.values()])
def test_enhancing_tumour_becomes_core_and_nothing_else_changes(scheme: LabelScheme) -> None:
    labels = LabelMap(np.array(scheme.values, np.uint8)[None, None], scheme)
    found = without_enhancement(labels)
    assert not found.region(Region.ET).any()
    for region in (Region.TC, Region.WT):
        assert np.array_equal(found.region(region), labels.region(region))
    assert np.array_equal(found.tissue(Tissue.OEDEMA), labels.tissue(Tissue.OEDEMA))
    assert labels.region(Region.ET).any()


def test_without_contrast_nothing_is_said_to_enhance(model: Path, tmp_path: Path) -> None:
    keep = Refinements(probabilities=True, uncertainty=True)
    segmenter = Segmenter(load_model(model), refinements=keep)
    assert segmenter.segment(small_case(3)).volumes_ml["ET"]
    result = segmenter.segment(_without(T1C))
    ml = result.volumes_ml
    assert result.labels.region(Region.TC).any()
    assert not result.labels.region(Region.ET).any()
    assert ml[Region.ET] is None
    assert ml[Tissue.ENHANCING] is None
    assert ml[Region.TC] == ml[Tissue.CORE]
    written = [path.name for path in result.save_probabilities(tmp_path)]
    assert written == ["small-003_WT.nii.gz", "small-003_TC.nii.gz"]
    assert result.probabilities is not None
    assert result.probabilities.of(Region.ET).max() == 0
    bare = Segmenter(load_model(model)).segment(_without(T1C))
    assert np.array_equal(bare.labels.array, result.labels.array)
    within = Segmenter(load_model(model), Limits(memory=8 << 30)).segment(_without(T1C))
    assert np.array_equal(bare.labels.array, within.labels.array)


def test_what_is_not_determinable_is_said_everywhere(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cohort, out, rows = tmp_path / "cohort", tmp_path / "out", tmp_path / "rows.json"
    _written(cohort, T1C)
    write_case(_without(seed=4), cohort, Layout.PLAIN)
    write_case(_without(T1C, T2W, T2F, seed=5), cohort, Layout.PLAIN)
    report: list[str | Path] = ["--report", tmp_path / "r", "--uncertainty", out]
    words = ["--model", model, "--json", rows, *report]
    assert _run("segment", cohort, "-o", out, *words) == 3
    told = capsys.readouterr()
    assert "not determinable" in " ".join(told.out.split())
    assert "small-005: no sequence is there" not in told.out
    assert "small-005" in told.err
    partial, complete, failed = json.loads(rows.read_text(encoding="utf-8"))
    assert partial["volumes_ml"]["ET"] is None
    assert partial["absent_sequences"] == ["t1c"]
    assert partial["not_determinable"] == ["ET"]
    assert complete["absent_sequences"] == complete["not_determinable"] == []
    assert complete["volumes_ml"]["ET"] > 0
    assert "no sequence" in failed["error"]

    with (out / "volumes.csv").open(encoding="utf-8", newline="") as file:
        first, second, _ = csv.DictReader(file)
    assert first["ET_ml"] == first["enhancing_ml"] == ""
    assert (first["absent_sequences"], first["not_determinable"]) == ("t1c", "ET")
    assert (second["absent_sequences"], second["not_determinable"]) == ("", "")
    sidecar = json.loads((out / "small-003_seg.json").read_text(encoding="utf-8"))
    assert sidecar["not_determinable"] == ["ET"]
    assert sidecar["absent_sequences"] == ["t1c"]
    labels, _ = read_labels(out / "small-003_seg.nii.gz", LabelScheme.BRATS2023)
    assert labels.region(Region.TC).any()
    assert not labels.region(Region.ET).any()
    page = (tmp_path / "r" / "small-003.html").read_text(encoding="utf-8")
    assert page.count("not determinable</td>") == 2
    assert "absent: T1 with contrast" in page
    assert (out / "small-003_uncertainty.nii.gz").is_file()
    # Made before: the same row again.
    assert _run("segment", cohort, "-o", out, *words) == 3
    again = json.loads(rows.read_text(encoding="utf-8"))[0]
    assert again.pop("made_before")
    assert again == {**partial, "memory": None}


@pytest.mark.parametrize("absent", [(T2F,), (T1C,), (T2F, T1C), (T1N, T2W)])
def test_the_report_shows_what_is_there(absent: tuple[Sequence, ...]) -> None:
    labels = small_case(3).reference
    assert labels is not None
    page = case_report(_without(*absent), labels, scores=None, provenance={})
    there = len(Sequence) - len(absent)
    # Each once; and two, or what there is of them, in three planes with and without labels.
    assert page.count("<img") == there + min(2, there) * 6


def _run(*words: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)


@pytest.mark.skipif(not SHARED.is_dir(), reason="scans (../shared/data) not present")
@pytest.mark.parametrize(
    ("folder", "absent"),
    [
        ("three_sequences_128/brats18_tcia01_131_1", (T1N,)),
        ("two_sequences/BraTS20_Training_022", (T1C, T2W)),
    ],
)
def test_real_scans_without_some(folder: str, absent: tuple[Sequence, ...]) -> None:
    case = load_case(SHARED / folder, with_reference=False, on_disk=True)
    assert case.absent == absent
    images = prepare(case).images
    assert [s for channel, s in enumerate(Sequence) if not images[channel].any()] == [*absent]
