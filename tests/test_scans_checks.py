"""Each thing that can be wrong with a case ends in its own sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from minicube import InputError
from minicube.scans import LabelScheme, Sequence, load_case
from minicube.scans._brain import brain_mask

nib: Any = nibabel  # half typed
SHARED = Path(__file__).parents[2] / "shared" / "data"
SHAPE = (20, 18, 16)


def ball(level: int = 100) -> Any:
    grid = np.indices(SHAPE) - np.array(SHAPE).reshape(3, 1, 1, 1) / 2
    return np.where((grid**2).sum(0) < 49, level, 0).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound case, for a test to spoil."""
    for i, sequence in enumerate(Sequence):
        save(tmp_path / f"{sequence.value}.nii.gz", ball(100 + i))
    save(tmp_path / "seg.nii.gz", (ball() > 0).astype(np.uint8))
    return tmp_path


def save(path: Path, array: Any, affine: Any = None) -> None:
    nib.Nifti1Image(array, np.eye(4) if affine is None else affine).to_filename(path)


def complaint(folder: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        load_case(folder, labels=LabelScheme.BRATS2021)
    return caught.value


def test_the_sound_case_is_sound(folder: Path) -> None:
    case = load_case(folder, labels=LabelScheme.BRATS2021)
    assert np.array_equal(case.brain, ball() > 0)
    assert case.warnings == ()


def test_missing_sequences_are_named(folder: Path) -> None:
    (folder / "t2f.nii.gz").unlink()
    (warning,) = load_case(folder, labels=LabelScheme.BRATS2021).warnings
    assert warning.startswith("no FLAIR (t2f)")
    (folder / "t1c.nii.gz").unlink()
    (folder / "t2w.nii.gz").unlink()
    error = complaint(folder)
    assert "no sequence is there that a tumour can be seen on" in error.problem
    assert error.found == "no T1 with contrast (t1c), no T2 (t2w), no FLAIR (t2f)"


@pytest.mark.parametrize("name", ["t2w", "seg"])
def test_different_grids_state_both_affines(folder: Path, name: str) -> None:
    affine = np.diag([1, 1, 1.25, 1.0])
    save(folder / f"{name}.nii.gz", (ball() > 0).astype(np.uint8), affine)
    error = complaint(folder)
    assert "different grids" in error.problem
    assert "[1 0 0 0; 0 1 0 0; 0 0 1 0]" in error.expected
    assert "[1 0 0 0; 0 1 0 0; 0 0 1.25 0]" in error.found
    assert "20 × 18 × 16" in error.found
    assert name in error.found


def test_axis_order_alone_is_no_difference(folder: Path) -> None:
    image = nib.load(folder / "t2w.nii.gz")
    turned = image.as_reoriented(np.array([[2, -1], [0, 1], [1, -1]]))
    turned.to_filename(folder / "t2w.nii.gz")
    case = load_case(folder, labels=LabelScheme.BRATS2021)
    assert np.array_equal(case.images[Sequence.T2W], ball(102))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers(folder: Path, value: float) -> None:
    array = ball()
    array[3, 3, 3] = value
    save(folder / "t2f.nii.gz", array)
    error = complaint(folder)
    assert "NaN" in error.problem
    assert "FLAIR" in error.problem
    assert error.found.startswith("1 of")


def test_an_empty_volume(folder: Path) -> None:
    save(folder / "t1n.nii.gz", np.zeros(SHAPE, np.int16))
    assert "every voxel is 0" in complaint(folder).problem


def test_a_4d_file_in_place_of_a_sequence(folder: Path) -> None:
    save(folder / "t1n.nii.gz", np.stack([ball(), ball()], -1))
    assert complaint(folder).found == "2 volumes"


def test_a_truncated_file(folder: Path) -> None:
    path = folder / "t1n.nii.gz"
    path.write_bytes(path.read_bytes()[:-40])
    error = complaint(folder)
    assert "breaks off" in error.problem
    assert "t1n.nii.gz" in error.problem


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ((np.nan, 0, 0, 0), "not finite"),
        ((1, 15, 0, 0), "singular"),
        ((0, 0, 0, 0), "voxels of 0"),
        ((90, 0, 0, 0), "voxels of 90"),
        ((1, 0, 0, 1e6), "ten metres"),
    ],
)
def test_an_affine_that_is_none(folder: Path, row: tuple[float, ...], words: str) -> None:
    for sequence in Sequence:
        path = folder / f"{sequence.value}.nii.gz"
        image = nib.load(path)
        array = np.asanyarray(image.dataobj)
        spoilt = nib.Nifti1Image(array, np.eye(4))
        spoilt.header["srow_x"] = row
        spoilt.header["sform_code"] = 1
        spoilt.affine[0] = row
        nib.Nifti1Image(array, None, spoilt.header).to_filename(path)
    assert words in complaint(folder).problem


