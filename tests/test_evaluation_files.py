"""Label maps on disk: pairing, schemes, grids."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from minicube import InputError
from minicube.evaluation import evaluate_files
from minicube.scans import Geometry, LabelMap, LabelScheme, Region, read_labels, write_label_map
from small_cases import write_small_dataset

PREDICTIONS = Path(__file__).parents[2] / "shared" / "data" / "predictions"
SHAPE = (7, 6, 5)
BRATS2021 = LabelScheme.BRATS2021

# Counted with boolean masks, apart from this package.
REAL_MEANS = {Region.WT: 0.6371, Region.TC: 0.6826, Region.ET: 0.6973}


def drawn(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).choice(np.array([0, 1, 2, 4], np.uint8), SHAPE)


def write(path: Path, array: NDArray[np.uint8], affine: NDArray[np.float64] | None = None) -> Path:
    """A label map that does not say its scheme, as others write them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image(array, np.eye(4) if affine is None else affine).to_filename(path)
    return path


def image(array: NDArray[np.uint8], affine: NDArray[np.float64]) -> nib.Nifti1Image:
    return nib.Nifti1Image(array, affine)


def test_two_files(tmp_path: Path) -> None:
    found = write(tmp_path / "case_7_pred.nii.gz", drawn(0))
    truth = write(tmp_path / "truth.nii", drawn(1))
    (case,) = evaluate_files(found, truth, BRATS2021, BRATS2021).cases
    assert case.identity == "case_7"
    both = (drawn(0) == 4) & (drawn(1) == 4)
    assert case.regions[Region.ET].counts.tp == both.sum()


def test_an_unknown_scheme_names_the_flag(tmp_path: Path) -> None:
    found = write(tmp_path / "a.nii.gz", drawn(0))
    truth = write(tmp_path / "b.nii.gz", drawn(1))
    with pytest.raises(InputError, match="--prediction-labels") as caught:
        evaluate_files(found, truth, None, BRATS2021)
    assert "a.nii.gz" in caught.value.problem
    with pytest.raises(InputError, match="--reference-labels") as caught:
        evaluate_files(found, truth, BRATS2021, None)
    assert "b.nii.gz" in caught.value.problem


def test_a_file_that_states_its_scheme_needs_no_flag(tmp_path: Path) -> None:
    labels = LabelMap(drawn(0), BRATS2021)
    geometry = Geometry(SHAPE, np.eye(4))
    write_label_map(tmp_path / "a.nii.gz", labels, geometry)
    write_label_map(tmp_path / "b.nii.gz", labels.to(LabelScheme.DECATHLON), geometry)
    (case,) = evaluate_files(tmp_path / "a.nii.gz", tmp_path / "b.nii.gz").cases
    assert case.regions[Region.TC].dice == 1


def test_axis_order_and_direction_do_not_matter(tmp_path: Path) -> None:
    affine = np.diag([1.0, 1.5, 2.0, 1.0])
    plain = image(drawn(0), affine)
    plain.to_filename(tmp_path / "plain.nii.gz")
    # First axis to the third, reversed; and so on: the orientation array of nibabel.
    turned = plain.as_reoriented(np.array([[2, -1], [0, 1], [1, -1]]))
    assert turned.shape != plain.shape
    turned.to_filename(tmp_path / "turned.nii.gz")
    files = tmp_path / "turned.nii.gz", tmp_path / "plain.nii.gz"
    (case,) = evaluate_files(*files, BRATS2021, BRATS2021).cases
    assert np.array_equal(case.confusion.matrix, np.diag(np.diag(case.confusion.matrix)))


