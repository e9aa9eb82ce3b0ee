"""A data set through every layout and back: equal voxels, equal affines, losses listed."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from minicube import InputError
from minicube.scans import (
    LabelScheme,
    Layout,
    Sequence,
    convert_dataset,
    find_cases,
    load_case,
    read_labels,
)
from minicube.scans.conversion import _read_sequences as read_sequences

nib: Any = nibabel  # half typed
SHAPE = (10, 9, 8)


def source(root: Path, *, decimals: bool = False, cavity: bool = False) -> Path:
    """Two cases in BraTS 2023 names on an oblique grid, axes in an unusual order."""
    rng = np.random.default_rng(5)
    affine = np.array(
        [[0, -1.2, 0.1, 40], [0.9, 0, 0.05, -30], [0.04, 0.1, -2.0, 20], [0, 0, 0, 1]]
    )
    for case in ("case-1", "case-2"):
        folder = root / case
        folder.mkdir(parents=True)
        for sequence in Sequence:
            array = rng.integers(0, 900, SHAPE).astype(np.float32) + 0.25 * decimals
            array[:3] = 0
            image = nib.Nifti1Image(array, affine)
            image.set_qform(affine, 2, strip_shears=True)
            image.set_sform(affine, 1)
            image.to_filename(folder / f"{case}-{sequence.value}.nii.gz")
        labels = rng.integers(0, 5 if cavity else 4, SHAPE).astype(np.uint8)
        nib.Nifti1Image(labels, affine).to_filename(folder / f"{case}-seg.nii.gz")
    return root


@pytest.mark.parametrize("decimals", [False, True])
@pytest.mark.parametrize("layout", Layout)
def test_there_and_back(tmp_path: Path, layout: Layout, decimals: bool) -> None:
    first = source(tmp_path / "first", decimals=decimals)
    convert_dataset(first, tmp_path / "there", layout, LabelScheme.DECATHLON)
    there = tmp_path / "there"
    assert {case.layout for case in find_cases(there)} == {layout}
    assert {case.scheme for case in find_cases(there)} == {LabelScheme.DECATHLON}
    back = tmp_path / "back"
    report = convert_dataset(there, back, Layout.BRATS2023, LabelScheme.BRATS2023)
    assert len(report.cases) == 2
    for one, other in zip(find_cases(first), find_cases(back), strict=True):
        before, after = read_sequences(one), read_sequences(other)
        for sequence in Sequence:
            (array, grid), (array_back, grid_back) = before[sequence], after[sequence]
            assert np.array_equal(array, array_back)
            assert np.array_equal(grid.affine, grid_back.affine)
            assert grid.stored == grid_back.stored
            assert (grid.qform_code, grid.sform_code) == (2, 1)
            assert (grid_back.qform_code, grid_back.sform_code) == (2, 1)
        assert one.reference is not None
        assert other.reference is not None
        labels, place = read_labels(one.reference, LabelScheme.BRATS2023)
        labels_back, place_back = read_labels(other.reference, LabelScheme.BRATS2023)
        assert np.array_equal(labels.array, labels_back.array)
        assert np.array_equal(place.affine, place_back.affine)
        assert place.stored == place_back.stored
    assert not list(tmp_path.glob(".part-*"))


def test_nothing_to_report_when_nothing_is_lost(tmp_path: Path) -> None:
    report = convert_dataset(source(tmp_path / "a"), tmp_path / "b", Layout.PLAIN)
    assert report.not_carried == ()
    assert "everything was carried over" in report.text()
    assert report.schemes == (LabelScheme.BRATS2023,)
    assert report.to_dict()["cases"] == ["case-1", "case-2"]


def test_what_cannot_be_carried_over_is_listed(tmp_path: Path) -> None:
    first = source(tmp_path / "a")
    (first / "survival.csv").write_text("case,days\n", encoding="utf-8")
    path = first / "case-1" / "case-1-t2w.nii.gz"
    image = nib.load(path)
    affine = image.affine.copy()
    affine[0, 3] += 0.02
    array = np.asanyarray(image.dataobj).astype(np.float64)
    other = nib.Nifti1Image(array, affine)
    other.header["descrip"] = b"scanner 7, protocol B"
    other.set_qform(affine, 1)
    other.set_sform(affine, 1)
    other.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"a note"))
    other.to_filename(path)
    report = convert_dataset(first, tmp_path / "b", Layout.DECATHLON)
    text = "\n".join(report.not_carried)
    for words in (
        "scanner 7, protocol B",
        "header extensions",
        "64-bit",
        "q/sform codes (1, 1) become (2, 1)",
        "its affine, which differs by up to 0.02",
        "the file survival.csv",
    ):
        assert words in text, words
        assert words in report.text()
    assert all(note.startswith("case-1: t2w") for note in report.not_carried[:-1])
    named = convert_dataset(first, tmp_path / "c", Layout.BIDS)
    assert "case-2: the name; it is sub-case2 now" in named.not_carried


def test_a_lossy_scheme_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    first = source(tmp_path / "a", cavity=True)
    options: dict[str, Any] = {"labels": LabelScheme.BRATS2024}
    target = tmp_path / "b"
    with pytest.raises(InputError, match="without a loss") as caught:
        convert_dataset(first, target, Layout.NNUNET, LabelScheme.BRATS2023, **options)
    assert "--lossy" in caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    report = convert_dataset(
        first, target, Layout.NNUNET, LabelScheme.BRATS2023, **options, lossy=True
    )
    assert sum("resection cavity" in note for note in report.not_carried) == 2
    case = load_case(find_cases(target)[0])
    assert case.reference is not None
    assert set(np.unique(case.reference.array)) == {0, 1, 2, 3}


def test_cases_without_a_reference_are_test_cases(tmp_path: Path) -> None:
    first = source(tmp_path / "a")
    (first / "case-2" / "case-2-seg.nii.gz").unlink()
    for layout in (Layout.DECATHLON, Layout.NNUNET):
        convert_dataset(first, tmp_path / layout.value, layout)
        one, other = find_cases(tmp_path / layout.value)
        described = json.loads((tmp_path / layout.value / "dataset.json").read_text())
        assert described.get("name", layout.value) == layout.value  # and not of a draft of it
        assert one.reference is not None
        assert other.reference is None
        assert all(path.parent.name == "imagesTs" for path in other.paths)


def test_a_described_data_set_has_one_scheme(tmp_path: Path) -> None:
    first = source(tmp_path / "a")
    (first / "case-2" / "case-2-seg.json").write_text(
        '{"label_scheme": "decathlon"}', encoding="utf-8"
    )
    with pytest.raises(InputError, match="several"):
        convert_dataset(first, tmp_path / "b", Layout.DECATHLON)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    report = convert_dataset(first, tmp_path / "b", Layout.BRATS2023)
    assert report.schemes == (LabelScheme.BRATS2023, LabelScheme.DECATHLON)


def test_targets_that_must_not_be_written_to(tmp_path: Path) -> None:
    first = source(tmp_path / "a")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "thesis.txt").write_text("precious", encoding="utf-8")
    (tmp_path / "file").write_text("precious", encoding="utf-8")
    for target in ("used", "file"):
        with pytest.raises(InputError, match="already there"):
            convert_dataset(first, tmp_path / target, Layout.PLAIN)
    with pytest.raises(InputError, match="lies inside"):
        convert_dataset(first, first / "b", Layout.PLAIN)
    with pytest.raises(InputError, match="cannot be written"):
        convert_dataset(first, tmp_path / "file" / "b", Layout.PLAIN)
    (tmp_path / "empty").mkdir()
    assert convert_dataset(first, tmp_path / "empty", Layout.PLAIN).cases


def test_names_that_would_fall_together_are_refused(tmp_path: Path) -> None:
    first = source(tmp_path / "a")
    for path in [*(first / "case-2").iterdir()]:
        path.rename(path.with_name(path.name.replace("case-2", "case1")))
    (first / "case-2").rename(first / "case1")
    with pytest.raises(InputError, match="same name"):
        convert_dataset(first, tmp_path / "b", Layout.BIDS)
    assert convert_dataset(first, tmp_path / "b", Layout.BRATS2021).cases


def test_one_name_for_two_cases_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = source(tmp_path / "a")
    cases = find_cases(first)
    monkeypatch.setattr("minicube.scans.conversion.find_cases", lambda _: [*cases, cases[0]])
    with pytest.raises(InputError, match="same name"):
        convert_dataset(first, tmp_path / "b", Layout.PLAIN)
    assert not (tmp_path / "b").exists()


def test_axes_in_different_order_cannot_share_a_file(tmp_path: Path) -> None:
    first = source(tmp_path / "a")
    path = first / "case-1" / "case-1-t1c.nii.gz"
    turned = nib.load(path).as_reoriented(np.array([[2, -1], [0, 1], [1, -1]]))
    turned.to_filename(path)
    with pytest.raises(InputError, match="axes in different order"):
        convert_dataset(first, tmp_path / "b", Layout.DECATHLON)
    assert not list(itertools.chain(tmp_path.glob(".part-*"), tmp_path.glob("b")))
    convert_dataset(first, tmp_path / "b", Layout.PLAIN)
    assert nib.load(tmp_path / "b" / "case-1" / "t1c.nii.gz").shape == turned.shape