def test_no_stated_orientation_is_remarked(folder: Path) -> None:
    for path in folder.glob("*.nii.gz"):
        image = nib.load(path)
        image.set_sform(np.eye(4), 0)
        image.set_qform(np.eye(4), 0)
        nib.Nifti1Image(np.asanyarray(image.dataobj), None, image.header).to_filename(path)
    case = load_case(folder, labels=LabelScheme.BRATS2021)
    assert "which side is left" in case.warnings[0]


def test_a_damaged_reference_does_not_matter_to_who_ignores_it(folder: Path) -> None:
    (folder / "seg.nii.gz").write_bytes(b"rubbish")
    assert load_case(folder, with_reference=False).reference is None
    assert "seg.nii.gz" in complaint(folder).problem


def test_fluid_that_is_zero_everywhere_is_brain() -> None:
    images = [ball() for _ in Sequence]
    for image in images:
        image[9:11, 8:10, 7:9] = 0
        image[0, 0, 0] = 0
    images[1][4:6] = 0  # one sequence alone sees less
    mask = brain_mask(image != 0 for image in images)
    assert np.array_equal(mask, ball() > 0)


def test_an_open_cleft_is_not_filled() -> None:
    image = ball()
    image[9:11, 8:10, 7:] = 0
    assert not brain_mask([image != 0])[9, 8, 12]


@pytest.mark.skipif(not SHARED.is_dir(), reason="scans (../shared/data) not present")
def test_a_head_is_noticed(tmp_path: Path) -> None:
    raw = SHARED / "unlabelled" / "TCGA-FG-6692_raw_with_skull"
    for name in ("t1", "flair"):
        error = complaint_of(dict.fromkeys(Sequence, raw / f"{name}.nii.gz"))
        assert "skull is still on" in error.problem
        assert "litres" in error.found
        assert "noticed" in error.found
    # A few slices only: less than a brain's volume, but no empty background.
    image = nib.load(raw / "t1.nii.gz")
    path = tmp_path / "slices.nii.gz"
    image.slicer[:, :, 10:15].to_filename(path)
    assert "of the volume is not 0" in complaint_of(dict.fromkeys(Sequence, path)).found
    error = complaint(raw)
    assert "different grids" in error.problem


@pytest.mark.skipif(not SHARED.is_dir(), reason="scans (../shared/data) not present")
@pytest.mark.parametrize("group", ["real", "unlabelled"])
def test_no_stripped_brain_is_taken_for_a_head(group: str) -> None:
    folders = [f for f in sorted((SHARED / group).iterdir()) if "with_skull" not in f.name]
    assert len(folders) >= 3
    for folder in folders:
        case = load_case(folder, with_reference=False)
        assert 1.0 < case.brain.sum() / 1e6 < 2.0


def complaint_of(files: dict[Sequence, Path]) -> InputError:
    with pytest.raises(InputError) as caught:
        load_case(files)
    return caught.value
