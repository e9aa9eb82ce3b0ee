"""Archives that behave badly, over real sockets; what is said, and that nothing is left behind."""

from __future__ import annotations

import base64
import gzip
import json
import ssl
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("highdicom", reason="archives need the extra 'pacs'")
pytest.importorskip("pynetdicom", reason="archives need the extra 'pacs'")

from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pynetdicom import AE, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    MRImageStorage,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from minicube._errors import InputError
from minicube.pacs import (
    Access,
    IntakeLimits,
    Pace,
    Pulled,
    Segmenting,
    Sent,
    open_archive,
    pull,
    push,
    receiving,
    watching,
)
from minicube.pacs.archive import Broken
from minicube.pacs.multipart import boundary_of, parts
from minicube.pacs.record import Entry, Record, State
from real_orthanc import certificate, free_port, needs_openssl
from small_dicom import tiny_study

BOUNDARY = b"between"


def message(*contents: bytes) -> bytes:
    pieces = [
        b"--" + BOUNDARY + b"\r\nContent-Type: application/dicom\r\n\r\n" + content + b"\r\n"
        for content in contents
    ]
    return b"".join(pieces) + b"--" + BOUNDARY + b"--\r\n"


@given(st.lists(st.binary(max_size=60), max_size=4), st.integers(1, 50))
def test_parts_are_read_whole_however_they_come(contents: list[bytes], size: int) -> None:
    whole = b"a preamble\r\n" * (size % 2) + message(*contents)
    chunks = [whole[start : start + size] for start in range(0, len(whole), size)]
    assert [b"".join(part) for part in parts(chunks, BOUNDARY)] == contents
    if contents:
        half = parts(chunks[: len(chunks) // 2], BOUNDARY)
        with pytest.raises(Broken):
            deque(map(list, half))


def test_a_boundary_is_found_in_any_spelling() -> None:
    assert boundary_of('multipart/related; type="application/dicom"; boundary="a b"') == b"a b"
    assert boundary_of("Multipart/Related; Boundary=x") == b"x"
    assert boundary_of("application/dicom; boundary=x") is None


@dataclass(frozen=True)
class Reply:
    """An answer of an archive, as it is sent."""

    content: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    endless: bool = False


@contextmanager
def web(
    answers: dict[str, Any], heard: list[str] | None = None, certified: Path | None = None
) -> Iterator[str]:
    """An archive that answers paths that end so with JSON, with objects, or with a reply."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if heard is not None:
                heard.append(self.headers["Authorization"])
            path, _, query = self.path.partition("?")
            found = next(value for end, value in answers.items() if path.endswith(end))
            if found == "nothing at all":
                return
            if isinstance(found, list):
                first = "offset=0" in query or "limit=1" in query
                content = json.dumps(found if first else []).encode()
                found = Reply(content, headers={"Content-Type": "application/dicom+json"})
            elif isinstance(found, bytes):
                kind = f'multipart/related; boundary="{BOUNDARY.decode()}"'
                found = Reply(found, headers={"Content-Type": kind})
            self._send(found)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._send(answers["POST"])

        def _send(self, reply: Reply) -> None:
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                self.wfile.write(reply.content)
                while reply.endless:
                    self.wfile.write(bytes(1 << 16))
            except OSError:  # enough was said
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certified is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certified)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    scheme = "http" if certified is None else "https"
    try:
        yield f"{scheme}://127.0.0.1:{server.server_port}/dicom-web"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tiny_study(tmp_path_factory.mktemp("study"))
    return sorted((folder / "1_t1n").iterdir())[:3]


def uid_of(series: list[Path]) -> str:
    return str(dcmread(series[0]).StudyInstanceUID)


def listed(paths: list[Path], **of_series: Any) -> dict[str, Any]:
    """What an archive says of a study of these files in one series."""
    first = dcmread(paths[0])
    named = {"0020000E": {"Value": [first.SeriesInstanceUID]}, "00080060": {"Value": ["MR"]}}
    instances = [dcmread(path).SOPInstanceUID for path in paths]
    return {
        "/instances": [{"00080018": {"Value": [uid]}} for uid in instances],
        f"{first.StudyInstanceUID}/series": [named | of_series],
        "/studies": [{"0020000D": {"Value": [first.StudyInstanceUID]}}],
    }


def fetched(
    answers: dict[str, Any], study: str, folder: Path, limits: IntakeLimits | None = None
) -> Pulled:
    with web(answers) as address, open_archive(address, Access(timeout=1)) as archive:
        return pull(archive, study, folder / "p", limits=limits)


def of_another(path: Path, tmp_path: Path) -> bytes:
    ds = dcmread(path)
    ds.StudyInstanceUID = "1.2.3.4"
    other = tmp_path / "other.dcm"
    ds.save_as(other)
    return other.read_bytes()


def test_only_what_was_announced_is_kept(series: list[Path], tmp_path: Path) -> None:
    study = uid_of(series)
    sent = message(*(path.read_bytes() for path in (series[0], series[2], series[1], series[0])))
    answers = listed(series[:2]) | {"": sent}
    assert fetched(answers, study, tmp_path) == Pulled(1, 2, 2)
    names = sorted(path.name for path in (tmp_path / "p").iterdir())
    assert len(names) == 2
    assert all(len(name) == len("000001.dcm") and name.endswith(".dcm") for name in names)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("less", "did not send the whole study"),
        ("another", "of another study"),
        ("cut", "in the middle"),
        ("large", "more than is taken"),
        ("many", "more than is taken"),
        ("rubbish", "no whole DICOM object"),
        ("json", "no DICOM object"),
        ("nothing", "stopped answering|broke off"),
        ("no identifier", "identifier that is none"),
        ("points", "identifier that is none"),
        ("no json", "no DICOMweb"),
        ("no beginning", "parts do not begin"),
        ("packed", "packs its answers"),
        ("elsewhere", "says that it is elsewhere"),
        ("password", "does not let us in"),
    ],
)
def test_a_bad_archive_is_refused_and_leaves_nothing(
    series: list[Path], tmp_path: Path, what: str, said: str
) -> None:
    study = uid_of(series)
    data = [path.read_bytes() for path in series]
    listing, limits = listed(series), IntakeLimits(20_000, 40_000)
    sent: Any = message(*data)
    if what == "less":
        sent = message(*data[:2])
    elif what == "another":
        sent = message(of_another(series[0], tmp_path), *data[1:])
    elif what == "cut":
        sent = sent[: len(sent) // 2]
    elif what == "large":
        sent = message(data[0] + bytes(30_000))
    elif what == "many":
        sent = message(*data, *[data[0]] * 100)
    elif what == "rubbish":
        sent = message(data[0][:400], *data[1:])
    elif what == "json":
        sent = []
    elif what == "nothing":
        sent = "nothing at all"
    elif what == "no identifier":
        listing = listed(series, **{"0020000E": {"Value": ["../../etc/passwd"]}})
    elif what == "points":
        listing = listed(series, **{"0020000E": {"Value": [".."]}})
    elif what == "no beginning":
        kind = {"Content-Type": f"multipart/related; boundary={BOUNDARY.decode()}"}
        sent = Reply(headers=kind, endless=True)
    elif what == "packed":
        packed = {"Content-Encoding": "gzip", "Content-Type": "application/dicom"}
        sent = Reply(gzip.compress(bytes(1 << 20)), headers=packed)
    elif what == "elsewhere":
        sent = Reply(status=302, headers={"Location": "/dicom-web/studies"})
    elif what == "password":
        sent = Reply(b"for minicube alone", status=401)
    elif what == "no json":
        listing = {f"{study}/series": b"<html>"}
    before = set(tmp_path.iterdir()) | {tmp_path / "other.dcm"}
    with pytest.raises(InputError, match=said) as refused:
        fetched(listing | {"": sent}, study, tmp_path, limits)
    assert set(tmp_path.iterdir()) <= before
    assert "minicube" not in str(refused.value)  # the patient's name in these files


STORED = {"00081199": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2"]}}]}}


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(json.dumps(STORED).encode()), ""),
        (Reply(json.dumps(STORED | {"00081198": {"Value": [{}]}}).encode()), "does not say why"),
        (Reply(b"{}", 409), "HTTP status 409"),
        (Reply(b"<html>log in, please", 200), "no DICOMweb"),
        (Reply(b"{}", 200), "no DICOMweb"),
        (Reply(b'{"00081198": [3], "00081199": 4}', 200), "no DICOMweb"),
        (Reply(b"", 302, {"Location": "/"}), "elsewhere"),
    ],
)
def test_only_what_an_archive_says_it_stored_counts_as_stored(
    series: list[Path], reply: Reply, said: str
) -> None:
    with web({"POST": reply}) as address, open_archive(address, Access(timeout=5)) as archive:
        if not said:
            assert push(archive, series[:1]) == 1
            return
        with pytest.raises(InputError, match=said):
            push(archive, series[:1])


@needs_openssl
def test_a_certificate_is_trusted_only_if_somebody_says_so(
    series: list[Path], tmp_path: Path
) -> None:
    own = certificate(tmp_path)
    with web(listed(series), certified=own) as address:
        with open_archive(address, Access(authority=own, certificate=own)) as archive:
            archive.echo()
        with (
            pytest.raises(InputError, match=r"not trusted.*\n.*\n.*--ca"),
            open_archive(address) as archive,
        ):
            archive.echo()
        elsewhere = address.replace("127.0.0.1", "localhost")  # not the name that was certified
        with (
            pytest.raises(InputError, match="not trusted"),
            open_archive(elsewhere, Access(authority=own)) as archive,
        ):
            archive.echo()


def test_a_modality_that_is_none_is_not_printed(series: list[Path], tmp_path: Path) -> None:
    listing = listed(series, **{"00080060": {"Value": ["\x1b[2J of minicube"]}})
    study = uid_of(series)
    with pytest.raises(InputError, match="No series of this study is MR") as refused:
        fetched(listing, study, tmp_path)
    assert refused.value.found == "?"


def test_a_study_that_cannot_be_looked_at_does_not_keep_a_watch_from_others(
    tmp_path: Path,
) -> None:
    studies = [{"0020000D": {"Value": [uid]}} for uid in ("1.1", "no identifier", "1.2", "1.3")]
    ct = [{"0020000E": {"Value": ["1.4"]}, "00080060": {"Value": ["CT"]}}]
    mr = [{"0020000E": {"Value": ["1.5"]}, "00080060": {"Value": ["MR"]}}]
    answers = {"1.1/series": b"<html>", "1.2/series": ct, "1.3/series": mr}
    answers |= {"/studies": studies, "/instances": [{"00080018": {"Value": ["1.6"]}}]}
    told: list[str] = []
    with (
        web(answers) as address,
        open_archive(address, Access(timeout=5)) as archive,
        watching(archive, tmp_path, Segmenting("", lambda *_: None), Pace(), told.append) as watch,
    ):
        assert watch.look()
        assert watch.look()
    assert len(told) == 2  # and once only
    assert "(1.1): cannot be looked at" in told[0]
    assert "(1.3): is new, 1 MR images so far" in told[1]


@pytest.mark.parametrize("counts", [False, True])  # whether the archive says how many there are
def test_a_series_that_still_grows_is_let_settle(
    series: list[Path], tmp_path: Path, counts: bool
) -> None:
    def of(some: list[Path]) -> dict[str, Any]:
        return listed(some, **({"00201209": {"Value": [len(some)]}} if counts else {}))

    answers = of(series[:1])
    told: list[str] = []
    with (
        web(answers) as address,
        open_archive(address, Access(timeout=5)) as archive,
        watching(
            archive, tmp_path, Segmenting("", lambda *_: None), Pace(settle=0), told.append
        ) as watch,
    ):
        assert watch.look()
        answers.update(of(series))
        assert watch.look()
        answers[""] = []  # it is fetched now, and what comes is no object
        assert not watch.look()
    assert [line.split("): ")[1] for line in told[:2]] == [
        "is new, 1 MR images so far",
        "has changed, 3 MR images so far",
    ]
    assert "failed. The archive answered with something that is no DICOM object." in told[2]


@contextmanager
def peer(series: list[Path], sent: list[Dataset], what: str, ours: int = 0) -> Iterator[str]:
    """A DIMSE archive that announces a series and sends something else, with C-MOVE to a port."""

    quiet = threading.Event()

    def find(event: Any) -> Iterator[tuple[int, Dataset | None]]:
        for path in series if event.identifier.QueryRetrieveLevel == "IMAGE" else series[:1]:
            ds, row = dcmread(path), Dataset()
            row.SeriesInstanceUID, row.SOPInstanceUID = ds.SeriesInstanceUID, ds.SOPInstanceUID
            row.Modality = "MR"
            if what == "no number":
                row.add_new(0x00201209, "LO", "minicube")
            elif what == "points":
                row.add_new(0x0020000E, "LO", "..")
            yield 0xFF00, row
        while what == "endless":
            yield 0xFF00, row

    def get(event: Any) -> Iterator[Any]:
        yield len(sent)
        for ds in sent:
            if what == "dropped":
                event.assoc.abort()
                return
            if what == "silent":  # in the middle of a message
                event.assoc.dul.socket.socket.sendall(b"\x04\0\0\0\x40\0 and no more")
                quiet.wait(60)
                return
            yield 0xFF00, ds

    def move(event: Any) -> Iterator[Any]:
        if what == "destination unknown":
            yield None, None
        else:
            yield "127.0.0.1", ours
            yield len(sent)
            yield from ((0xFF00, ds) for ds in sent)

    stored: list[str] = []

    def store(event: Any) -> int:
        stored.append(event.request.AffectedSOPInstanceUID)
        if what == "always dropped" or (what == "dropped" and len(stored) == 2):
            event.assoc.abort()
        return 0

    entity = AE(ae_title="BAD")
    entity.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
    entity.add_supported_context(StudyRootQueryRetrieveInformationModelGet)
    entity.add_supported_context(StudyRootQueryRetrieveInformationModelMove)
    entity.add_requested_context(MRImageStorage)
    entity.add_supported_context(MRImageStorage, scu_role=True, scp_role=True)
    handlers: list[Any] = [(evt.EVT_C_FIND, find), (evt.EVT_C_GET, get)]
    handlers += [(evt.EVT_C_STORE, store), (evt.EVT_C_MOVE, move)]
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    assert server is not None
    try:
        yield f"BAD@127.0.0.1:{server.server_address[1]}"
    finally:
        quiet.set()
        server.shutdown()
        entity.shutdown()


def _patience(said: str) -> float:
    """Seconds: few where a peer will not answer, more where a busy machine may be slow."""
    return 4 if said == "stopped answering" else 12


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("whole", ""),
        ("no number", ""),
        ("points", "identifier that is none"),
        ("endless", "stopped answering"),
        ("less", "did not send the whole study"),
        ("another", "of another study"),
        ("large", "more than is taken"),
        ("dropped", "stopped answering"),
        ("silent", "stopped answering"),
    ],
)
def test_a_bad_peer_is_refused_and_leaves_nothing(
    series: list[Path], tmp_path: Path, what: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "_LONGEST_ANSWER", 50_000)
    study = uid_of(series)
    sent: list[Dataset] = [dcmread(path) for path in series]
    if what == "less":
        del sent[1]
    elif what == "another":
        sent[1].StudyInstanceUID = "1.2.3.4"
    elif what == "large":
        sent[1].PixelData = bytes(60_000)
    limits = IntakeLimits(20_000, 40_000)
    with (
        peer(series, sent, what) as name,
        open_archive(name, Access(timeout=_patience(said))) as archive,
    ):
        if not said:
            assert pull(archive, study, tmp_path / "p", limits=limits) == Pulled(1, 3, 0)
            return
        with pytest.raises(InputError, match=said):
            pull(archive, study, tmp_path / "p", limits=limits)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("what", "title", "said"),
    [
        ("whole", "BAD", ""),
        ("whole", "OTHER", "BAD wanted to send"),
        ("another", "BAD", "of another study"),
        ("destination unknown", "BAD", "does not know where MINICUBE is"),
    ],
)
def test_what_is_moved_is_taken_from_that_archive_alone(
    series: list[Path], tmp_path: Path, what: str, title: str, said: str
) -> None:
    study, ours = uid_of(series), free_port()
    sent: list[Dataset] = [dcmread(path) for path in series]
    if what == "another":
        sent[1].StudyInstanceUID = "1.2.3.4"
    with (
        peer(series, sent, what, ours) as name,  # it calls itself BAD, whoever it is asked as
        open_archive(
            name.replace("BAD", title), Access(listen=str(ours), timeout=_patience(said))
        ) as archive,
    ):
        if not said:
            assert pull(archive, study, tmp_path / "p") == Pulled(1, 3, 0)
            return
        with pytest.raises(InputError, match=said):
            pull(archive, study, tmp_path / "p")
    assert not list(tmp_path.iterdir())


def test_we_listen_where_the_archive_is_and_nowhere_else() -> None:
    assert receiving.own_address(("127.0.0.1", 104)) == "127.0.0.1"


def test_what_breaks_off_is_gone_on_with_once(series: list[Path]) -> None:
    for what in ("dropped", "always dropped"):
        with peer(series, [], what) as name, open_archive(name, Access(timeout=4)) as archive:
            told: list[Sent] = []
            if what == "dropped":
                assert push(archive, series, told.append) == 3
            else:
                with pytest.raises(Broken, match="broke off"):
                    push(archive, series, told.append)
        assert [sent.path for sent in told] == (series if what == "dropped" else [])


@pytest.mark.parametrize(
    ("name", "access", "said"),
    [
        ("https://user:secret@pacs/dicom-web", Access(), "does not belong"),
        ("ftp://pacs/", Access(), "address cannot be used"),
        ("https://pacs:port/", Access(), "address cannot be used"),
        ("pacs", Access(), "names no archive"),
        ("PACS@host", Access(), "names no archive"),
        ("PACS@host:99999", Access(), "is no port"),
        ("PACS@host:104", Access(title="A TITLE THAT IS TOO LONG"), "no application entity title"),
        ("PACS@host:104", Access(listen="here"), "no place to listen"),
        ("PACS@host:104", Access(secret="file"), "--auth means nothing"),
        ("PACS@host:104", Access(authority=Path(__file__)), "--ca means nothing"),
        ("PACS@host:104", Access(certificate=Path(__file__)), "--cert means nothing"),
        ("PACS@host:104", Access(tls=True, listen="104"), "C-MOVE is not done encrypted"),
        ("PACS@host:104", Access(tls=True, certificate=Path(__file__)), "with its key"),
        ("https://pacs/", Access(tls=True), "--tls means nothing"),
        ("https://pacs/", Access(listen="104"), "--listen means nothing"),
        ("https://pacs/", Access(secret="env:NO_SUCH_NAME"), "no environment variable"),
        ("https://pacs/", Access(secret="me:secret"), "does not exist"),
        ("https://pacs/", Access(authority=Path(__file__)), "cannot be read as certificates"),
    ],
)
def test_what_names_no_archive_is_refused(name: str, access: Access, said: str) -> None:
    with pytest.raises(InputError, match=said) as refused, open_archive(name, access):
        pass
    assert "secret" not in str(refused.value)


def test_credentials_come_from_a_file_or_a_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, series: list[Path]
) -> None:
    for text in ("no colon\n", "Bearer abc\nX-Other: header", "Bearer \u00e4", "me:\nsecret"):
        (tmp_path / "none").write_text(text)
        with (
            pytest.raises(InputError, match="holds no credentials"),
            open_archive("https://pacs/", Access(secret=str(tmp_path / "none"))),
        ):
            pass
    monkeypatch.setenv("A_TOKEN", "Bearer abc")
    (tmp_path / "password").write_text("me:a: secret\n")
    heard: list[str] = []
    with web(listed(series), heard) as address:
        for secret in ("env:A_TOKEN", str(tmp_path / "password")):
            with open_archive(address, Access(secret=secret)) as archive:
                archive.echo()
    assert heard == ["Bearer abc", f"Basic {base64.b64encode(b'me:a: secret').decode()}"]


def test_a_record_outlasts_its_process_and_no_other_file_is_one(tmp_path: Path) -> None:
    entry = Entry("1.2.3", "series", State.FAILED, 12.5, 2, "made", "stored", "a sentence")
    record = Record(tmp_path / "r")
    record.put(entry)
    record.close()
    record = Record(tmp_path / "r")
    assert record.get("1.2.3") == entry
    assert record.get("1.2") is None
    record.close()
    (tmp_path / "x").write_text("no database" * 100)
    with pytest.raises(InputError, match="no record of studies"):
        Record(tmp_path / "x")
