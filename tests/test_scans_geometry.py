"""Axis orders, affines and codes: what comes in goes out."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from minicube.scans import (
    Geometry,
    LabelMap,
    LabelScheme,
    read_labels,
    read_volume,
    write_label_map,
    write_volume,
)
from minicube.scans import _fields as fields_in

nib: Any = nibabel  # half typed
SHAPE = (5, 6, 7)
ORDERS = [
    "".join(letters)
    for axes in itertools.permutations(("RL", "AP", "SI"))
    for letters in itertools.product(*axes)
]


def rotation(x: float, y: float, z: float) -> NDArray[np.float64]:
    """About three axes, radians."""
    result = np.eye(3)
    for axis, angle in enumerate((x, y, z)):
        turn = np.eye(3)
        a, b = [i for i in range(3) if i != axis]
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        result = result @ turn
    return result


def affine_of(angles: tuple[float, float, float], spacing: tuple[float, ...]) -> NDArray[Any]:
    affine = np.eye(4)
    affine[:3, :3] = rotation(*angles) @ np.diag(spacing)
    affine[:3, 3] = -90, 12.5, -70
    return affine


def oriented(codes: str) -> Any:
    """A file with a different value in each voxel and its axes as the codes say."""
    array = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    image = nib.Nifti1Image(array, affine_of((0.1, -0.2, 0.05), (0.9, 1.1, 2.5)))
    start = nib.orientations.io_orientation(image.affine)
    way = nib.orientations.ornt_transform(start, nib.orientations.axcodes2ornt(codes))
    return image.as_reoriented(way)


@pytest.mark.parametrize("codes", ORDERS)
def test_every_axis_order_goes_to_ras_and_back(tmp_path: Path, codes: str) -> None:
    assert len(set(ORDERS)) == 48
    image = oriented(codes)
    image.to_filename(tmp_path / "scan.nii.gz")
    array, geometry = read_volume(tmp_path / "scan.nii.gz")
    assert geometry.axis_codes == codes
    canonical = nib.as_closest_canonical(image)
    in_ras = geometry.to_ras(array)
    assert np.array_equal(in_ras, np.asanyarray(canonical.dataobj))
    assert np.allclose(geometry.ras_affine, canonical.affine)
    assert geometry.ras_shape == canonical.shape
    assert np.allclose(geometry.ras_spacing, canonical.header.get_zooms())
    assert np.array_equal(geometry.from_ras(in_ras), array)


@settings(max_examples=40, deadline=None)
@given(
    angles=st.tuples(*[st.floats(-3, 3)] * 3),
    spacing=st.tuples(*[st.floats(0.3, 6)] * 3),
)
def test_any_oblique_grid_goes_to_ras_and_back(
    angles: tuple[float, float, float], spacing: tuple[float, float, float]
) -> None:
    geometry = Geometry(SHAPE, affine_of(angles, spacing))
    array = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    in_ras = geometry.to_ras(array)
    assert np.array_equal(geometry.from_ras(in_ras), array)
    # A voxel stays where it is in the scanner.
    index = np.argwhere(array == 100)[0]
    moved = np.argwhere(in_ras == 100)[0]
    there = geometry.affine @ [*index, 1]
    assert np.allclose(geometry.ras_affine @ [*moved, 1], there)


def header_like(codes: tuple[int, int], kind: type = nib.Nifti1Image) -> Any:
    """A scan whose two forms differ, as registration tools leave them."""
    image = kind(np.ones(SHAPE, np.int16), None)
    image.header.set_qform(affine_of((0.3, 0.2, -0.4), (0.9, 1.1, 2.5)), codes[0])
    image.header.set_sform(affine_of((0.31, 0.2, -0.4), (0.9, 1.1, 2.5)), codes[1])
    image.header.set_xyzt_units("mm", "sec")
    return kind(image.dataobj, None, image.header)


@pytest.mark.parametrize("codes", [(0, 0), (1, 0), (0, 2), (1, 1), (2, 1), (4, 3)])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_a_label_map_lies_bit_by_bit_where_its_scan_lies(
    tmp_path: Path, codes: tuple[int, int], kind: type
) -> None:
    scan, seg = tmp_path / "scan.nii.gz", tmp_path / "seg.nii.gz"
    header_like(codes, kind).to_filename(scan)
    _, geometry = read_volume(scan)
    labels = LabelMap(np.ones(SHAPE, np.uint8), LabelScheme.BRATS2023)
    write_label_map(seg, labels, geometry)
    given_, written = nib.load(scan), nib.load(seg)
    assert type(given_) is type(written)
    assert written.shape == given_.shape
    assert np.array_equal(written.affine, given_.affine)
    spatial = ["qform_code", "sform_code", "xyzt_units", "srow_x", "srow_y", "srow_z"]
    spatial += [f"quatern_{a}" for a in "bcd"] + [f"qoffset_{a}" for a in "xyz"]
    if not codes[1]:  # a form without a code counts for nothing
        spatial = [name for name in spatial if not name.startswith("srow")]
    for name in spatial:
        assert np.array_equal(written.header[name], given_.header[name]), name
    assert np.array_equal(written.header["pixdim"][:4], given_.header["pixdim"][:4])
    again, where = read_labels(seg, LabelScheme.BRATS2023)
    assert np.array_equal(again.array, labels.array)
    assert where.stored == geometry.stored


def test_a_grid_made_here_survives_writing(tmp_path: Path) -> None:
    geometry = Geometry(SHAPE, affine_of((0.3, 0.2, -0.4), (0.9, 1.1, 2.5)), 1, 2)
    values = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    write_volume(tmp_path / "scan.nii", values, geometry)
    image = nib.load(tmp_path / "scan.nii")
    assert np.allclose(image.get_qform(), geometry.affine, atol=1e-4)
    assert np.allclose(image.affine, geometry.affine, atol=1e-6)
    assert (int(image.header["qform_code"]), int(image.header["sform_code"])) == (1, 2)
    assert np.array_equal(np.asanyarray(image.dataobj), values)


def test_matching_looks_at_corners() -> None:
    grid = Geometry((200, 200, 100), np.eye(4))
    slight = np.eye(4)
    slight[0, 0] = 1.0004  # 0.08 mm at the far corner
    assert grid.matches(Geometry((200, 200, 100), slight))
    slight[0, 0] = 1.001  # 0.2 mm
    assert not grid.matches(Geometry((200, 200, 100), slight))
    assert not grid.matches(Geometry((200, 200, 99), np.eye(4)))


rotations = st.lists(st.floats(-1, 1), min_size=9, max_size=9).map(
    lambda numbers: np.array(numbers).reshape(3, 3)
)


@settings(max_examples=150)
@given(rotations, st.sampled_from([0, 1, 2]), st.sampled_from(["<", ">"]))
@example(np.array([[-1, 0, -0.5], [0, -1, -0.1640625], [0, 0, 1]]), 0, "<")  # length 1 + rounding
def test_places_are_those_of_nibabel(axes: NDArray[np.float64], form: int, order: str) -> None:
    sizes = np.linalg.norm(axes, axis=0)
    assume(sizes.min() > 0.1 and abs(np.linalg.det(axes)) > 0.1 * sizes.prod())
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = axes, (5, -7, 11)
    geometry = Geometry((3, 4, 5), affine)
    start = nib.orientations.io_orientation(affine)
    assert np.array_equal(start, geometry.orientation)
    array = np.arange(60).reshape(3, 4, 5)
    ras = nib.orientations.apply_orientation(array, start)
    assert np.array_equal(geometry.to_ras(array), ras)
    assert np.array_equal(geometry.from_ras(ras), array)
    for kind in (nib.Nifti1Header, nib.Nifti2Header):
        header = kind(endianness=order)
        header.set_data_shape((3, 4, 5))
        header.set_qform(affine, int(form == 1))
        header.set_sform(affine, int(form == 2))
        fields = fields_in.fields_of(header.binaryblock, len(header.binaryblock), order)
        expected = header.get_best_affine()
        np.testing.assert_allclose(fields_in.affine_of(fields), expected, atol=1e-9)
        written = fields_in.empty_fields(len(header.binaryblock))
        written["dim"][:4], written["qform_code"] = (3, 3, 4, 5), 1
        fields_in.set_quaternion_form(written, affine)
        np.testing.assert_allclose(fields_in.affine_of(written), header.get_qform(), atol=2e-6)


def test_a_header_is_byte_by_byte_what_nibabel_writes(tmp_path: Path) -> None:
    for kind in (nib.Nifti1Header, nib.Nifti2Header):
        theirs = kind(endianness="<")
        theirs.set_data_shape((3, 4, 5))
        theirs.set_data_dtype(np.int16)
        theirs["descrip"], theirs["scl_slope"], theirs["scl_inter"] = b"minicube", 1, 0
        theirs["vox_offset"] = len(theirs.binaryblock) + 4
        theirs.set_qform(np.diag([-1.0, -1.0, 1.0, 1.0]), 1)
        theirs.set_sform(np.diag([-1.0, -1.0, 1.0, 1.0]), 1)
        path = tmp_path / "theirs.nii"
        path.write_bytes(bytes(theirs.binaryblock) + bytes(4) + bytes(3 * 4 * 5 * 2))
        array, geometry = read_volume(path)
        write_volume(tmp_path / "ours.nii", array, geometry)
        assert (tmp_path / "ours.nii").read_bytes() == path.read_bytes()


def test_a_voxel_that_leans_is_no_larger() -> None:
    affine = np.diag([1.0, 2.0, 5.0, 1.0])
    affine[0, 2] = 1.5  # gantry tilt: slices shifted against each other
    assert Geometry((4, 4, 4), affine).voxel_ml == pytest.approx(0.010)
