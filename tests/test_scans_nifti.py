"""NIfTI files: number types, byte orders, statements of scheme, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from minicube import InputError
from minicube.scans import (
    Geometry,
    LabelMap,
    LabelScheme,
    read_labels,
    read_volume,
    read_volumes_4d,
    stated_scheme,
    write_label_map,
    write_volume,
)

nib: Any = nibabel  # half typed
SHAPE = (4, 5, 6)
GRID = Geometry(SHAPE, np.eye(4))
BRATS2021 = LabelScheme.BRATS2021


def numbers(dtype: str = "i2", top: int = 100) -> Any:
    return np.random.default_rng(0).integers(0, top, SHAPE).astype(dtype)


def save(path: Path, array: Any, **header: Any) -> Path:
    image = nib.Nifti1Image(array, np.eye(4), dtype=array.dtype)
    for name, value in header.items():
        image.header[name] = value
    image.to_filename(path)
    return path


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_every_number_type_and_byte_order(
    tmp_path: Path, dtype: str, order: str, kind: Any
) -> None:
    array = numbers(dtype)
    header = (nib.Nifti1Header if kind is nib.Nifti1Image else nib.Nifti2Header)(endianness=order)
    header.set_data_dtype(np.dtype(dtype))
    kind(array, np.eye(4), header).to_filename(tmp_path / "scan.nii.gz")
    found, _ = read_volume(tmp_path / "scan.nii.gz")
    assert found.dtype == np.float32
    assert np.array_equal(found, array)


def test_intensity_scale_is_applied(tmp_path: Path) -> None:
    image = nib.Nifti1Image(numbers(), np.eye(4))
    image.header.set_slope_inter(0.5, -3)
    image.to_filename(tmp_path / "scan.nii")  # nibabel divides when it writes
    raw = (tmp_path / "scan.nii").read_bytes()[352:]
    found, _ = read_volume(tmp_path / "scan.nii")
    stored = np.frombuffer(raw, "<i2").reshape(SHAPE, order="F")
    assert np.array_equal(found, stored * 0.5 - 3)


def test_a_file_larger_than_one_piece(tmp_path: Path) -> None:
    shape = (130, 120, 100)  # more than the million voxels converted at a time
    array = np.random.default_rng(1).integers(0, 3000, shape).astype(np.int16)
    nib.Nifti1Image(array, np.eye(4)).to_filename(tmp_path / "scan.nii.gz")
    found, _ = read_volume(tmp_path / "scan.nii.gz")
    assert np.array_equal(found, array)


def test_packed_or_not_is_read_from_the_file_not_its_name(tmp_path: Path) -> None:
    array = numbers()
    packed, plain = save(tmp_path / "a.nii.gz", array), save(tmp_path / "b.nii", array)
    packed.rename(tmp_path / "packed.nii")
    plain.rename(tmp_path / "plain.nii.gz")
    for name in ("packed.nii", "plain.nii.gz"):
        assert np.array_equal(read_volume(tmp_path / name)[0], array)


def test_writing_keeps_values_and_is_the_same_every_time(tmp_path: Path) -> None:
    for name, array, dtype in (
        ("whole", numbers("f4", 3000), "<i2"),
        ("large", numbers("f4", 100_000), "<i4"),
        ("decimal", numbers("f4") + np.float32(0.1), "<f4"),
    ):
        path = tmp_path / f"{name}.nii.gz"
        write_volume(path, array, GRID)
        first = path.read_bytes()
        write_volume(path, array, GRID)
        assert path.read_bytes() == first
        image = nib.load(path)
        assert image.get_data_dtype() == np.dtype(dtype)
        assert np.array_equal(image.get_fdata(), array)
    assert not list(tmp_path.glob(".part-*"))


def test_a_label_map_states_its_scheme_twice(tmp_path: Path) -> None:
    path = tmp_path / "seg.nii.gz"
    write_label_map(path, LabelMap(numbers("u1", 3), LabelScheme.DECATHLON), GRID)
    header = nib.load(path).header
    assert header.get_intent()[0] == "label"
    assert header["intent_name"].item() == b"decathlon"
    sidecar = json.loads((tmp_path / "seg.json").read_text(encoding="utf-8"))
    assert sidecar["label_scheme"] == "decathlon"
    assert sidecar["labels"]["1"] == "oedema"
    assert stated_scheme(path) is LabelScheme.DECATHLON
    (tmp_path / "seg.json").unlink()
    assert stated_scheme(path) is LabelScheme.DECATHLON
    bare = save(tmp_path / "bare.nii.gz", numbers("u1", 3))
    assert stated_scheme(bare) is None
    (tmp_path / "bare.json").write_text('{"label_scheme": "brats2024"}', encoding="utf-8")
    assert stated_scheme(bare) is LabelScheme.BRATS2024


def test_statements_that_contradict_or_make_no_sense(tmp_path: Path) -> None:
    path = tmp_path / "seg.nii.gz"
    write_label_map(path, LabelMap(numbers("u1", 3), LabelScheme.DECATHLON), GRID)
    (tmp_path / "seg.json").write_text('{"label_scheme": "brats2021"}', encoding="utf-8")
    with pytest.raises(InputError, match="different label schemes"):
        stated_scheme(path)
    bare = save(tmp_path / "bare.nii.gz", numbers("u1", 3))
    (tmp_path / "bare.json").write_text('{"label_scheme": "mine"}', encoding="utf-8")
    with pytest.raises(InputError, match="does not know"):
        stated_scheme(bare)


def test_no_clobber_guards_the_sidecar_too(tmp_path: Path) -> None:
    (tmp_path / "seg.json").write_text("precious", encoding="utf-8")
    labels = LabelMap(numbers("u1", 3), BRATS2021)
    with pytest.raises(InputError, match="already exists"):
        write_label_map(tmp_path / "seg.nii.gz", labels, GRID, overwrite=False)
    assert [p.name for p in tmp_path.iterdir()] == ["seg.json"]


def test_labels_may_be_stored_as_decimals_but_not_hold_them(tmp_path: Path) -> None:
    array = numbers("f4", 3)
    found, _ = read_labels(save(tmp_path / "whole.nii.gz", array), BRATS2021)
    assert np.array_equal(found.array, array)
    array[1, 1, 1] = 1.5
    with pytest.raises(InputError, match="not whole numbers"):
        read_labels(save(tmp_path / "fraction.nii.gz", array), BRATS2021)
    array[1, 1, 1] = np.nan
    with pytest.raises(InputError, match="not whole numbers"):
        read_labels(save(tmp_path / "nan.nii.gz", array), BRATS2021)


@pytest.mark.parametrize(("value", "words"), [(3, "value 3"), (-1, "-1"), (300, "300")])
def test_a_label_outside_the_scheme_names_file_value_and_flag(
    tmp_path: Path, value: int, words: str
) -> None:
    array = numbers("i2", 3)
    array[2, 2, 2] = value
    path = save(tmp_path / "seg.nii.gz", array)
    with pytest.raises(InputError, match="brats2021") as caught:
        read_labels(path, BRATS2021)
    assert str(path) in caught.value.problem
    assert words in caught.value.found
    assert "--labels" in caught.value.hint


def test_value_4_under_brats2023_points_at_brats2024(tmp_path: Path) -> None:
    path = save(tmp_path / "seg.nii.gz", numbers("u1", 5))
    with pytest.raises(InputError) as caught:
        read_labels(path, LabelScheme.BRATS2023)
    assert "brats2024" in caught.value.hint


def test_wrong_number_of_volumes(tmp_path: Path) -> None:
    path = save(tmp_path / "scan.nii.gz", np.ones((4, 5, 6, 3), np.int16))
    with pytest.raises(InputError, match="number of volumes") as caught:
        read_volumes_4d(path, 4)
    assert caught.value.found == "3 volumes"
    with pytest.raises(InputError, match="number of volumes"):
        read_volume(path)
    single = save(tmp_path / "single.nii.gz", np.ones((4, 5, 6, 1), np.int16))
    assert read_volume(single)[0].shape == SHAPE


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros(SHAPE, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])), "colours"),
        (np.zeros(SHAPE, np.complex64), "complex"),
        (np.zeros((4, 5), np.int16), "4 × 5"),
    ],
    ids=["colour", "complex", "flat"],
)
def test_what_is_no_scan_is_refused_in_words(tmp_path: Path, array: Any, words: str) -> None:
    path = tmp_path / "scan.nii.gz"
    nib.Nifti1Image(array, np.eye(4)).to_filename(path)
    with pytest.raises(InputError) as caught:
        read_volume(path)
    assert words in caught.value.found


def test_half_a_pair_and_things_that_are_no_file(tmp_path: Path) -> None:
    nib.Nifti1Pair(numbers(), np.eye(4)).to_filename(tmp_path / "scan.img")
    with pytest.raises(InputError, match="half of a scan"):
        read_volume(tmp_path / "scan.hdr")
    with pytest.raises(InputError, match="not a file") as caught:
        read_volume(tmp_path)
    assert caught.value.found == "a folder"
    with pytest.raises(InputError, match="not a file"):
        read_volume(tmp_path / "missing.nii.gz")
    with pytest.raises(InputError, match="no name for a NIfTI file"):
        write_volume(tmp_path / "scan.mha", numbers("f4"), GRID)
