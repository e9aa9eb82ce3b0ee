"""Archives from strangers: nothing stays of one that is refused, and damage is told in words."""

from __future__ import annotations

import contextlib
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicube._archives import ArchiveLimits, ArchiveRefused, unpack


def _zip(path: Path, sizes: dict[str, int]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, size in sizes.items():
            archive.writestr(name, bytes(size))
    return path


def _unpack(archive: Path, folder: Path, limits: ArchiveLimits | None = None) -> list[str]:
    def place(name: str, head: bytes) -> Path | None:
        return folder / f"{len(name)}-{len(head)}" if head else None

    found = unpack(archive, limits or ArchiveLimits(), place, called="It")
    return [one.name for one in found]


def test_what_is_left_out_and_what_file_managers_leave_is_not_written(tmp_path: Path) -> None:
    names = {"a/": 0, "a/x": 9, "empty": 0, "__MACOSX/._x": 9, ".DS_Store": 9}
    folder = tmp_path / "out"
    folder.mkdir()
    assert _unpack(_zip(tmp_path / "a.zip", names), folder) == ["a/x"]
    assert [path.name for path in folder.iterdir()] == ["3-9"]


@pytest.mark.parametrize(
    ("sizes", "limits"),
    [
        ({"a": 10, "bb": 30 << 20}, ArchiveLimits()),
        ({"a": 600, "bb": 600}, ArchiveLimits(size=1000)),
        ({"a": 10, "bb": 10}, ArchiveLimits(files=1)),
    ],
)
def test_nothing_stays_of_one_that_is_too_large(
    tmp_path: Path, sizes: dict[str, int], limits: ArchiveLimits
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(ArchiveRefused, match="too large") as caught:
        _unpack(_zip(tmp_path / "a.zip", sizes), folder, limits)
    assert caught.value.too_large
    assert not [*folder.iterdir()]


def test_what_is_left_out_counts_too(tmp_path: Path) -> None:
    archive = _zip(tmp_path / "a.zip", {"a": 600, "b": 600})
    with pytest.raises(ArchiveRefused, match="too large"):
        unpack(archive, ArchiveLimits(size=1000), lambda name, head: None, called="It")


def test_large_directories_are_not_read(tmp_path: Path) -> None:
    whole = _zip(tmp_path / "a.zip", {"a": 10}).read_bytes()
    end = whole.rindex(b"PK\x05\x06")
    long = bytearray(whole)
    long[end + 12 : end + 16] = (17 << 20).to_bytes(4, "little")
    with_64 = whole[:end] + b"PK\x06\x06" + bytes(36) + (17 << 20).to_bytes(8, "little")
    for data in (bytes(long), with_64 + bytes(28) + whole[end:]):
        (tmp_path / "b.zip").write_bytes(data)
        with pytest.raises(ArchiveRefused, match="too large"):
            _unpack(tmp_path / "b.zip", tmp_path)


def test_archives_in_the_64_bit_format_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)  # so that few files need it
    archive = _zip(tmp_path / "a.zip", {"a": 10, "bb": 10})
    assert b"PK\x06\x06" in archive.read_bytes()
    assert _unpack(archive, tmp_path) == ["a", "bb"]


def test_a_name_may_be_empty(tmp_path: Path) -> None:
    archive = _zip(tmp_path / "a.zip", {"a": 900, "bb": 20})
    archive.write_bytes(archive.read_bytes().replace(b"bb", b"\0b"))  # a name ends where a 0 is
    assert _unpack(archive, tmp_path) == ["a", ""]


@given(st.data())
def test_damage_is_told_in_words(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "out"
        folder.mkdir()
        archive = _zip(Path(name) / "a.zip", {"a": 900, "bb": 20})
        damaged = bytearray(archive.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            place = data.draw(st.integers(0, len(damaged) - 1))
            damaged[place] = data.draw(st.integers(0, 255))
        archive.write_bytes(damaged)
        with contextlib.suppress(ArchiveRefused):
            _unpack(archive, folder)
            return
        assert not [*folder.iterdir()]
