"""Stored cases: what comes back, what is refused, and what reading costs."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import random
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import blosc2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicube import InputError
from minicube.scans import NETWORK_SCHEME, Case, LabelMap, Sequence
from minicube.volumes import (
    BRAIN,
    Box,
    Intensities,
    Prepared,
    StoredCase,
    open_stored,
    prepare,
    store_one,
)
from small_cases import small_case

SHAPE = (70, 64, 58)  # more than one chunk along each axis, and no whole number of blocks
FILES = ("images.b2nd", "labels.b2nd", "levels.npz", "spots.npz", "case.json")


def _resampled(case: Case) -> Case:
    """The same with intensities that are all different."""
    rng = np.random.default_rng(1)
    images = {
        s: np.where(case.brain, i + rng.uniform(0, 0.9, i.shape), 0).astype(np.float32)
        for s, i in case.images.items()
    }
    return Case("resampled", images, case.geometry, case.brain, case.reference)


@pytest.fixture(scope="module", params=["few values", "many values"])
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Prepared, StoredCase]:
    case = small_case(3, SHAPE)
    prepared = prepare(case if request.param == "few values" else _resampled(case))
    return prepared, store_one(prepared, tmp_path_factory.mktemp("store"))


@pytest.fixture
def stored(tmp_path: Path) -> StoredCase:
    return store_one(prepare(small_case(0)), tmp_path, {"made": "here"})


def _again(stored: StoredCase) -> StoredCase:
    """The same case, nothing of it read yet."""
    return StoredCase(stored.folder)


def _read_all(stored: StoredCase) -> tuple[np.ndarray, np.ndarray]:
    images, labels = stored.read(Box((0, 0, 0), stored.shape))
    assert stored.spots
    return images, labels


def test_a_stored_case_is_the_prepared_one(pair: tuple[Prepared, StoredCase]) -> None:
    prepared, stored = pair
    assert prepared.labels is not None
    assert stored.identity == prepared.identity
    assert stored.scales == prepared.scales
    assert stored.shape == prepared.brain.shape
    assert np.array_equal(stored.labels.array, prepared.labels.array)
    assert stored.labels.scheme is NETWORK_SCHEME
    images, labels = stored.read(Box((0, 0, 0), stored.shape))
    assert images.dtype == np.float32
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, prepared.labels.array)
    assert np.array_equal(images != 0, prepared.images != 0)
    raw, _ = stored.read(Box((0, 0, 0), stored.shape), Intensities.RAW)
    for channel, scale in enumerate(prepared.scales):
        bound = 0.0 if stored.identity.startswith("small") else 0.00251
        assert np.abs(images[channel] - prepared.images[channel]).max() <= bound
        lost = np.abs(raw[channel] - prepared.images_as(Intensities.RAW)[channel]).max()
        assert lost <= bound * scale.deviation
    assert not raw[:, ~prepared.brain].any()


@given(
    start=st.tuples(*[st.integers(-40, 80)] * 3),
    size=st.tuples(*[st.integers(1, 70)] * 3),
    intensities=st.sampled_from(Intensities),
)
@settings(deadline=None, max_examples=60)
def test_any_window_is_that_window_of_the_whole(
    pair: tuple[Prepared, StoredCase],
    start: tuple[int, int, int],
    size: tuple[int, int, int],
    intensities: Intensities,
) -> None:
    _, stored = pair
    x, y, z = (a + n for a, n in zip(start, size, strict=True))
    box = Box(start, (x, y, z))
    images, labels = stored.read(box, intensities)
    whole, truth = stored.read(Box((0, 0, 0), stored.shape), intensities)
    assert images.shape == (len(Sequence), *box.shape)
    assert np.array_equal(images, box.cut(whole))
    assert np.array_equal(labels, box.cut(truth))


def test_spots_lie_where_they_say(pair: tuple[Prepared, StoredCase]) -> None:
    prepared, stored = pair
    assert prepared.labels is not None
    for tissue in NETWORK_SCHEME.tissues.values():
        assert prepared.labels.tissue(tissue)[tuple(stored.spots[tissue.value].T)].all()
    assert prepared.brain[tuple(stored.spots[BRAIN].T)].all()


def test_what_was_made_from_something_else_does_not_count(stored: StoredCase) -> None:
    folder, name = stored.folder.parent, stored.identity
    assert open_stored(folder, name) is not None
    assert open_stored(folder, name, {"made": "here"}) is not None
    assert open_stored(folder, name, {"made": "elsewhere"}) is None
    assert open_stored(folder, name, {}) is None
    assert open_stored(folder, "another") is None


@pytest.mark.parametrize("at", range(len(FILES)))
def test_a_case_left_half_written_does_not_count(
    stored: StoredCase, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    other = prepare(small_case(1))
    replaced: list[str] = []
    replace = Path.replace

    def interrupted(temporary: Path, path: Path) -> Path:
        if len(replaced) == at:
            raise KeyboardInterrupt
        replaced.append(path.name)
        return replace(temporary, path)

    folder = stored.folder.parent
    # Over a case of another content, and where none was.
    for case in (dataclasses.replace(other, identity=stored.identity), other):
        replaced.clear()
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", interrupted)
            with pytest.raises(KeyboardInterrupt):
                store_one(case, folder)
        assert replaced == [*FILES[:at]]
        assert not [*folder.rglob(".part-*")]
        # The old case is whole as long as nothing of it was replaced; a mixture never is.
        untouched = at == 0 and case.identity == stored.identity
        assert (open_stored(folder, case.identity) is not None) == untouched
        again = store_one(case, folder)
        assert again.is_whole()
        assert np.array_equal(again.read(Box((0, 0, 0), again.shape))[0], case.images)


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_short_is_noticed_and_refused(stored: StoredCase, name: str) -> None:
    path = stored.folder / name
    place = stored.folder.parent, stored.identity
    good = path.read_bytes()
    rng = random.Random(name)
    lengths = {0, 1, len(good) // 2, len(good) - 1, *(rng.randrange(len(good)) for _ in range(30))}
    for length in sorted(lengths):
        path.write_bytes(good[:length])
        if name == "case.json" and good[:length].strip() == good.strip():
            continue  # but for the line's end it is whole
        assert open_stored(*place) is None
        with pytest.raises(InputError, match=r"delete .* prepared anew"):
            _read_all(_again(stored))
    path.write_bytes(good)
    assert open_stored(*place) is not None
    path.unlink()
    assert open_stored(*place) is None
    with pytest.raises(InputError, match=r"delete .* prepared anew"):
        _read_all(_again(stored))


@pytest.mark.parametrize("name", FILES[:-1])
def test_a_changed_byte_is_noticed_and_reading_it_is_no_crash(
    stored: StoredCase, name: str
) -> None:
    path = stored.folder / name
    good = path.read_bytes()
    rng = random.Random(name)
    for i in range(60):
        bad = bytearray(good)
        bad[rng.randrange(len(bad) if i % 2 else min(len(bad), 400))] ^= rng.randrange(1, 256)
        path.write_bytes(bad)
        assert open_stored(stored.folder.parent, stored.identity) is None
        with contextlib.suppress(InputError):  # as if it had changed after it was opened
            images, _ = _read_all(_again(stored))
            assert images.shape == (len(Sequence), *stored.shape)


def _pass_off(stored: StoredCase, name: str) -> None:
    """Make the facts say that a file is as it was written."""
    path = stored.folder / "case.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    content = (stored.folder / name).read_bytes()
    facts["files"][name] = (len(content), zlib.crc32(content))
    path.write_text(json.dumps(facts), encoding="utf-8")


def _spell(inputs: object, output: np.ndarray, offset: object) -> None:
    output[:] = 1


def test_a_function_in_place_of_an_array_is_refused(stored: StoredCase) -> None:
    path = stored.folder / "images.b2nd"
    operand = blosc2.zeros(
        (len(Sequence), *stored.shape),
        dtype=np.uint16,
        urlpath=str(stored.folder / "operand.b2nd"),
    )
    path.unlink()
    blosc2.lazyudf(_spell, (operand,), np.uint16).save(urlpath=str(path))
    _pass_off(stored, "images.b2nd")
    again = open_stored(stored.folder.parent, stored.identity)
    assert again is not None  # it is as its facts say
    with pytest.raises(InputError, match="damaged") as refused:
        again.read(Box((0, 0, 0), (8, 8, 8)))
    assert isinstance(refused.value.__cause__, blosc2.UnsafeDeserializationError)


def test_a_pickle_is_not_loaded(stored: StoredCase) -> None:
    tables = {s.value: np.array([{"an": "object"}], object) for s in Sequence}
    np.savez(stored.folder / "levels.npz", allow_pickle=True, **tables)
    _pass_off(stored, "levels.npz")
    with pytest.raises(InputError, match="damaged"):
        _again(stored).read(Box((0, 0, 0), (8, 8, 8)))


@pytest.mark.parametrize(
    "array",
    [np.zeros((4, 9, 9, 9), np.uint16), np.zeros((4, 36, 36, 36), np.float32)],
    ids=["another shape", "another type"],
)
def test_another_array_is_refused(stored: StoredCase, array: np.ndarray) -> None:
    path = stored.folder / "images.b2nd"
    path.unlink()
    blosc2.asarray(array, urlpath=str(path))
    _pass_off(stored, "images.b2nd")
    with pytest.raises(InputError, match="damaged"):
        _again(stored).read(Box((0, 0, 0), (8, 8, 8)))


def test_a_store_may_be_moved(stored: StoredCase, tmp_path: Path) -> None:
    moved = StoredCase(Path(shutil.copytree(stored.folder, tmp_path / "elsewhere" / "c")))
    assert moved.is_whole()
    box = Box((0, 0, 0), stored.shape)
    assert np.array_equal(moved.read(box)[0], stored.read(box)[0])


READ_A_WINDOW = """
import sys
from pathlib import Path
import blosc2
from minicube._machine import forget_peak_memory, peak_memory
from minicube.volumes import Box, StoredCase
case = StoredCase(Path(sys.argv[1]))
tasks = Path("/proc/self/task")
threads = len(list(tasks.iterdir())) if tasks.exists() else 0
case.read(Box((0, 0, 0), (8, 8, 8)))
forget_peak_memory()
before = peak_memory()
for start in range(0, 120, 8):
    case.read(Box((start, start, start), (start + 32, start + 32, start + 32)))
print(0 if before is None else peak_memory() - before)
print((len(list(tasks.iterdir())) if tasks.exists() else 0) - threads)
"""


def test_reading_holds_a_window_and_starts_no_thread(tmp_path: Path) -> None:
    shape = (160, 160, 160)
    images = np.random.default_rng(0).integers(1, 9, (4, *shape), np.uint8).astype(np.float32)
    labels = LabelMap(np.zeros(shape, np.uint8), NETWORK_SCHEME)
    frame, scales = prepare(small_case(0)).frame, prepare(small_case(0)).scales
    big = Prepared("big", images, np.ones(shape, bool), labels, frame, scales)
    stored = store_one(big, tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", READ_A_WINDOW, str(stored.folder)],
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    grown, threads = (int(word) for word in done.stdout.split())
    # The whole is 33 MB as codes and 66 MB as images; a window's images are half a megabyte.
    assert grown < 8_000_000
    assert threads == 0