@pytest.mark.parametrize(
    ("shape", "affine"),
    [(SHAPE, np.diag([1.0, 1.0, 1.2, 1.0])), ((7, 6, 4), np.eye(4))],
    ids=["spacing", "shape"],
)
def test_different_grids_are_refused_and_both_described(
    tmp_path: Path, shape: tuple[int, int, int], affine: NDArray[np.float64]
) -> None:
    found = write(tmp_path / "a.nii.gz", np.zeros(shape, np.uint8), affine)
    truth = write(tmp_path / "b.nii.gz", drawn(0))
    with pytest.raises(InputError, match="different grids") as caught:
        evaluate_files(found, truth, BRATS2021, BRATS2021)
    assert "7 × 6 × 5 voxels of 1 × 1 × 1 mm" in caught.value.expected
    assert " × ".join(map(str, shape)) in caught.value.found


def test_two_folders_are_matched_by_name(tmp_path: Path) -> None:
    for seed, name in enumerate(("p_10", "p_2")):
        write(tmp_path / "found" / f"{name}_seg.nii.gz", drawn(seed))
        write(tmp_path / "truth" / f"{name}-dseg.nii", drawn(seed))
    (tmp_path / "found" / "._p_2_seg.nii.gz").write_bytes(b"left by a file manager")
    result = evaluate_files(tmp_path / "found", tmp_path / "truth", BRATS2021, BRATS2021)
    assert [case.identity for case in result.cases] == ["p_10", "p_2"]
    assert result.summary.regions[Region.WT].mean == 1


def test_missing_counterparts_are_all_named(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write(tmp_path / "found" / f"{name}.nii.gz", drawn(0))
    for name in ("b", "d"):
        write(tmp_path / "truth" / f"{name}.nii.gz", drawn(0))
    with pytest.raises(InputError, match="do not pair up") as caught:
        evaluate_files(tmp_path / "found", tmp_path / "truth", BRATS2021, BRATS2021)
    assert f"in {tmp_path / 'found'} alone: a, c" in caught.value.found
    assert f"in {tmp_path / 'truth'} alone: d" in caught.value.found


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "found" / "a.nii.gz", drawn(0))
    write(tmp_path / "found" / "a_seg.nii", drawn(0))
    write(tmp_path / "truth" / "a.nii.gz", drawn(0))
    with pytest.raises(InputError, match="have the name a"):
        evaluate_files(tmp_path / "found", tmp_path / "truth", BRATS2021, BRATS2021)


def test_a_file_and_a_folder_or_nothing_at_all_are_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "a.nii.gz", drawn(0))
    with pytest.raises(InputError, match="two files or two folders"):
        evaluate_files(file, tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        evaluate_files(file, tmp_path / "nowhere.nii.gz")


def test_predictions_against_a_dataset_folder(tmp_path: Path) -> None:
    dataset = write_small_dataset(tmp_path / "dataset", 2)
    for reference in sorted(dataset.rglob("*-seg.nii.gz")):
        target = tmp_path / "found" / reference.name.replace("-seg", "_seg")
        labels, geometry = read_labels(reference, LabelScheme.BRATS2023)
        write_label_map(target, labels, geometry)
        # As others write them: then only the layout tells the scheme.
        reference.with_name(reference.name.replace(".nii.gz", ".json")).unlink(missing_ok=True)
        write(reference, labels.array, geometry.affine)
    result = evaluate_files(tmp_path / "found", dataset)
    assert [case.identity for case in result.cases] == ["small-000", "small-001"]
    assert result.summary.regions[Region.ET].mean == 1


def test_real_predictions(tmp_path: Path) -> None:
    if not PREDICTIONS.is_dir():
        pytest.skip("the predictions of shared/data are not present")
    truth = tmp_path / "truth"
    truth.mkdir()
    for path in (PREDICTIONS / "reference").iterdir():
        shutil.copy(path, truth / f"BraTS20_Training_{path.name}")
    folder = PREDICTIONS / "waveloss_attention"
    result = evaluate_files(folder, truth, BRATS2021, BRATS2021)
    assert len(result.cases) == 6
    means = {region: summary.mean for region, summary in result.summary.regions.items()}
    assert means == pytest.approx(REAL_MEANS, abs=1e-4)
