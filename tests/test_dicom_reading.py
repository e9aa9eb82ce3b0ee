"""DICOM files to volumes: order, grids, ways of packing, and what must be refused."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("highdicom")

import highdicom as hd
import pydicom
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import UID, JPEGLSLossless, RLELossless

from minicube._errors import InputError, NotPrepared
from minicube.dicom import open_study, read_series, read_volume, write_case_files, write_study
from minicube.dicom.series import Series
from minicube.scans import Case, Geometry, Sequence, holds_dicom, load_case
from small_dicom import SHAPE, change, tiny_case, tiny_study

# Not through pydicom's own search, which would fetch more.
SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"


def _only(folder: Path) -> Series:
    series, _ = read_series(folder)
    assert len(series) == 1
    return series[0]


def _check_equal(series: Series, case: Case, sequence: Sequence) -> None:
    assert series.geometry is not None, series.problem
    volume = series.geometry.to_ras(read_volume(series))
    assert np.array_equal(volume, case.images[sequence])
    assert series.geometry.ras_grid().matches(case.geometry.ras_grid(), tolerance_mm=1e-6)


def _signed_permutations() -> list[NDArray[np.float64]]:
    found = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            matrix = np.zeros((3, 3))
            matrix[list(order), range(3)] = signs
            found.append(matrix)
    return found


def test_every_orientation_comes_back_with_its_voxels(tmp_path: Path) -> None:
    values = np.random.default_rng(2).integers(1, 900, (4, 5, 3)).astype(np.float32)
    for number, matrix in enumerate(_signed_permutations()):
        affine = np.eye(4)
        affine[:3, :3] = matrix @ np.diag([0.9, 1.1, 2.5])
        affine[:3, 3] = (-31.25, 12.5, 7.125)
        geometry = Geometry((4, 5, 3), affine)
        image = geometry.to_ras(values)
        case = Case("one", {Sequence.T1C: image}, geometry, image > 0)
        write_study(case, tmp_path / str(number))
        _check_equal(_only(tmp_path / str(number)), case, Sequence.T1C)


def test_an_oblique_grid_keeps_its_affine(tmp_path: Path) -> None:
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([1, 1, 3.3])
    affine[:3, 3] = (-80.123456, 33.3, -12.7)
    case = tiny_case(affine)
    tiny_study(tmp_path, case)
    for series, sequence in zip(read_series(tmp_path)[0], _ORDER, strict=True):
        assert series.geometry is not None
        assert series.geometry.ras_grid().matches(case.geometry.ras_grid(), tolerance_mm=1e-4)
        assert np.array_equal(series.geometry.to_ras(read_volume(series)), case.images[sequence])


_ORDER = (Sequence.T1N, Sequence.T2W, Sequence.T2F, Sequence.T1C)


def test_instance_numbers_and_file_names_say_nothing(tmp_path: Path) -> None:
    case = tiny_case()
    folder = tiny_study(tmp_path / "s") / "1_t1n"
    numbers = np.random.default_rng(0).permutation(SHAPE[2])
    change(folder, lambda ds, n: setattr(ds, "InstanceNumber", int(numbers[n])))
    for number, path in enumerate(sorted(folder.iterdir())):
        path.rename(folder / f"IM{numbers[number]}")
    _check_equal(_only(folder), case, Sequence.T1N)


def test_rescaled_values_come_back(tmp_path: Path) -> None:
    case = tiny_case()
    images = {s: (image / 7 - 3).astype(np.float32) for s, image in case.images.items()}
    write_study(Case("scaled", images, case.geometry, case.brain), tmp_path)
    series = read_series(tmp_path)[0][0]
    assert series.geometry is not None
    error = np.abs(series.geometry.to_ras(read_volume(series)) - images[Sequence.T1N]).max()
    assert error <= 0.51 * np.ptp(images[Sequence.T1N]) / 65535


def _moved(ds: Dataset, by: tuple[float, float, float]) -> None:
    old = np.array(ds.ImagePositionPatient, float)
    ds.ImagePositionPatient = [round(v, 6) for v in old + by]


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (lambda ds, n: _moved(ds, (0, 0.3 * n, 0)), r"askew by 16\.7° \(gantry tilt\)"),
        (lambda ds, n: _moved(ds, (0, 0, 0.1 * n * n)), "not evenly"),
        (lambda ds, n: _moved(ds, (0, 0, 1.0 * (n > 6))), "1 image missing"),
        (lambda ds, n: _moved(ds, (0, 2.0 * (n == 5), 0)), "shifted against each other"),
        (lambda ds, n: _moved(ds, (0, 0, -1.0 * (n % 2))), "2 images at each place"),
        (lambda ds, n: delattr(ds, "ImagePositionPatient"), "does not say where"),
        (lambda ds, n: delattr(ds, "FrameOfReferenceUID"), "frame of reference"),
        (lambda ds, n: setattr(ds, "PixelSpacing", [0, 0]), "does not say where"),
        (
            lambda ds, n: setattr(ds, "ImageOrientationPatient", [1, 0, 0, 0.5, 0.866, 0]),
            "right angles",
        ),
    ],
)
def test_what_makes_no_volume_says_why(tmp_path: Path, edit: object, problem: str) -> None:
    folder = tiny_study(tmp_path) / "1_t1n"
    assert callable(edit)
    change(folder, edit)
    series = _only(folder)
    assert series.geometry is None
    assert re.search(problem, series.problem), series.problem
    with pytest.raises(InputError, match="makes no volume"):
        read_volume(series)


def test_a_missing_slice_is_noticed(tmp_path: Path) -> None:
    folder = tiny_study(tmp_path) / "1_t1n"
    (folder / "0005.dcm").unlink()
    assert "1 image missing, first between 3.0 and 5.0 mm" in _only(folder).problem


def test_a_series_of_two_echoes_and_a_localiser_are_taken_apart(tmp_path: Path) -> None:
    tiny_study(tmp_path)
    uid = dcmread(tmp_path / "1_t1n" / "0001.dcm").SeriesInstanceUID
    change(tmp_path / "2_t2w", lambda ds, n: setattr(ds, "SeriesInstanceUID", uid))
    series, _ = read_series(tmp_path)
    assert len(series) == 4  # by echo time
    turned = [1, 0, 0, 0, 0, -1]
    change(
        tmp_path / "4_t1c",
        lambda ds, n: setattr(ds, "ImageOrientationPatient", turned) if n > 8 else None,
    )
    assert len(read_series(tmp_path)[0]) == 5


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
def test_packed_images_are_read(tmp_path: Path, syntax: str) -> None:
    case = tiny_case()
    folder = tiny_study(tmp_path) / "3_t2f"
    change(folder, lambda ds, n: ds.compress(syntax, generate_instance_uid=False))
    _check_equal(_only(folder), case, Sequence.T2F)


@pytest.mark.parametrize("kind", ["JPEGLosslessProcess14_1", "JPEG2000Lossless"])
def test_what_gdcm_packs_is_read(tmp_path: Path, kind: str) -> None:
    gdcm = pytest.importorskip("gdcm")
    case = tiny_case()
    folder = tiny_study(tmp_path) / "3_t2f"
    for path in folder.iterdir():
        reader, writer = gdcm.ImageReader(), gdcm.ImageWriter()
        reader.SetFileName(str(path))
        assert reader.Read()
        change_syntax = gdcm.ImageChangeTransferSyntax()
        change_syntax.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, kind)))
        change_syntax.SetInput(reader.GetImage())
        assert change_syntax.Change()
        writer.SetFileName(str(path))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change_syntax.GetOutput())
        assert writer.Write()
    _check_equal(_only(folder), case, Sequence.T2F)


def test_multi_frame_files_are_read(tmp_path: Path) -> None:
    case = tiny_case()
    folder = tiny_study(tmp_path / "s") / "4_t1c"
    sources = [dcmread(path) for path in sorted(folder.iterdir())]
    for ds in sources:
        ds.BurnedInAnnotation = "NO"
    many = hd.legacy.LegacyConvertedEnhancedMRImage(sources[::-1], hd.UID(), 7, hd.UID(), 1)
    (tmp_path / "many").mkdir()
    many.save_as(tmp_path / "many" / "x", enforce_file_format=True)
    series = _only(tmp_path / "many")
    assert len(series.files) == 1
    _check_equal(series, case, Sequence.T1C)


def test_the_same_image_twice_counts_once(tmp_path: Path) -> None:
    tiny_study(tmp_path / "a")
    tiny_study(tmp_path / "b")
    assert len(read_series(tmp_path)[0]) == 4


def test_a_study_becomes_a_case(tmp_path: Path) -> None:
    case = tiny_case()
    with open_study(tiny_study(tmp_path / "s")) as study:
        files = write_case_files(study, study.choose(), tmp_path / "out")
        assert re.fullmatch(r"study-[0-9a-f]{8}", files.identity)
    assert set(files.sequences) == set(case.images)
    text = (tmp_path / "out" / "study.json").read_text("utf-8")
    assert case.identity not in text  # nor anything else of a patient


def test_different_grids_are_written_as_they_are(tmp_path: Path) -> None:
    tiny_study(tmp_path / "s")
    change(tmp_path / "s" / "3_t2f", lambda ds, n: _moved(ds, (0, 0, 4)))
    with open_study(tmp_path / "s") as study:
        files = write_case_files(study, study.choose(), tmp_path / "out")
    with pytest.raises(NotPrepared, match="different grids"):
        load_case(files)


def test_two_studies_are_not_one(tmp_path: Path) -> None:
    tiny_study(tmp_path / "a")
    tiny_study(tmp_path / "b", tiny_case(identity="other"))
    with pytest.raises(InputError, match="holds 2 studies"), open_study(tmp_path):
        pass


def test_what_holds_dicom(tmp_path: Path) -> None:
    assert not holds_dicom(tmp_path)
    (tmp_path / "x").write_text("not DICOM")
    assert not holds_dicom(tmp_path)
    tiny_study(tmp_path / "deep" / "er")
    assert holds_dicom(tmp_path)
    (tmp_path / "t1.nii.gz").write_bytes(b"")
    assert not holds_dicom(tmp_path)


def test_files_that_pydicom_ships_are_read_or_refused(tmp_path: Path) -> None:
    """Each alone: damaged, colour, big-endian, deflated, not images – never a traceback."""
    seen = 0
    for number, name in enumerate(sorted(SHIPPED.glob("*.dcm"))):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "x.dcm").symlink_to(name)
        try:
            series, _ = read_series(folder)
        except InputError:
            continue
        for one in series:
            if one.geometry is not None:
                read_volume(one)
        seen += 1
    assert seen > 20


@pytest.mark.parametrize("packed", ["RLE", "jp2klossless", "jpeg_ls_lossless", "bigendian"])
def test_a_real_slice_is_the_same_however_it_is_packed(tmp_path: Path, packed: str) -> None:
    plain, other = SHIPPED / "MR_small.dcm", SHIPPED / f"MR_small_{packed}.dcm"
    found = []
    for name in (plain, other):
        folder = tmp_path / name.stem
        folder.mkdir()
        # A second slice, as one makes no volume.
        for n in range(2):
            ds = dcmread(name)
            ds.ImagePositionPatient = [0, 0, n]
            ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(f"1.2.{n}")
            ds.save_as(folder / str(n))
        found.append(read_volume(_only(folder)))
    assert found[0].std() > 0
    assert np.array_equal(found[0], found[1])


def test_damaged_files_are_told_or_read(tmp_path: Path) -> None:
    """Bytes changed and files cut, with a fixed seed: an InputError or a volume, nothing else."""
    source = (tiny_study(tmp_path / "s") / "1_t1n" / "0003.dcm").read_bytes()
    packed = (SHIPPED / "MR_small_RLE.dcm").read_bytes()
    rng = np.random.default_rng(11)
    folder = tmp_path / "bad"
    folder.mkdir()
    for number in range(100):
        data = bytearray(source if number % 2 else packed)
        for place in rng.integers(132, min(len(data), 2000), rng.integers(1, 8)):
            data[place] = rng.integers(256)
        (folder / "x").write_bytes(
            data[: rng.integers(200, len(data))] if number % 5 == 0 else data
        )
        try:
            series, _ = read_series(folder)
            for one in series:
                if one.geometry is not None:
                    read_volume(one)
        except InputError:
            pass


def test_an_image_of_another_size_than_said_is_refused(tmp_path: Path) -> None:
    folder = tiny_study(tmp_path) / "1_t1n"
    small = np.zeros((4, 4), np.uint8)

    def cheat(ds: Dataset, number: int) -> None:
        ds.compress(RLELossless, generate_instance_uid=False)
        ds.PixelData = encapsulate([small.tobytes()])

    change(folder, cheat)
    with pytest.raises(InputError, match="cannot be read"):
        read_volume(_only(folder))
