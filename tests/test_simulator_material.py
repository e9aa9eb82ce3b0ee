"""Real shapes and patches: turned to RAS+, kept together, and nobody's who is left out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from minicube._errors import InputError
from minicube.simulator import Source, load_material, patients_of
from minicube.volumes.stream import Stream
from small_material import write_patches, write_shapes


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("material")
    shapes = write_shapes(folder / "shapes.npz")
    return shapes, write_patches(folder / "patches.npz", shapes)


def test_left_out_patients_leave_nothing(files: tuple[Path, Path], tmp_path: Path) -> None:
    table = tmp_path / "MANIFEST.tsv"
    table.write_text("case\tBraTS20 id\tlicence\nsome_case\t017\tfree\nother\t001\tfree\n")
    material = load_material(*files, leave_out=patients_of(table))
    assert {shape.patient for shape in material.shapes} == {"BraTS20_Training_002"}
    assert {patch.patient for patch in material.patches} == {"BraTS20_Training_002"}


def test_a_patch_lies_where_its_shape_does(files: tuple[Path, Path]) -> None:
    material = load_material(*files, leave_out=["BraTS20_Training_002"])
    assert len(material.shapes) == len(material.patches) == 2
    for shape, patch in zip(material.shapes, material.patches, strict=True):
        offset = (patch.corner - shape.corner) / patch.spacing
        assert offset == pytest.approx(np.round(offset))
        a, b, c = (max(0, round(o)) for o in offset)
        d, e, f = (max(0, -round(o)) for o in offset)
        x, y, z = (20, 20, 20)
        seen = patch.labels[d : d + x, e : e + y, f : f + z]
        assert np.array_equal(seen, shape.labels[a : a + x, b : b + y, c : c + z])
    # LPS 20…49 of 128 lies at high x in RAS+: left and right are those of the patient.
    assert material.shapes[0].corner[0] > 119.5
    assert [shape.enhances for shape in material.shapes] == [True, False]


def test_what_does_not_fit_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be used"):
        load_material(files[1], None, leave_out=[])
    (tmp_path / "no.npz").write_bytes(b"PK but no archive")
    with pytest.raises(InputError, match="cannot be used"):
        load_material(None, tmp_path / "no.npz", leave_out=[])
    whole = files[0].read_bytes()
    middle = len(whole) // 3
    spoilt = whole[:middle] + bytes(byte ^ 0x55 for byte in whole[middle : middle + 64])
    (tmp_path / "spoilt.npz").write_bytes(spoilt + whole[middle + 64 :])
    with pytest.raises(InputError, match="cannot be used"):
        load_material(tmp_path / "spoilt.npz", None, leave_out=[])
    with pytest.raises(InputError, match="names no BraTS 2020 patient"):
        load_material(None, None, leave_out=["someone"])
    (tmp_path / "list.tsv").write_text("case\tpatient\na\t1\n")
    with pytest.raises(InputError, match="leave out"):
        patients_of(tmp_path / "list.tsv")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("image", lambda image: image.astype(np.float32)),
        ("image", lambda image: image[:, :3]),
        ("seg", lambda seg: seg[..., :16]),
        ("seg", lambda seg: seg / 2),
        ("origin128", lambda first: first[:, :2]),
    ],
)
def test_patches_that_do_not_fit_together(
    files: tuple[Path, Path],
    tmp_path: Path,
    name: str,
    change: Callable[[NDArray[Any]], NDArray[Any]],
) -> None:
    with np.load(files[1]) as held:
        arrays = dict(held)
    np.savez(tmp_path / "patches.npz", **arrays | {name: change(arrays[name])})
    with pytest.raises(InputError, match="do not fit together"):
        load_material(None, tmp_path / "patches.npz", leave_out=[])


def test_patients_may_be_numbers(files: tuple[Path, Path], tmp_path: Path) -> None:
    with np.load(files[0]) as held:
        arrays = dict(held)
    np.savez(tmp_path / "shapes.npz", **arrays | {"patient": np.array([1, 2, 17])})
    material = load_material(tmp_path / "shapes.npz", None, leave_out=["017"])
    assert [shape.patient for shape in material.shapes] == ["1", "2"]


def test_what_is_wrong_with_a_file_is_said_from_another_process(tmp_path: Path) -> None:
    (tmp_path / "no.npz").write_bytes(b"PK but no archive")
    source = Source(shapes=tmp_path / "no.npz")
    with (
        Stream(source, tmp_path / "made", pool=1, every=1) as stream,
        pytest.raises(InputError, match="cannot be used"),
    ):
        stream.at(0)


def test_a_table_of_a_heading_alone_leaves_nobody_out(tmp_path: Path) -> None:
    table = tmp_path / "MANIFEST.tsv"
    table.write_text("case\tpatient\n")
    with pytest.raises(InputError, match="which patients to leave out"):
        patients_of(table)
    with pytest.raises(InputError, match="which patients to leave out"):
        patients_of(tmp_path / "nowhere.tsv")
