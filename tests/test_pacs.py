"""An archive that is really one – Debian's Orthanc on loopback – asked, filled and watched."""

from __future__ import annotations

import gc
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from functools import wraps
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("highdicom", reason="archives need the extra 'pacs'")
pytest.importorskip("pynetdicom", reason="archives need the extra 'pacs'")

import highdicom as hd
from pydicom import Dataset, dcmread
from pydicom.uid import UID

from minicube._errors import InputError
from minicube.cli import main
from minicube.dicom import OBJECTS, Study, made_from, write_study
from minicube.pacs import (
    Access,
    Archive,
    Entry,
    Pace,
    Record,
    Segmenting,
    Sent,
    State,
    Unreachable,
    Watch,
    open_archive,
    pull,
    watching,
)
from minicube.pacs.dicomweb import WebArchive
from minicube.pacs.watch import RECORD
from minicube.scans import Geometry, LabelScheme, read_labels
from real_orthanc import (
    PASSWORD,
    USER,
    Orthanc,
    certificate,
    free_port,
    needs_openssl,
    needs_orthanc,
    running,
)
from small_cases import small_case
from small_dicom import change, tiny_study
from stoppable import STOPPABLE

pytestmark = needs_orthanc
TOOLS = ("dciodvfy", "dcmdump", "dsrdump", "storescu")  # dicom3tools and dcmtk
NAME = "Zappelphilipp"  # of the patient


def unclosed(test: Callable[..., None]) -> Any:
    """Of a connection that was refused pynetdicom leaves the socket to the garbage collector."""

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    @pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
    @wraps(test)
    def collecting(*args: Any, **given: Any) -> None:
        test(*args, **given)
        gc.collect()

    return collecting


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with running(tmp_path_factory.mktemp("orthanc")) as archive:
        yield archive


@pytest.fixture
def orthanc(server: Orthanc) -> Orthanc:
    server.clear()
    return server


@pytest.fixture
def auth(tmp_path: Path) -> Path:
    path = tmp_path / "auth"
    path.write_text(f"{USER}:{PASSWORD}\n")
    return path


@pytest.fixture(scope="module")
def segmentable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that the model finds something in, and what the command line finds."""
    folder = tmp_path_factory.mktemp("segmentable")
    write_study(replace(small_case(4, (40, 44, 32)), identity=NAME), folder / "study")
    run("segment", folder / "study", "-o", folder / "own")
    return folder


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)


def uid_of(folder: Path) -> str:
    return str(dcmread(next(folder.rglob("*.dcm"))).StudyInstanceUID)


def watch(archive: str, out: Path, *more: object) -> int:
    words = ("--once", "--settle", 0.2, "--since", 36500, *more)
    return run("pacs", "watch", archive, "-o", out, *words)


def way(orthanc: Orthanc, auth: Path, transport: str) -> tuple[object, ...]:
    """An archive's name, and what goes with it."""
    if transport == "web":
        return (orthanc.web, "--auth", auth)
    listen = ("--listen", f"127.0.0.1:{orthanc.ours}") if transport == "move" else ()
    return (orthanc.peer, *listen)


@pytest.mark.parametrize("transport", ["web", "get", "move"])
def test_what_is_pushed_is_pulled_as_it_was(
    orthanc: Orthanc, auth: Path, tmp_path: Path, transport: str
) -> None:
    study = tiny_study(tmp_path / "s")
    for part in ("3_t2f", "4_t1c"):
        shutil.rmtree(study / part)

    def packed(ds: Dataset, number: int) -> None:
        if ds.SeriesNumber == 2:
            ds.compress("1.2.840.10008.1.2.5")  # RLE

    change(study, packed)
    name, *more = way(orthanc, auth, transport)
    told = tmp_path / "told.json"
    own = () if transport == "move" else more
    assert run("pacs", "push", name, study, "--json", told, *own) == 0
    assert [row["stored"] for row in json.loads(told.read_text())] == [True] * 24
    into = ("-o", tmp_path / "p", "--json", told)
    assert run("pacs", "pull", name, uid_of(study), *into, *more) == 0
    assert json.loads(told.read_text()) == {
        "study": uid_of(study),
        "folder": str(tmp_path / "p"),
        "series": 2,
        "objects": 24,
        "left_out": 0,
    }
    sent = {ds.SOPInstanceUID: ds for ds in map(dcmread, study.rglob("*.dcm"))}
    got = {ds.SOPInstanceUID: ds for ds in map(dcmread, (tmp_path / "p").iterdir())}
    assert sent.keys() == got.keys()
    assert all(sent[uid] == got[uid] for uid in sent)
    syntaxes = {ds.file_meta.TransferSyntaxUID for ds in got.values() if ds.SeriesNumber == 2}
    assert syntaxes == {"1.2.840.10008.1.2.5"}
    assert sorted(path.name for path in (tmp_path / "p").iterdir())[0] == "000001.dcm"


