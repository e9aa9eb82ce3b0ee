"""Segmentations and reports, read back by pydicom, highdicom and, where it is, dciodvfy."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("highdicom")

import highdicom as hd
from pydicom import Dataset, dcmread

from minicube._errors import InputError
from minicube.cli import main
from minicube.dicom import (
    Findings,
    MadeFrom,
    made_from,
    open_study,
    write_report,
    write_segmentation,
    write_study,
)
from minicube.dicom.findings import NOT_CLINICAL
from minicube.reporting.colours import COLOURS
from minicube.scans import (
    NETWORK_SCHEME,
    Case,
    Geometry,
    LabelMap,
    LabelScheme,
    Layout,
    Region,
    Sequence,
    Tissue,
    holds_dicom,
    read_labels,
    write_case,
)
from small_cases import small_case
from small_dicom import change, tiny_case, tiny_study

TURNED = np.array([[0, 0, 2.0, 5], [-1, 0, 0, 9], [0, 1, 0, -3], [0, 0, 0, 1]])


def _findings(folder: Path, case: Case, labels: LabelMap | None = None) -> Findings:
    found = labels or case.reference
    assert found is not None
    with open_study(folder) as study:
        source = study.choose().chosen[Sequence.T1C].series
    on_file = LabelMap(case.geometry.from_ras(found.array), found.scheme)
    return Findings.on(source, on_file, case.geometry, model="a test", colours=COLOURS)


def _none(case: Case, *kept: int) -> LabelMap:
    assert case.reference is not None
    array = case.reference.array
    return LabelMap(np.where(np.isin(array, kept), array, 0), case.reference.scheme)


def _written(tmp_path: Path, findings: Findings) -> tuple[Path, Path]:
    seg, report = tmp_path / "seg.dcm", tmp_path / "report.dcm"
    write_report(findings, write_segmentation(findings, seg), report)
    return seg, report


def _voxels(path: Path, geometry: Geometry) -> np.ndarray:
    """Labels of a segmentation in RAS+, by its own affine alone, as highdicom reads it."""
    volume = hd.seg.segread(path).get_volume(combine_segments=True, allow_missing_positions=True)
    out = np.zeros(geometry.ras_shape, np.uint8)
    index = np.argwhere(volume.array > 0)
    lps = volume.affine @ np.c_[index, np.ones(len(index))].T
    ras = np.diag([-1, -1, 1, 1]) @ lps
    place = np.linalg.inv(geometry.ras_affine) @ ras
    assert np.abs(place - place.round()).max() < 1e-3
    out[tuple(place[:3].round().astype(int))] = volume.array[tuple(index.T)]
    return out


@pytest.mark.parametrize("affine", [np.diag([-1.0, -1, 3, 1]), TURNED])
def test_a_segmentation_has_the_same_voxels(tmp_path: Path, affine: np.ndarray) -> None:
    case = tiny_case(affine)
    findings = _findings(tiny_study(tmp_path / "s", case), case)
    seg, _ = _written(tmp_path, findings)
    assert case.reference is not None
    assert np.array_equal(_voxels(seg, case.geometry), case.reference.to(NETWORK_SCHEME).array)


def test_a_segmentation_says_what_it_is_and_what_it_lies_on(tmp_path: Path) -> None:
    case = tiny_case()
    findings = _findings(tiny_study(tmp_path / "s"), case)
    seg, _ = _written(tmp_path, findings)
    ds = dcmread(seg)
    sources = {dcmread(path).SOPInstanceUID: dcmread(path) for path in findings.source.files}
    first = next(iter(sources.values()))
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert ds[keyword].value == first[keyword].value
    assert NOT_CLINICAL in ds.SeriesDescription
    assert ds.SegmentationType == "BINARY"
    types = [s.SegmentedPropertyTypeCodeSequence[0].CodeValue for s in ds.SegmentSequence]
    assert types == ["79654002", "C81175", "C113842"]
    assert {s.SegmentAlgorithmType for s in ds.SegmentSequence} == {"AUTOMATIC"}
    # Every frame names the image it lies on, and lies where that image lies.
    for frame in ds.PerFrameFunctionalGroupsSequence:
        uid = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        place = frame.PlanePositionSequence[0].ImagePositionPatient
        assert place == sources[uid].ImagePositionPatient


def test_the_same_findings_have_the_same_identifiers(tmp_path: Path) -> None:
    case = tiny_case()
    folder = tiny_study(tmp_path / "s")
    twice = [dcmread(_written(tmp_path, _findings(folder, case))[0]) for _ in range(2)]
    other = dcmread(_written(tmp_path, _findings(folder, case, _none(case, 2)))[0])
    assert twice[0].SOPInstanceUID == twice[1].SOPInstanceUID != other.SOPInstanceUID


def test_a_segmentation_says_what_it_was_made_from(tmp_path: Path) -> None:
    case, folder = tiny_case(), tiny_study(tmp_path / "s")
    findings = _findings(folder, case)
    seg, report = _written(tmp_path, findings)
    assert made_from(seg) is None
    said = MadeFrom("scans", "settings")
    again, report = _written(tmp_path / "again", replace(findings, made_from=said))
    assert made_from(again) == said
    assert made_from(report) is None
    assert dcmread(again).SOPInstanceUID == dcmread(seg).SOPInstanceUID

    def digest() -> str:
        with open_study(folder) as study:
            return study.choose().digest

    before = digest()
    assert before == digest()
    max((folder / "2_t2w").iterdir()).unlink()
    assert before != digest()


@pytest.mark.parametrize("kept", [(2,), ()])
def test_what_was_not_found_is_described_and_empty(tmp_path: Path, kept: tuple[int, ...]) -> None:
    case = tiny_case()
    labels = _none(case, *kept)
    seg, report = _written(tmp_path, _findings(tiny_study(tmp_path / "s"), case, labels))
    ds = dcmread(seg)
    assert len(ds.SegmentSequence) == 3
    expected = labels.to(NETWORK_SCHEME).array
    if kept:
        assert np.array_equal(_voxels(seg, case.geometry), expected)
    else:
        assert ds.NumberOfFrames == 3
        assert not ds.pixel_array.any()
    values = _volumes(dcmread(report))
    assert values["enhancing tumour"] == values["tumour core (TC)"] == 0
    assert values["oedema"] == pytest.approx((expected == 1).sum() / 1000)


def _volumes(report: Dataset) -> dict[str, float]:
    groups = report.ContentSequence[-1].ContentSequence
    found = {}
    for group in groups:
        by_name = {i.ConceptNameCodeSequence[0].CodeMeaning: i for i in group.ContentSequence}
        measured = by_name["Volume"].MeasuredValueSequence[0]
        assert measured.MeasurementUnitsCodeSequence[0].CodeValue == "mL"
        found[by_name["Tracking Identifier"].TextValue] = float(measured.NumericValue)
    return found


def test_a_report_has_the_volumes_and_names_the_segments(tmp_path: Path) -> None:
    case = tiny_case(np.diag([0.5, 1.5, 2, 1]))
    seg, report = _written(tmp_path, _findings(tiny_study(tmp_path / "s", case), case))
    ds = dcmread(report)
    assert ds.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert NOT_CLINICAL in ds.SeriesDescription
    assert case.reference is not None
    expected = {
        f"{region.title} ({region.value})": case.reference.region(region).sum() * 1.5 / 1000
        for region in Region
    } | {
        tissue.value: case.reference.tissue(tissue).sum() * 1.5 / 1000
        for tissue in (Tissue.OEDEMA, Tissue.CORE, Tissue.ENHANCING)
    }
    assert _volumes(ds) == pytest.approx(expected, abs=6e-4)
    assert str(dcmread(seg).SOPInstanceUID) in str(ds)


def test_a_source_that_leaves_out_what_may_be_empty(tmp_path: Path) -> None:
    case = tiny_case()
    folder = tiny_study(tmp_path / "s")

    def strip(ds: Dataset, number: int) -> None:
        for keyword in ("AccessionNumber", "StudyID", "ReferringPhysicianName", "PatientSex"):
            delattr(ds, keyword)

    change(folder, strip)
    ds = dcmread(_written(tmp_path, _findings(folder, case))[0])
    assert ds.AccessionNumber == ""
    assert ds.PatientSex == ""


def test_labels_of_another_grid_are_refused(tmp_path: Path) -> None:
    case = tiny_case()
    folder = tiny_study(tmp_path / "s")
    moved = Case("m", case.images, Geometry(case.shape, np.diag([1.0, 1, 2, 1])), case.brain)
    assert case.reference is not None
    with pytest.raises(InputError, match="do not lie on the grid"):
        _findings(folder, moved, case.reference)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools is not installed")
@pytest.mark.parametrize("kept", [(1, 2, 3), ()])
def test_dciodvfy_has_nothing_to_complain_about(tmp_path: Path, kept: tuple[int, ...]) -> None:
    case = tiny_case(TURNED)
    folder = tiny_study(tmp_path / "s", case)
    written = _written(tmp_path, _findings(folder, case, _none(case, *kept)))
    for path in (*written, *(one / "0001.dcm" for one in folder.iterdir())):
        told = subprocess.run(["dciodvfy", path], capture_output=True, text=True, timeout=60)
        assert "Error" not in told.stdout + told.stderr, (path, told.stderr)
        assert "Warning" not in told.stdout + told.stderr, (path, told.stderr)


def test_axes_that_are_not_at_right_angles_are_refused(tmp_path: Path) -> None:
    affine = np.eye(4)
    affine[0, 2] = 0.3
    with pytest.raises(InputError, match="not at right angles"):
        write_study(tiny_case(affine), tmp_path)


def test_segment_takes_a_study_and_gives_what_the_archive_wants(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = small_case(4)
    folder, out = tmp_path / "s", tmp_path / "out"
    write_study(case, folder)
    with pytest.raises(SystemExit) as ended:
        main(["segment", str(folder), "-o", str(out), "--json"])
    assert ended.value.code in (0, None)
    row = json.loads(capsys.readouterr().out)
    assert row["dicom"] == [str(out / "seg.dcm"), str(out / "report.dcm")]
    labels, grid = read_labels(out / "seg.nii.gz", LabelScheme.BRATS2023)
    assert labels.array.any()
    ras = LabelMap(grid.to_ras(labels.array), labels.scheme).to(NETWORK_SCHEME).array
    assert np.array_equal(_voxels(out / "seg.dcm", case.geometry), ras)
    assert _volumes(dcmread(out / "report.dcm"))["whole tumour (WT)"] == row["volumes_ml"]["WT"]
    assert {path.name for path in (out / "scans").iterdir()} == {
        *(f"{s.value}.nii.gz" for s in Sequence),
        "study.json",
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-o", "out.nii.gz"), "give -o a folder"),
        (("-o", "out.html"), "give -o a folder"),
        (("-o", "out", "--report", "page.pdf"), "neither a folder nor a file"),
        (("-o", "out", "--uncertainty", "u.json"), "neither a folder nor a file"),
        (("-o", "out", "--probabilities", "p.nii.gz"), "name a folder"),
        (("-o", "out", "--t1ce", "x.nii.gz"), "name a series by its number"),
        (("-o", "out", "--t1ce", "9"), "no series 9"),
    ],
)
def test_segment_says_what_it_needs_of_a_study(
    tmp_path: Path,
    words: tuple[str, ...],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_study(tmp_path / "s")
    with pytest.raises(SystemExit) as ended:
        main(["segment", "s", *words])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()  # nothing was converted, either


def test_results_inside_a_study_do_not_hide_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "s"
    write_study(small_case(4), folder)
    for out in (folder, folder / "results", folder / "again"):
        before = (out / "seg.dcm").stat().st_mtime_ns if (out / "seg.dcm").exists() else 0
        with pytest.raises(SystemExit) as ended:
            main(["segment", str(folder), "-o", str(out), "--report", str(out / "pages"), "--json"])
        assert ended.value.code in (0, None)
        row = json.loads(capsys.readouterr().out)
        assert row["dicom"] == [str(out / "seg.dcm"), str(out / "report.dcm")]
        assert (out / "seg.dcm").stat().st_mtime_ns > before
        assert [path.suffix for path in (out / "pages").iterdir()] == [".html"]
    assert holds_dicom(folder)


def test_list_and_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tiny_study(tmp_path / "s")
    for words, shown in ((["--json"], '"t1c": 4'), ([], "T1 MPRAGE")):
        with pytest.raises(SystemExit) as ended:
            main(["dicom", "list", str(folder), *words])
        assert ended.value.code in (0, None)
        assert shown.split()[0] in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(["data", "list", str(folder)])
    assert ended.value.code == 2
    assert "minicube dicom list" in capsys.readouterr().err


def test_a_study_is_not_written_beside_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case, out = tmp_path / "case", tmp_path / "study"
    write_case(replace(small_case(3, (8, 9, 4)), reference=None), case, Layout.BRATS2023)

    def write() -> int:
        with pytest.raises(SystemExit) as ended:
            main(["dicom", "write", str(case), "-o", str(out)])
        return int(ended.value.code or 0)

    assert write() == 0
    before = sorted(out.rglob("*.dcm"))
    assert len(before) == 4 * 4
    assert write() == 2
    assert "already exists" in capsys.readouterr().err
    assert sorted(out.rglob("*.dcm")) == before
