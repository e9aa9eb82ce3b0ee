"""Cases whose images stay on disk: the same numbers, a slab at a time."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from minicube import InputError
from minicube.scans import Case, Layout, Sequence, load_case, nifti, write_case
from minicube.scans._header import Header
from minicube.volumes import prepare
from small_cases import small_case

ORDERS = [
    "".join(codes)
    for axes in itertools.permutations(("LR", "PA", "IS"))
    for codes in itertools.product(*axes)
]
TURNED = small_case(1, (20, 26, 23))


def _turned(codes: str) -> Case:
    """The same head, stored in another order of axes."""
    ras = nib.orientations.axcodes2ornt("RAS")
    way = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt(tuple(codes)), ras)
    grid = TURNED.geometry
    back = nib.orientations.inv_ornt_aff(
        nib.orientations.ornt_transform(ras, nib.orientations.axcodes2ornt(tuple(codes))),
        grid.shape,
    )
    shape = [0, 0, 0]
    for axis, (target, _) in enumerate(way):
        shape[axis] = grid.shape[int(target)]
    geometry = replace(grid, shape=(shape[0], shape[1], shape[2]), affine=grid.affine @ back)
    return replace(TURNED, geometry=geometry)


@pytest.mark.parametrize("codes", ORDERS)
@pytest.mark.parametrize("layout", [Layout.BRATS2023, Layout.DECATHLON])
def test_left_on_disk_a_case_is_prepared_to_the_same_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codes: str, layout: Layout
) -> None:
    write_case(_turned(codes), tmp_path, layout)
    monkeypatch.setattr(nifti, "_CHUNK", 1000)  # slabs of a slice or two
    whole = load_case(tmp_path, with_reference=False)
    left = load_case(tmp_path, with_reference=False, on_disk=True)
    assert whole.geometry.axis_codes == codes
    assert np.array_equal(whole.brain, left.brain)
    one, other = prepare(whole), prepare(left)
    assert np.array_equal(one.images, other.images)
    assert one.scales == other.scales
    assert one.frame == other.frame


@given(data=st.data())
def test_any_box_is_that_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("case")
    write_case(TURNED, folder, Layout.BRATS2023)
    left = load_case(folder, with_reference=False, on_disk=True)
    box = []
    for n in TURNED.shape:
        start = data.draw(st.integers(0, n - 1))
        box.append(slice(start, data.draw(st.integers(start + 1, n))))
    where = (box[0], box[1], box[2])
    for sequence in Sequence:
        assert np.array_equal(left.crop(sequence, where), TURNED.images[sequence][where])
        assert np.array_equal(left.images[sequence], TURNED.images[sequence])


@pytest.mark.parametrize("share", [0.2, 0.7, 0.99])
def test_a_file_that_breaks_off_is_refused(tmp_path: Path, share: float) -> None:
    write_case(TURNED, tmp_path, Layout.BRATS2023)
    path = next(tmp_path.rglob("*t2f*.nii.gz"))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    for on_disk in (False, True):
        with pytest.raises(InputError, match=r"breaks off|damaged"):
            load_case(tmp_path, with_reference=False, on_disk=on_disk)


def test_values_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    images = dict(TURNED.images)
    images[Sequence.T2W] = images[Sequence.T2W].copy()
    images[Sequence.T2W][3, 4, 5] = np.nan
    write_case(replace(TURNED, images=images), tmp_path, Layout.BRATS2023)
    for on_disk in (False, True):
        with pytest.raises(InputError, match="not numbers") as refused:
            load_case(tmp_path, with_reference=False, on_disk=on_disk)
        assert refused.value.found == f"1 of {TURNED.brain.size:,} voxels"


def test_one_file_may_serve_for_two_sequences(tmp_path: Path) -> None:
    write_case(TURNED, tmp_path, Layout.BRATS2023)
    path = next(tmp_path.rglob("*t2f*.nii.gz"))
    for on_disk in (False, True):
        case = load_case(dict.fromkeys(Sequence, path), with_reference=False, on_disk=on_disk)
        for sequence in Sequence:
            assert np.array_equal(case.images[sequence], TURNED.images[Sequence.T2F])


def test_a_4d_file_is_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_case(TURNED, tmp_path, Layout.DECATHLON)
    voxels = []
    real = nifti._to_intensities

    def counted(header: Header, raw: NDArray[Any]) -> NDArray[np.float32]:
        voxels.append(raw.size)
        return real(header, raw)

    monkeypatch.setattr(nifti, "_to_intensities", counted)
    for on_disk in (False, True):
        voxels.clear()
        load_case(tmp_path, with_reference=False, on_disk=on_disk)
        assert sum(voxels) == len(Sequence) * TURNED.brain.size
