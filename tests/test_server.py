"""The server from outside: what it does with a case, and what with things that are none."""

from __future__ import annotations

import io
import re
import stat
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from minicube._errors import InputError
from minicube.scans import LabelScheme, Layout, find_cases, load_case, read_labels, write_case
from minicube.scans import write_label_map as write_labels
from small_cases import small_case

pytest.importorskip("fastapi", reason="the server needs the extra 'serve'")

from fastapi.testclient import TestClient

from minicube.inference import Segmenter
from minicube.server.app import PAGE
from minicube.server.settings import Allowance, Settings, read_keys
from server_client import BASE, ended, open_job, send, serving, zipped

KEY = "a-key-that-is-long-enough"
DAMAGED = bytes.fromhex("1f8b0800000000000003")


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with serving(tmp_path / "data") as client:
        yield client


@pytest.fixture(scope="module")
def case_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cases")
    write_case(small_case(3), root, Layout.BRATS2021, LabelScheme.BRATS2021)
    return next(path for path in root.iterdir() if path.is_dir())


def recognised(client: TestClient, folder: Path) -> dict[str, Any]:
    job = open_job(client)
    for path in sorted(folder.glob("*.nii.gz")):
        assert send(client, job, path.read_bytes(), f"Smith%20{path.name}").status_code == 201
    found: dict[str, Any] = client.post(f"/api/jobs/{job}/recognise").raise_for_status().json()
    return found


def started(client: TestClient, folder: Path) -> str:
    job = recognised(client, folder)
    roles = {one["key"]: one["role"] for one in job["series"]}
    given = {"roles": roles, "reference_labels": "brats2021"}
    client.post(f"/api/jobs/{job['id']}/start", json=given).raise_for_status()
    return str(job["id"])


