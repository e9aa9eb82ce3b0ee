"""Damaged files end in a sentence, or in the right answer for what the file now says."""

from __future__ import annotations

import gzip
import struct
import time
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from minicube import InputError
from minicube.scans import LabelScheme, Sequence, load_case, read_labels, read_volume

nib: Any = nibabel  # half typed
Rng = np.random.Generator
SHAPE = (24, 20, 16)
CASES = 300

# Where the fields of a NIfTI-1 header lie, and what can be wrong with them.
FIELDS: dict[str, tuple[int, str, list[Any]]] = {
    "sizeof_hdr": (0, "<i", [0, 347, 540, -1, 348 << 16]),
    "dim[0]": (40, "<h", [0, 1, 2, 4, 7, 8, -3, 32767]),
    "dim[1]": (42, "<h", [0, -24, 1, 23, 25, 32767]),
    "dim[3]": (46, "<h", [0, -1, 8, 17, 32767]),
    "dim[4]": (48, "<h", [0, 2, -1, 32767]),
    "datatype": (70, "<h", [0, 1, 2, 8, 16, 32, 64, 128, 512, 1536, 2304, 999, -4]),
    "bitpix": (72, "<h", [0, 8, 32, -16, 24]),
    "pixdim[0]": (76, "<f", [0.0, float("nan"), 7.0, -1.0]),
    "pixdim[1]": (80, "<f", [0.0, float("nan"), float("inf"), -1.0, 1e-30, 1e30]),
    "vox_offset": (108, "<f", [0.0, 100.0, 351.0, 352.5, 1e9, -1.0, float("nan"), float("inf")]),
    "scl_slope": (112, "<f", [0.0, float("nan"), float("inf"), -2.0, 1e38, 1e-40]),
    "scl_inter": (116, "<f", [float("nan"), float("inf"), 5.0, -3e38]),
    "qform_code": (252, "<h", [0, 3, 99, -1]),
    "sform_code": (254, "<h", [0, 3, 99, -1]),
    "quatern_b": (256, "<f", [float("nan"), 2.0, -1.0, float("inf")]),
    "qoffset_x": (268, "<f", [float("nan"), 1e20, float("inf")]),
    "srow_x[0]": (280, "<f", [float("nan"), 0.0, float("inf"), 1e20, 1e-20, -1.0]),
    "srow_x[3]": (292, "<f", [float("nan"), 1e30, float("inf")]),
    "srow_z[2]": (320, "<f", [float("nan"), 0.0, 3e38]),
    "magic": (344, "4s", [b"ni1\0", b"n+2\0", b"\0\0\0\0", b"RIFF"]),
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    rng = np.random.default_rng(0)
    for name in [s.value for s in Sequence] + ["seg"]:
        array = rng.integers(1, 900, SHAPE).astype(np.int16)
        array[:6], array[:, :5] = 0, 0
        array = array % 4 if name == "seg" else array
        image = nib.Nifti1Image(array, np.diag([-1.0, -1.0, 1.0, 1.0]))
        image.set_qform(image.affine, 1)
        image.to_filename(folder / f"{name}.nii.gz")
    return folder


def changed_field(rng: Rng, data: bytes) -> bytes:
    offset, form, values = FIELDS[list(FIELDS)[rng.integers(len(FIELDS))]]
    spoilt = bytearray(data)
    struct.pack_into(form, spoilt, offset, values[rng.integers(len(values))])
    return bytes(spoilt)


def flipped_bytes(rng: Rng, data: bytes) -> bytes:
    spoilt = bytearray(data)
    reach = 352 if rng.random() < 0.7 else len(data)
    for place in rng.integers(0, reach, rng.integers(1, 12)):
        spoilt[place] = rng.integers(256)
    return bytes(spoilt)


def cut_short(rng: Rng, data: bytes) -> bytes:
    return data[: rng.integers(0, len(data))]


def grown(rng: Rng, data: bytes) -> bytes:
    return data + rng.bytes(int(rng.integers(1, 5000)))


def noise(rng: Rng, data: bytes) -> bytes:
    return rng.bytes(int(rng.integers(0, 3000)))


INSIDE: list[Callable[[Rng, bytes], bytes]] = [changed_field, flipped_bytes, cut_short, grown]
OUTSIDE: list[Callable[[Rng, bytes], bytes]] = [cut_short, flipped_bytes, grown, noise]


def damage(rng: Rng, packed: bytes) -> bytes:
    """Mostly inside the compressed stream, since gzip's own checksum catches the rest."""
    if rng.random() < 0.8:
        kind = INSIDE[rng.choice(4, p=[0.6, 0.25, 0.1, 0.05])]
        data = kind(rng, gzip.decompress(packed))
        return gzip.compress(data, 1) if rng.random() < 0.8 else data
    return OUTSIDE[rng.integers(4)](rng, packed)


def outcome(folder: Path) -> str:
    """``case``, or the sentence that was given; anything else is a failure of the test."""
    began = time.perf_counter()
    try:
        case = load_case(folder, labels=LabelScheme.BRATS2023)
    except InputError as error:
        return error.problem
    finally:
        assert time.perf_counter() - began < 60  # it does not hang
    assert set(case.images) == set(Sequence)
    for image in case.images.values():
        assert image.shape == case.brain.shape
        assert np.isfinite(image).all()
        assert image.any()
    assert np.isfinite(case.affine).all()
    if case.reference is not None:
        assert case.reference.array.shape == case.brain.shape
        assert set(np.unique(case.reference.array)) <= {0, 1, 2, 3}
    return "case"


def test_300_damaged_cases(sound: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    packed = {path.name: path.read_bytes() for path in sorted(sound.iterdir())}
    seen = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for seed in range(CASES):
            rng = np.random.default_rng((2024, seed))
            # One file, or all in the same way: then they agree and the answer may be a case.
            chosen = [list(packed)[rng.integers(5)]] if rng.random() < 0.5 else list(packed)
            for name, content in packed.items():
                same = np.random.default_rng((7, seed))
                spoilt = damage(same, content) if name in chosen else content
                (tmp_path / name).write_bytes(spoilt)
            seen.append(outcome(tmp_path))
    assert len(seen) == CASES
    assert all(sentence == "case" or len(sentence) > 20 for sentence in seen)
    # Both ends are reached, and the sentences tell different damage apart.
    assert seen.count("case") > CASES / 20
    without_names = {s.replace(str(tmp_path), "").split(" ", 1)[-1] for s in seen}
    assert len(without_names) > 10
    out, err = capfd.readouterr()
    assert out + err == ""


@pytest.mark.parametrize("field", FIELDS)
def test_every_header_field_spoilt_in_every_way(sound: Path, tmp_path: Path, field: str) -> None:
    data = gzip.decompress((sound / "t1n.nii.gz").read_bytes())
    offset, form, values = FIELDS[field]
    for value in values:
        spoilt = bytearray(data)
        struct.pack_into(form, spoilt, offset, value)
        path = tmp_path / "scan.nii"
        path.write_bytes(bytes(spoilt))
        try:
            array, geometry = read_volume(path)
        except InputError as error:
            assert str(path) in error.problem  # noqa: PT017 - both ends are right
        else:
            # What is read must be what an independent reader makes of the same file.
            image = nib.load(path)
            assert array.shape == geometry.shape == image.shape[:3]
            with np.errstate(over="ignore"):  # a scale of 1e38
                expected = np.asanyarray(image.dataobj).astype(np.float32).reshape(array.shape)
            assert np.array_equal(array, expected, equal_nan=True), value
            if struct.unpack_from("<f", spoilt, 76)[0] != 0:  # nibabel refuses what NIfTI allows
                assert np.allclose(geometry.affine, image.affine), value


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape((8, 8, 8))
    header["magic"], header["vox_offset"], header["sform_code"] = b"n+1", 352, 1
    header["srow_x"], header["srow_y"], header["srow_z"] = np.eye(4)[:3]
    small = bytes(header.binaryblock) + bytes(4) + b"\1" * 1024
    header.set_data_shape((460, 460, 460))
    large = bytes(header.binaryblock) + bytes(4)
    header.set_data_shape((32767, 32767, 32767))
    absurd = bytes(header.binaryblock) + bytes(4)
    for start, zeros, words in (
        (small, 300 << 20, "more data than its header"),
        (large, 1 << 20, "fewer voxels"),
        (absurd, 300 << 20, "far larger than a scan"),
    ):
        path = tmp_path / "bomb.nii.gz"
        with gzip.open(path, "wb", compresslevel=1) as stream:
            stream.write(start)
            stream.write(bytes(zeros))
        assert path.stat().st_size < 5 << 20
        tracemalloc.start()
        try:
            with pytest.raises(InputError, match=words):
                read_volume(path)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 500 << 20


def test_a_damaged_label_map_is_a_sentence(sound: Path, tmp_path: Path) -> None:
    packed = (sound / "seg.nii.gz").read_bytes()
    path = tmp_path / "seg.nii.gz"
    refused = 0
    for seed in range(60):
        path.write_bytes(damage(np.random.default_rng((11, seed)), packed))
        try:
            labels, geometry = read_labels(path, LabelScheme.BRATS2023)
        except InputError:
            refused += 1
        else:
            assert labels.array.shape == geometry.shape
    assert 30 < refused < 60