@pytest.mark.parametrize("transport", ["web", "get"])
def test_a_watched_study_gets_what_the_command_line_finds(
    orthanc: Orthanc,
    auth: Path,
    tmp_path: Path,
    segmentable: Path,
    capfd: pytest.CaptureFixture[str],
    transport: str,
) -> None:
    name, *more = way(orthanc, auth, transport)
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if transport == "get" and "storescu" not in missing:
        words = ["storescu", "-aet", "MINICUBE", "-aec", "ORTHANC", "+sd", "+r", "127.0.0.1"]
        place = [str(orthanc.dimse), str(segmentable / "study")]
        subprocess.run([*words, *place], check=True, capture_output=True)
    else:
        assert run("pacs", "push", name, segmentable / "study", *more) == 0
    capfd.readouterr()
    assert watch(str(name), tmp_path / "w", *more) == 0
    heard = "".join(capfd.readouterr())
    assert "segmented; seg.dcm and report.dcm stored" in heard

    (stored,), (report,) = orthanc.objects("SEG"), orthanc.objects("SR")
    seg, sr = tmp_path / "back.seg.dcm", tmp_path / "back.sr.dcm"
    seg.write_bytes(stored)
    sr.write_bytes(report)
    own = dcmread(segmentable / "own" / "seg.dcm")
    assert dcmread(seg).SOPInstanceUID == own.SOPInstanceUID
    assert dcmread(sr).StudyInstanceUID == uid_of(segmentable / "study")
    truth, grid = read_labels(segmentable / "own" / "seg.nii.gz", LabelScheme.BRATS2023)
    expected = grid.to_ras(truth.array)
    assert expected.any()
    assert np.array_equal(labels_on(grid, read_by_highdicom(seg)), expected)
    if "dcmdump" not in missing:
        assert np.array_equal(labels_on(grid, read_by_dcmtk(seg)), expected)
    if "dciodvfy" not in missing:
        for path, kind in ((seg, "Segmentation"), (sr, "SR")):
            said = told_by("dciodvfy", path)
            assert kind in said
            assert "Error" not in said
    if "dsrdump" not in missing:
        assert "NOT FOR CLINICAL USE" in told_by("dsrdump", sr)

    # Again; then without the record, as another computer would: the archive itself says it.
    assert watch(str(name), tmp_path / "w", *more) == 0
    assert "".join(capfd.readouterr()) == ""
    assert watch(str(name), tmp_path / "other", *more) == 0
    heard += "".join(capfd.readouterr())
    assert "the archive holds a segmentation of these scans" in heard
    assert len(orthanc.objects("SEG")) == len(orthanc.objects("SR")) == 1
    assert NAME not in heard
    assert kept(tmp_path / "w") == RESULTS
    (written,) = (tmp_path / "w").glob("*/seg.dcm")
    assert NAME.encode() in written.read_bytes()  # else it could not be missing elsewhere
    assert NAME.encode() not in (tmp_path / "w" / "watch.sqlite").read_bytes()
    if missing:
        pytest.skip(f"all else passed; not installed: {', '.join(missing)}")


RESULTS = {"seg.dcm", "report.dcm", "seg.nii.gz", "seg.json", "watch.sqlite"}


def kept(folder: Path) -> set[str]:
    """Names of all that a watch leaves on disk."""
    return {path.name for path in folder.rglob("*") if path.is_file()} - {".lock"}


Drawn = tuple[np.ndarray, np.ndarray]
"""Centres of voxels, mm, LPS+, and the numbers of their segments."""