def test_a_reference_that_says_no_scheme_is_asked_about(tmp_path: Path, case_folder: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    for path in case_folder.glob("*.nii.gz"):
        image = nib.Nifti1Image.from_filename(path)
        nib.save(nib.Nifti1Image(np.asanyarray(image.dataobj), image.affine), plain / path.name)
    with serving(tmp_path / "data") as client:
        job = recognised(client, plain)
        roles = {one["key"]: one["role"] for one in job["series"]}
        assert "reference" in roles.values()
        refused = client.post(f"/api/jobs/{job['id']}/start", json={"roles": roles})
        assert refused.status_code == 422
        assert "what its numbers mean" in refused.json()["problem"]
        given = {"roles": roles, "reference_labels": "brats2021"}
        again = client.post(f"/api/jobs/{job['id']}/start", json=given)
        assert again.status_code == 202  # nothing was lost


def test_a_case_goes_all_the_way(
    tmp_path: Path, case_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "minicube")
    with serving(tmp_path / "data") as client:
        job = started(client, case_folder)
        done = ended(client, job)
        assert done["state"] == "done", done["error"]
        files = f"/api/jobs/{job}/files"
        labels = tmp_path / "labels.nii.gz"
        labels.write_bytes(client.get(f"{files}/labels.nii.gz").content)

        expected = Segmenter().segment(load_case(find_cases(case_folder)[0]))
        expected.save(tmp_path / "expected.nii.gz")
        found, grid = read_labels(labels, LabelScheme.BRATS2023)
        truth, _ = read_labels(tmp_path / "expected.nii.gz", LabelScheme.BRATS2023)
        assert (found.array == truth.array).all()
        assert found.array.any()
        assert done["result"]["regions_ml"]["WT"] == expected.volumes_ml["WT"]
        assert [row["region"] for row in done["result"]["scores"]] == ["WT", "TC", "ET"]

        names = {file["name"] for file in done["files"]}
        assert {"t1n.nii.gz", "t2f.nii.gz", "differences.nii.gz", "reference.nii.gz"} <= names
        assert b"Research use only" in client.get(f"{files}/report.html").content
        assert client.get(f"{files}/request.json").status_code == 404

        corrected = found.array.copy()
        corrected[tuple(n // 2 for n in corrected.shape)] ^= 1
        write_labels(tmp_path / "mine.nii.gz", type(found)(corrected, found.scheme), grid)
        kept = client.put(
            f"/api/jobs/{job}/correction", content=(tmp_path / "mine.nii.gz").read_bytes()
        ).raise_for_status()
        assert kept.json()["correction"]["changed_voxels"] == 1
        assert client.get(f"{files}/labels.nii.gz").content == labels.read_bytes()

        actions = [line["action"] for line in client.get("/api/audit").json()]
        assert {"opened", "uploaded", "started", "done", "read labels.nii.gz"} <= set(actions)
        assert "Smith" not in str(actions) + caplog.text

    with serving(tmp_path / "data") as client:  # the history survives
        assert [one["id"] for one in client.get("/api/jobs").json()] == [job]
        assert client.delete(f"/api/jobs/{job}").status_code == 204
        assert client.get(f"/api/jobs/{job}").status_code == 404
    kept_files = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert {path.name for path in kept_files} <= {"minicube.sqlite", ".lock"}
    assert all(b"Smith" not in path.read_bytes() for path in kept_files)


def test_what_is_recognised_waits_for_a_person(client: TestClient, case_folder: Path) -> None:
    job = recognised(client, case_folder)
    assert job["state"] == "recognised"
    roles = [(one["name"].removeprefix("Smith "), one["role"]) for one in job["series"]]
    found = {re.split(r"[_.]", name)[-3]: role for name, role in roles}
    assert found == {"t1": "t1n", "t1ce": "t1c", "t2": "t2w", "flair": "t2f", "seg": "reference"}
    assert all(one["certain"] for one in job["series"])
    start = f"/api/jobs/{job['id']}/start"
    missing = client.post(start, json={"roles": {"0": "t1n"}})
    assert missing.status_code == 422
    assert "FLAIR" in missing.json()["found"]
    assert client.post(start, json={"roles": {"0": "t1n", "1": "t1n"}}).status_code == 422
    assert client.post(start, json={"roles": {"99": "t1n"}}).status_code == 422


def test_cancelling_and_deleting_end_the_process(tmp_path: Path, case_folder: Path) -> None:
    with serving(tmp_path / "data") as client:
        first, second, third = (started(client, case_folder) for _ in range(3))
        assert client.post(f"/api/jobs/{first}/cancel").json()["state"] == "cancelled"
        assert client.delete(f"/api/jobs/{second}").status_code == 204
        assert ended(client, third)["state"] == "done"
        assert client.get(f"/api/jobs/{first}").json()["state"] == "cancelled"
        assert client.post(f"/api/jobs/{first}/cancel").status_code == 409
    assert not (tmp_path / "data" / "jobs" / second).exists()


def test_a_scan_that_cannot_be_used_is_told_in_the_senders_words(
    client: TestClient, case_folder: Path
) -> None:
    job = open_job(client)
    for path in sorted(case_folder.glob("*.nii.gz")):
        whole = path.read_bytes()
        send(client, job, whole[: len(whole) // 2] if "flair" in path.name else whole, path.name)
    series = client.post(f"/api/jobs/{job}/recognise").json()["series"]
    roles = {one["key"]: one["role"] for one in series if one["role"] != "reference"}
    client.post(f"/api/jobs/{job}/start", json={"roles": roles}).raise_for_status()
    failed = ended(client, job)
    assert failed["state"] == "failed"
    assert "flair.nii.gz breaks off" in failed["error"]["problem"]
    assert "/" not in failed["error"]["problem"]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", 400),
        (b"hello", 415),
        (DAMAGED, 415),
        (b"PK\x03\x04 no zip", 422),
        (b"PK\x03\x04PK\x05\x06" + b"\xff" * 16 + b"\0\0", 413),  # a list of 4 GB, it says
        (zipped(**{"readme.txt": b"hello"}), 415),
        (zipped(**{"../../evil.nii": b"x"}), 422),
        (zipped(**{"/etc/evil.nii": b"x"}), 422),
        (zipped(**{"c:\\evil.nii": b"x"}), 422),
        (zipped(**{"bomb.nii": b"\x5c\x01\0\0" + b"\0" * (64 << 20)}), 413),
        (zipped(**{f"{i}.nii": b"\x5c\x01\0\0" for i in range(40)}), 413),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else "",
)
def test_what_is_no_scan_is_refused(tmp_path: Path, data: bytes, status: int) -> None:
    with serving(tmp_path / "data", allowance=Allowance(total=80 << 20, files=30)) as client:
        job = open_job(client)
        answer = send(client, job, data, "../../../x.nii.gz")
        assert answer.status_code == status
        assert answer.json()["problem"]
        uploads = tmp_path / "data" / "jobs" / job / "uploads"
        assert list(uploads.iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_links_passwords_and_odd_packing_in_archives_are_refused(client: TestClient) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        link = zipfile.ZipInfo("t1.nii")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    assert send(client, open_job(client), packed.getvalue(), "x.zip").status_code == 422
    damaged = bytearray(zipped(**{"t1.nii": bytes(range(256)) * 9}))
    damaged[36] |= 6  # a block of a kind that there is not
    assert send(client, open_job(client), bytes(damaged), "x.zip").status_code == 422
    for way in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", way) as archive:
            archive.writestr("t1.nii", b"x")
        assert send(client, open_job(client), packed.getvalue(), "x.zip").status_code == 422
    locked = bytearray(zipped(**{"t1.nii": b"x"}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        locked[locked.index(signature) + offset] |= 1
    assert send(client, open_job(client), bytes(locked), "x.zip").status_code == 422


def test_a_zip_of_scans_is_unpacked(client: TestClient, case_folder: Path) -> None:
    files = {f"Doe/{path.name}": path.read_bytes() for path in case_folder.glob("*.nii.gz")}
    packed = zipped(**files, **{"__MACOSX/._x": b"", "notes.txt": b"hello"})
    job = open_job(client)
    assert len(send(client, job, packed, "study.zip").json()["uploads"]) == 5
    series = client.post(f"/api/jobs/{job}/recognise").json()["series"]
    assert {one["role"] for one in series} == {"t1n", "t1c", "t2w", "t2f", "reference"}


def test_too_much_is_refused_on_its_way(tmp_path: Path) -> None:
    with serving(tmp_path / "data", allowance=Allowance(total=1 << 20)) as client:
        job = open_job(client)
        nifti = b"\x5c\x01\0\0" + b"\0" * (1 << 20)
        assert send(client, job, nifti, "x.nii").status_code == 413
        assert send(client, job, nifti[: 1 << 19], "x.nii").status_code == 201
        assert send(client, job, nifti[: 1 << 19] + b"\0", "x.nii").status_code == 413
        assert client.post("/api/jobs", json={"title": "x" * (2 << 20)}).status_code == 413


def test_a_key_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no API key"):
        Settings(tmp_path, host="0.0.0.0")
    keys = tmp_path / "keys"
    keys.write_text("# ours\nshort\n", encoding="utf-8")
    with pytest.raises(InputError, match="cannot be used"):
        read_keys(keys)
    keys.write_text(f"# ours\n{KEY}\n", encoding="utf-8")
    with serving(tmp_path / "data", host="0.0.0.0", keys=read_keys(keys)) as client:
        assert client.get("/").status_code == 200
        assert client.get("/api/jobs").status_code == 401
        assert client.get("/api/jobs", headers={"X-API-Key": KEY[:-1]}).status_code == 401
        assert client.get("/api/jobs", headers={"X-API-Key": KEY}).json() == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 201),
        ({"Host": "localhost:8000"}, 201),
        ({"Host": "[::1]:8000"}, 201),
        ({"Host": "evil.example"}, 421),
        ({"Host": "["}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": BASE, "Sec-Fetch-Site": "same-origin"}, 201),
    ],
)
def test_strangers_are_turned_away(
    client: TestClient, headers: dict[str, str], status: int
) -> None:
    assert client.post("/api/jobs", json={}, headers=headers).status_code == status


def test_the_page_needs_nothing_from_elsewhere(client: TestClient) -> None:
    answer = client.get("/")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    own = [path for path in PAGE.rglob("*") if path.is_file() and "vendor" not in path.parts]
    assert {path.suffix for path in own} == {".html", ".css", ".js", ".svg"}
    for path in own:
        outside = set(re.findall(r"(?:https?:)?//[\w.]+\.\w+", path.read_text(encoding="utf-8")))
        assert outside <= {"http://www.w3.org"}, path  # the name of SVG, fetched by nobody
    for address in ("/page/vendor/niivue.js", "/docs", "/openapi.json"):
        assert client.get(address).status_code == 200


def test_a_second_server_keeps_off(tmp_path: Path) -> None:
    with serving(tmp_path), pytest.raises(InputError, match="at work"), serving(tmp_path):
        pass


def test_only_what_is_of_jobs_is_cleared_up(tmp_path: Path) -> None:
    own, left = tmp_path / "jobs" / "my study" / "scan.nii", tmp_path / "jobs" / ("0" * 32)
    for folder in (own.parent, left / "uploads"):
        folder.mkdir(parents=True)
    own.write_bytes(b"mine")
    with serving(tmp_path) as client:
        uploads = tmp_path / "jobs" / open_job(client) / "uploads"
        (uploads / ".part-0").write_bytes(b"half")
    with serving(tmp_path):
        assert list(uploads.iterdir()) == []
    assert own.exists()
    assert not left.exists()


def test_old_jobs_go(tmp_path: Path) -> None:
    with serving(tmp_path) as client:
        job = open_job(client)
    with serving(tmp_path, keep_days=1e-9) as client:
        end = time.monotonic() + 10
        while client.get("/api/jobs").json() and time.monotonic() < end:
            time.sleep(0.05)
        assert client.get("/api/jobs").json() == []
        assert "deleted: kept long enough" in client.get("/api/audit").text
    assert not (tmp_path / "jobs" / job).exists()
