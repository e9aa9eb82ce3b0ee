"""Zip archives as strangers send them."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("highdicom")

from minicube._archives import ArchiveLimits
from minicube._errors import InputError
from minicube.dicom import open_study, unpacked
from minicube.scans import holds_dicom
from small_dicom import tiny_study

START = bytes(128) + b"DICM"


def _zip(path: Path, entries: dict[str, bytes], mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = mode << 16
            archive.writestr(entry, data)
    return path


def test_a_study_in_an_archive_is_a_study(tmp_path: Path) -> None:
    folder = tiny_study(tmp_path / "s")
    archive = tmp_path / "s.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in folder.rglob("*.dcm"):
            packed.write(path, path.relative_to(folder))
    assert holds_dicom(archive)
    with open_study(archive) as study, open_study(folder) as plain:
        assert study.choose().is_clear
        assert study.to_dict() == plain.to_dict()
        place = study.found[0].series.files[0].parent
        assert place.is_dir()
    assert not place.exists()


def test_names_never_reach_the_disk(tmp_path: Path) -> None:
    names = ["../out", "/tmp/out", "a/../../out", "C:\\out", "con", "x\\..\\..\\y", "n" * 3000]
    archive = _zip(tmp_path / "a.zip", dict.fromkeys(names, START + b"here"))
    before = sorted(path.name for path in tmp_path.iterdir())
    with unpacked(archive) as folder:
        files = sorted(folder.rglob("*"))
        assert [path.name for path in files] == [f"{n:06d}.dcm" for n in range(len(names))]
        assert all(path.read_bytes() == START + b"here" for path in files)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_what_is_not_dicom_is_not_written(tmp_path: Path) -> None:
    inner = _zip(tmp_path / "inner.zip", {"x": START}).read_bytes()
    archive = _zip(tmp_path / "a.zip", {"a.exe": b"MZ" + bytes(500), "b.zip": inner, "c": START})
    with unpacked(archive) as folder:
        assert [path.name for path in folder.iterdir()] == ["000002.dcm"]


def test_links_are_refused(tmp_path: Path) -> None:
    archive = _zip(tmp_path / "a.zip", {"link": b"/etc/passwd"}, stat.S_IFLNK | 0o777)
    with pytest.raises(InputError, match="holds a link"), unpacked(archive):
        pass


@pytest.mark.parametrize(
    ("entries", "limits"),
    [
        ({"a": START + bytes(30 << 20)}, ArchiveLimits()),  # a thousandfold
        ({str(n): START + bytes(1000) for n in range(9)}, ArchiveLimits(size=5000)),
        ({str(n): START for n in range(9)}, ArchiveLimits(files=8)),
    ],
)
def test_bombs_are_refused(
    tmp_path: Path, entries: dict[str, bytes], limits: ArchiveLimits
) -> None:
    archive = _zip(tmp_path / "a.zip", entries)
    with pytest.raises(InputError, match="too large to be a study"), unpacked(archive, limits):
        pass


def test_a_size_that_lies_gains_nothing(tmp_path: Path) -> None:
    archive = _zip(tmp_path / "a.zip", {"a": START + bytes(30 << 20)})
    data = archive.read_bytes().replace(
        (len(START) + (30 << 20)).to_bytes(4, "little"), (1000).to_bytes(4, "little")
    )
    archive.write_bytes(data)
    try:
        with unpacked(archive) as folder:
            assert sum(path.stat().st_size for path in folder.iterdir()) <= 1000
    except InputError:
        pass


def test_damaged_and_locked_archives_are_told(tmp_path: Path) -> None:
    whole = _zip(tmp_path / "a.zip", {"a": START + bytes(range(256)) * 9}).read_bytes()
    locked = bytearray(whole)
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        locked[whole.index(mark) + place] |= 1
    damaged = bytearray(whole)
    damaged[60] ^= 255
    for number, data in enumerate((whole[:60], bytes(locked), bytes(damaged), b"no archive")):
        path = tmp_path / f"{number}.zip"
        path.write_bytes(data)
        with pytest.raises(InputError, match="cannot be unpacked"), unpacked(path):
            pass