def read_by_highdicom(seg: Path) -> Drawn:
    read = hd.seg.segread(seg)
    volume = read.get_volume(combine_segments=True, allow_missing_positions=True)
    index = np.argwhere(volume.array > 0)
    return (volume.affine @ np.c_[index, np.ones(len(index))].T)[:3].T, volume.array[tuple(index.T)]


def read_by_dcmtk(seg: Path) -> Drawn:
    """By what dcmdump prints, and the pixels that it writes beside."""
    words = ["dcmdump", "-q", "+L", "+W", str(seg.parent), str(seg)]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout

    def every(tag: str) -> list[list[float]]:
        found = re.findall(rf"\({tag}\) [A-Z]{{2}} \[?([-+.e\d\\]+)", said)
        return [[float(part) for part in text.split("\\")] for text in found]

    (rows,), (columns,) = every("0028,0010")[0], every("0028,0011")[0]
    packed = np.fromfile(seg.with_name(f"{seg.name}.0.raw"), np.uint8)
    positions, segments = np.array(every("0020,0032")), np.array(every("0062,000b")).ravel()
    shape = len(positions), int(rows), int(columns)
    frames = np.unpackbits(packed, bitorder="little")[: np.prod(shape)].reshape(shape)
    frame, row, column = np.nonzero(frames)
    along, down = np.reshape(every("0020,0037")[0], (2, 3))
    between_rows, between_columns = every("0028,0030")[0]
    steps = np.outer(column, along * between_columns) + np.outer(row, down * between_rows)
    return positions[frame] + steps, segments[frame]


def labels_on(grid: Geometry, drawn: Drawn) -> np.ndarray:
    """Labels in RAS+, as the command line writes them."""
    lps, segments = drawn
    ras = np.c_[lps * (-1, -1, 1), np.ones(len(lps))]
    place = (np.linalg.inv(grid.ras_affine) @ ras.T)[:3].round().astype(int)
    # Segments are numbered in the scheme of networks.
    scheme = LabelScheme.DECATHLON
    values = {n: LabelScheme.BRATS2023.value_of(t) for n, t in scheme.tissues.items()}
    out = np.zeros(grid.ras_shape, np.uint8)
    out[tuple(place)] = [values[int(v)] for v in segments]
    return out


def told_by(tool: str, path: Path) -> str:
    """What a tool that we did not write says of a file; it must read it."""
    told = subprocess.run(
        [tool, str(path)], capture_output=True, text=True, check=tool != "dciodvfy"
    )
    return told.stdout + told.stderr


KILLED = """
import os, signal, sys
from minicube.cli import main
from minicube.pacs import Record, State

put = Record.put

def die(self, entry):
    if entry.state is State.DONE:
        os.kill(os.getpid(), signal.SIGKILL)
    put(self, entry)

Record.put = die
main(sys.argv[1:])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signal here")
def test_killed_between_storing_and_noting_it_is_not_stored_twice(
    orthanc: Orthanc, auth: Path, tmp_path: Path, segmentable: Path
) -> None:
    run("pacs", "push", orthanc.web, segmentable / "study", "--auth", auth)
    words = ["pacs", "watch", orthanc.web, "-o", tmp_path / "w", "--auth", auth, "--once"]
    words += ["--settle", 0, "--since", 36500]
    killed = subprocess.run([sys.executable, "-c", KILLED, *map(str, words)], timeout=600)
    assert killed.returncode == -signal.SIGKILL
    before = orthanc.objects("SEG")
    assert len(before) == 1
    assert watch(orthanc.web, tmp_path / "w", "--auth", auth) == 0
    assert orthanc.objects("SEG") == before
    assert len(orthanc.objects("SR")) == 1
    assert kept(tmp_path / "w") == RESULTS


def test_a_study_that_grows_is_done_anew_only_if_other_scans_are_chosen(
    orthanc: Orthanc,
    auth: Path,
    tmp_path: Path,
    segmentable: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    more = ("--auth", auth)
    run("pacs", "push", orthanc.web, segmentable / "study", *more)
    assert watch(orthanc.web, tmp_path / "w", *more) == 0

    def other(series: int, description: str, brighter: int) -> Path:
        folder = tmp_path / description
        shutil.copytree(segmentable / "study" / "2_t2w", folder)

        def renamed(ds: Dataset, number: int) -> None:
            ds.SeriesInstanceUID += f".{series}"
            ds.SOPInstanceUID += f".{series}"
            ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
            ds.SeriesNumber, ds.SeriesDescription = series, description
            ds.PixelData = (ds.pixel_array + brighter).astype("<u2").tobytes()

        change(folder, renamed)
        return folder

    run("pacs", "push", orthanc.web, other(11, "DWI trace", 0), *more)
    capfd.readouterr()
    assert watch(orthanc.web, tmp_path / "w", *more) == 0
    assert "the scans are those that were segmented" in capfd.readouterr().err
    assert len(orthanc.objects("SEG")) == 1

    # The T2 is sent again as another series, and the first goes.
    for series in orthanc.rest("/series"):
        if "T2 TSE" in str(orthanc.rest(f"/series/{series}")):
            orthanc.rest(f"/series/{series}", "DELETE")
    run("pacs", "push", orthanc.web, other(12, "T2 TSE", 40), *more)
    capfd.readouterr()
    assert watch(orthanc.web, tmp_path / "w", *more) == 0
    heard = capfd.readouterr().err
    assert "has changed" in heard
    assert "segmented" in heard
    parameters = {
        dcmread(BytesIO(seg)).SegmentSequence[0][0x00620007][0].AlgorithmParameters
        for seg in orthanc.objects("SEG")
    }
    assert len(parameters) == 2
    capfd.readouterr()
    assert watch(orthanc.web, tmp_path / "w", *more) == 0
    assert capfd.readouterr().err == ""


@unclosed
@needs_openssl
def test_over_tls_nobody_is_asked_who_cannot_prove_who_they_are(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "orthanc").mkdir()
    known, other = certificate(tmp_path), certificate(tmp_path / "other")
    study = tiny_study(tmp_path / "s")
    for part in ("1_t1n", "2_t2w", "3_t2f"):
        shutil.rmtree(study / part)
    pem = str(known)
    settings = {"DicomTlsEnabled": True, "DicomTlsCertificate": pem, "DicomTlsPrivateKey": pem}
    with running(tmp_path / "orthanc", **settings, DicomTlsTrustedCertificates=pem) as orthanc:
        ours = ("--tls", "--ca", known, "--cert", known, "--timeout", 10)
        assert run("pacs", "push", orthanc.peer, study, *ours) == 0
        pull_it = ("pacs", "pull", orthanc.peer, uid_of(study), "-o", tmp_path / "p")
        assert run(*pull_it, *ours) == 0
        assert len(list((tmp_path / "p").iterdir())) == 12
        capfd.readouterr()
        again = (*pull_it[:-1], tmp_path / "q", "--timeout", 10)
        for wrong in (
            (),
            ("--tls", "--ca", known),
            ("--tls", "--ca", other, "--cert", known),
        ):
            assert run(*again, *wrong) == 2
            assert "Nobody answers" in capfd.readouterr().err
        assert not (tmp_path / "q").exists()


def test_what_cannot_be_segmented_is_skipped_and_what_fails_is_not_tried_for_ever(
    orthanc: Orthanc, auth: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    three, damaged = tiny_study(tmp_path / "three"), tiny_study(tmp_path / "damaged")
    shutil.rmtree(three / "3_t2f")

    def spoil(ds: Dataset, number: int) -> None:
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            setattr(ds, keyword, ds[keyword].value + ".1")
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.PatientName = NAME
        if number == 20:
            ds.PixelData = ds.PixelData[:-100]
            ds.RescaleSlope, ds.RescaleIntercept = 1, 0

    change(damaged, spoil)
    run("pacs", "push", orthanc.web, three, damaged, "--auth", auth)
    capfd.readouterr()
    assert watch(orthanc.web, tmp_path / "w", "--auth", auth) == 3
    heard = capfd.readouterr().err
    assert "skipped." in heard
    assert "no FLAIR" in heard
    assert "failed." in heard
    for expected in (3, 3, 0, 0):
        time.sleep(0.3)
        assert watch(orthanc.web, tmp_path / "w", "--auth", auth) == expected
        heard = capfd.readouterr().err
        assert heard.count("failed.") == (expected == 3)
        assert "skipped" not in heard
        assert NAME not in heard
    assert not orthanc.objects("SEG")


def test_ctrl_c_and_sigterm_end_a_watch(orthanc: Orthanc, tmp_path: Path) -> None:
    words = [*STOPPABLE, "pacs", "watch", orthanc.peer, "-o"]
    signals = (signal.SIGINT, signal.SIGTERM)
    processes = [
        subprocess.Popen([*words, str(tmp_path / s.name)], stderr=subprocess.PIPE, text=True)
        for s in signals
    ]
    until = time.monotonic() + 60
    for ending, process in zip(signals, processes, strict=True):
        while not (tmp_path / ending.name / "watch.sqlite").exists():
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.1)
        time.sleep(0.5)
        os.kill(process.pid, ending)
        _, said = process.communicate(timeout=120)
        assert process.returncode == 130
        assert "Traceback" not in said


class Death(BaseException):
    """What a process dies of."""


STEPS = (
    *("to note settling", "noted settling", "to note begun", "noted begun", "made"),
    *("to note begun", "noted begun", "stored seg.dcm", "stored report.dcm"),  # begun and made
    *("to note done", "noted done"),
)


@pytest.mark.parametrize("dies_at", [5, 6, 7, 9])  # of STEPS
def test_wherever_a_watch_dies_nothing_is_stored_twice(
    orthanc: Orthanc,
    auth: Path,
    tmp_path: Path,
    segmentable: Path,
    monkeypatch: pytest.MonkeyPatch,
    dies_at: int,
) -> None:
    run("pacs", "push", orthanc.web, segmentable / "study", "--auth", auth)
    seen: list[str] = []

    def happens(what: str) -> None:
        seen.append(what)
        if len(seen) == dies_at + 1:
            raise Death

    put, store = Record.put, WebArchive.store

    def noted(self: Record, entry: Entry) -> None:
        happens(f"to note {entry.state}")
        put(self, entry)
        happens(f"noted {entry.state}")

    def stored(self: WebArchive, paths: Iterable[Path]) -> Iterator[Sent]:
        for sent in store(self, paths):
            happens(f"stored {sent.path.name}")
            yield sent

    monkeypatch.setattr(Record, "put", noted)
    monkeypatch.setattr(WebArchive, "store", stored)
    own = segmentable / "own"
    known = made_from(own / "seg.dcm")
    assert known is not None

    def segment(study: Study, out: Path) -> None:
        for name in OBJECTS:
            shutil.copy(own / name, out)
        seen.append("made")

    def look() -> None:
        with (
            open_archive(orthanc.web, Access(secret=str(auth))) as archive,
            watching(
                archive,
                tmp_path / "w",
                Segmenting(known.settings, segment),
                Pace(settle=0, since=36500),
                lambda _: None,
            ) as watcher,
        ):
            watcher.look()

    look()
    with pytest.raises(Death):
        look()
    assert tuple(seen) == STEPS[: dies_at + 1]
    look()
    look()
    assert seen[-1] == "noted done"
    assert [seen.count(f"stored {name}") for name in OBJECTS] == [1, 1]
    assert seen.count("made") == (2 if dies_at == 5 else 1)  # made, but that was not noted
    assert len(orthanc.objects("SEG")) == len(orthanc.objects("SR")) == 1
    assert kept(tmp_path / "w") == {*OBJECTS, "watch.sqlite"}


def test_a_folder_is_of_one_watch_and_what_was_left_behind_goes(
    orthanc: Orthanc, auth: Path, tmp_path: Path
) -> None:
    for left in ("study-1/pulled/000001.dcm", "study-1/scans/t1.nii", "study-1/.part-x/1.dcm"):
        (tmp_path / left).parent.mkdir(parents=True)
        (tmp_path / left).touch()
    (tmp_path / "study-1" / ".part-y-seg.dcm").touch()
    (tmp_path / ".seg-x").mkdir()
    (tmp_path / "study-1" / "seg.dcm").touch()

    def interrupted(study: Study, out: Path) -> None:
        raise KeyboardInterrupt

    def opened(archive: Archive) -> AbstractContextManager[Watch]:
        pace = Pace(settle=0, since=36500)
        return watching(archive, tmp_path, Segmenting("", interrupted), pace, lambda _: None)

    study = tiny_study(tmp_path / "study")
    run("pacs", "push", orthanc.web, study, "--auth", auth)
    uid = uid_of(study)
    shutil.rmtree(study)
    with open_archive(orthanc.web, Access(secret=str(auth))) as archive, opened(archive) as watcher:
        assert kept(tmp_path) == {"seg.dcm", "watch.sqlite", "auth"}
        with pytest.raises(InputError, match="Another process"), opened(archive):
            pass
        watcher.look()
        with pytest.raises(KeyboardInterrupt):
            watcher.look()
        assert kept(tmp_path) == {"seg.dcm", "watch.sqlite", "auth"}
    with closing(Record(tmp_path / RECORD)) as record:
        entry = record.get(uid)
        assert entry is not None
        assert (entry.state, entry.attempts) == (State.SETTLING, 0)  # nobody failed


def test_what_an_archive_refuses_is_said(
    orthanc: Orthanc, auth: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    study = tiny_study(tmp_path / "s")
    for part in ("1_t1n", "2_t2w", "3_t2f"):
        shutil.rmtree(study / part)

    def strange(ds: Dataset, number: int) -> None:
        if number == 1:
            ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = UID("1.2.3.4.5.6")

    change(study, strange)
    assert run("pacs", "push", orthanc.peer, study) == 2
    out, err = capfd.readouterr()
    assert out.count(": stored") == 11
    assert "0002.dcm: refused: it does not take this kind of object" in out
    assert "refused 1 of 12 objects" in err
    assert "0002.dcm" in err
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(bytes(128) + b"DICM" + b"\xff" * 500)
    assert run("pacs", "push", orthanc.web, broken, "--auth", auth) == 2
    assert "broken.dcm" in capfd.readouterr().err
    # Orthanc takes nothing from a stranger.
    assert run("pacs", "push", orthanc.peer, study / "4_t1c" / "0001.dcm", "--aet", "STRANGER") == 2
    assert "0001.dcm" in capfd.readouterr().err
    assert run("pacs", "push", orthanc.web, tmp_path / "auth", "--auth", auth) == 2
    assert "is no DICOM file" in capfd.readouterr().err


def opened(name: str, secret: str | None = None) -> Archive:
    with open_archive(name, Access(timeout=5, secret=secret)) as archive:
        archive.echo()
        return archive


@unclosed
def test_what_goes_wrong_is_said_in_words(orthanc: Orthanc, auth: Path, tmp_path: Path) -> None:
    nobody = free_port()
    with pytest.raises(InputError, match="does not let us in"):
        opened(orthanc.web)
    with pytest.raises(InputError, match="HTTP status 404"):
        opened(f"http://127.0.0.1:{orthanc.http}/no-such-root", secret=str(auth))
    for name in (f"http://127.0.0.1:{nobody}/dicom-web", f"ORTHANC@127.0.0.1:{nobody}"):
        with pytest.raises(Unreachable, match="Nobody answers"):
            opened(name)
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "file").touch()
    study = tiny_study(tmp_path / "s")
    run("pacs", "push", orthanc.web, study, "--auth", auth)
    for name, secret in ((orthanc.web, str(auth)), (orthanc.peer, None)):
        with open_archive(name, Access(secret=secret)) as archive:
            with pytest.raises(InputError, match="does not have this study"):
                pull(archive, "1.2.3", tmp_path / "p")
            with pytest.raises(InputError, match="identifies no study"):
                pull(archive, "../../etc", tmp_path / "p")
            with pytest.raises(InputError, match="already exists"):
                pull(archive, uid_of(study), taken)
    stranger = Access(title="STRANGER", listen=f"127.0.0.1:{nobody}")
    with open_archive(orthanc.peer, stranger) as archive, pytest.raises(InputError):
        pull(archive, uid_of(study), tmp_path / "p")
    assert not (tmp_path / "p").exists()
    assert not list(tmp_path.glob(".part-*"))
