"""A DICOM study through the server: what comes out is what the command line gives."""

from __future__ import annotations

import stat
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the server needs the extra 'serve'")
pytest.importorskip("highdicom")

from fastapi.testclient import TestClient
from pydicom import Dataset, dcmread

from minicube._errors import InputError
from minicube.cli import main
from minicube.dicom import open_studies, write_study
from minicube.scans import LabelScheme, read_labels
from minicube.server import confirmation
from minicube.server.confirmation import confirmed
from minicube.server.folders import JobFolder
from minicube.server.jobs import Request, Role, Series
from minicube.server.refusals import Refused
from minicube.server.settings import Allowance
from minicube.server.studies import as_case, convert_uploaded, look_at
from server_client import ended, open_job, send, serving, zipped
from small_cases import small_case
from small_dicom import change, tiny_study

NAME = "Zappelphilipp"  # of the patient
START = bytes(128) + b"DICM"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with serving(tmp_path / "data") as client:
        yield client


def packed(folder: Path, *parts: str) -> bytes:
    """The files of a study, or of some of its series, under names that name the patient."""
    paths = sorted(folder.rglob("*.dcm"))
    paths = [path for path in paths if not parts or path.parent.name[0] in parts]
    return zipped(**{f"{NAME}/{n}": path.read_bytes() for n, path in enumerate(paths)})


def recognised(client: TestClient, *parcels: bytes) -> dict[str, Any]:
    job = open_job(client)
    for parcel in parcels:
        assert send(client, job, parcel, f"{NAME}.zip").status_code == 201
    found: dict[str, Any] = client.post(f"/api/jobs/{job}/recognise").raise_for_status().json()
    return found


def start(client: TestClient, job: dict[str, Any], **others: str | None) -> Any:
    """Take the guesses for true, but for series of these numbers."""
    roles = {}
    for one in job["series"]:
        number = str(one["dicom"]["number"]) if one["dicom"] else ""
        roles[one["key"]] = others.get(f"s{number}", one["role"])
    given = {"roles": {key: role for key, role in roles.items() if role is not None}}
    return client.post(f"/api/jobs/{job['id']}/start", json=given)


def test_a_study_gives_what_the_command_line_gives(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "minicube")
    folder, own, data = tmp_path / "s", tmp_path / "own", tmp_path / "data"
    write_study(replace(small_case(4, (40, 44, 32)), identity=NAME), folder)
    with pytest.raises(SystemExit) as done:
        main(["segment", str(folder), "-o", str(own)])
    assert done.value.code in (0, None)
    with serving(data) as client:
        job = recognised(client, packed(folder, "1", "2"), packed(folder, "3", "4"))
        assert [one["role"] for one in job["series"]] == ["t1n", "t2w", "t2f", "t1c"]
        assert all(one["certain"] for one in job["series"])
        first = job["series"][0]["dicom"]
        assert (first["number"], first["images"], first["rejected"]) == (1, 32, "")
        assert first["scores"]["t1n"] > 0.9
        assert "named “t1”" in first["reasons"]
        (study,) = job["uploads"]
        assert study["files"] == 128
        assert start(client, job).status_code == 202
        found = ended(client, job["id"])
        assert found["state"] == "done", found["error"]
        assert "converting the DICOM series" in found["result"]["stage_seconds"]
        assert found["title"].startswith("study-")

        names = {file["name"] for file in found["files"]}
        assert {"t1n.nii.gz", "t1c.nii.gz", "t2w.nii.gz", "t2f.nii.gz", "report.html"} <= names
        got = tmp_path / "got"
        got.mkdir()
        for name in ("labels.nii.gz", "seg.dcm", "report.dcm", "t1c.nii.gz"):
            answer = client.get(f"/api/jobs/{job['id']}/files/{name}").raise_for_status()
            (got / name).write_bytes(answer.content)
        heard = str([client.get(f"/api/{what}").text for what in ("audit", "jobs")]) + caplog.text
        assert NAME not in heard
    labels, grid = read_labels(got / "labels.nii.gz", LabelScheme.BRATS2023)
    truth, own_grid = read_labels(own / "seg.nii.gz", LabelScheme.BRATS2023)
    assert truth.array.any()
    assert np.array_equal(labels.array, truth.array)
    assert grid.matches(own_grid)
    for name in ("seg.dcm", "report.dcm"):  # one thing to an archive, whichever door it came by
        one, other = dcmread(got / name), dcmread(own / name)
        assert one.SOPInstanceUID == other.SOPInstanceUID
        assert str(one.PatientName) == f"minicube^{NAME}"
    assert dcmread(got / "seg.dcm").PixelData == dcmread(own / "seg.dcm").PixelData
    assert (got / "t1c.nii.gz").read_bytes() == (own / "scans" / "t1c.nii.gz").read_bytes()

    kept = [path for path in data.rglob("*") if path.is_file()]
    named = {path.suffix for path in kept if NAME.encode() in path.read_bytes()}
    assert named == {".dcm"}  # what came in, and what the archive gets
    assert NAME not in str(kept)


def test_a_person_may_say_otherwise(client: TestClient, tmp_path: Path) -> None:
    folder = tiny_study(tmp_path / "s")

    def twice(ds: Dataset, number: int) -> None:
        """T1 with contrast becomes a second T2, which nobody can tell from the first."""
        if ds.SeriesNumber == 4:
            for keyword in ("RepetitionTime", "EchoTime", "ScanningSequence", "SeriesDescription"):
                setattr(ds, keyword, getattr(t2, keyword))
            del ds.InversionTime, ds.ContrastBolusAgent

    t2 = dcmread(next((folder / "2_t2w").iterdir()))
    change(folder, twice)
    job = recognised(client, packed(folder))
    t1, one, flair, other = job["series"]
    assert (t1["role"], one["role"], flair["role"], other["role"]) == ("t1n", "t2w", "t2f", None)
    assert not one["certain"]
    assert "series 4 would do as well" in one["remark"]
    assert "T1 with contrast: no series was recognised" in job["remarks"]
    missing = start(client, job)
    assert missing.status_code == 422
    assert missing.json()["found"] == "no T1 with contrast"
    assert "say which series" in missing.json()["hint"]
    assert start(client, job, s4="t2w").status_code == 422
    assert start(client, job, s1="reference").status_code == 422
    chosen = start(client, job, s4="t1c")
    assert chosen.status_code == 202
    assert chosen.json()["request"]["series"]["t1c"] == other["stored"]
    client.delete(f"/api/jobs/{job['id']}")


def seen(folder: Path) -> dict[str, Series]:
    """The series of a study by number, as keys of a job."""
    with open_studies(folder) as studies:
        return {str(one.dicom.number): one for one in as_case(studies).series if one.dicom}


def test_what_makes_no_case_is_told_before_anything_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_study(tmp_path / "s")

    def spoil(ds: Dataset, number: int) -> None:
        if ds.SeriesNumber == 1:
            ds.ImagePositionPatient = [50, 0, ds.ImagePositionPatient[2]]
        if ds.SeriesNumber == 2 and ds.InstanceNumber > 6:
            ds.ImagePositionPatient = [0, 0, float(ds.ImagePositionPatient[2]) + 1]

    change(folder, spoil)
    series = seen(folder)
    gap = series["2"]
    assert gap.dicom is not None
    assert "image missing" in gap.dicom.rejected
    assert (gap.role, gap.dicom.grid_number) == (None, None)
    file = Series(key="", name="x", stored="x.nii.gz", grid="", role=Role.T1N)
    series = {
        key: one.model_copy(update={"key": key}) for key, one in (series | {"f": file}).items()
    }
    usual = {"1": Role.T1N, "3": Role.T2F, "4": Role.T1C}
    for roles, said in (
        (usual | {"2": Role.T2W}, "Series 2 cannot be used"),
        (usual, "all four sequences"),
        (usual | {"1": Role.T2W, "f": Role.T1N}, "from a DICOM study and from files"),
        (usual | {"1": Role.REFERENCE}, "is no reference"),
    ):
        with pytest.raises(Refused, match=said):
            confirmed(list(series.values()), roles, None, tmp_path)
    moved = {**series, "2": gap.model_copy(update={"key": "2", "dicom": series["3"].dicom})}
    roles = usual | {"2": Role.T2W}
    monkeypatch.setattr(confirmation, "can_prepare", lambda: True)
    assert set(confirmed(list(moved.values()), roles, None, tmp_path).series) == set(roles.values())
    monkeypatch.setattr(confirmation, "can_prepare", lambda: False)
    with pytest.raises(Refused, match="different grids"):
        confirmed(list(moved.values()), roles, None, tmp_path)


def test_what_is_no_study_is_refused(client: TestClient, tmp_path: Path) -> None:
    folder = tiny_study(tmp_path / "s")

    def strange(ds: Dataset, number: int) -> None:
        ds.StudyInstanceUID, ds.SOPInstanceUID = "1.2.3", f"1.2.3.{number}"

    change(tiny_study(folder / "other"), strange)
    with pytest.raises(InputError, match="several studies"):
        seen(folder)
    job = open_job(client)
    assert send(client, job, START + b"\xff" * 300, f"{NAME}.dcm").status_code == 201
    answer = client.post(f"/api/jobs/{job}/recognise")
    assert answer.status_code == 422
    assert answer.json()["problem"] == "No DICOM image that can be read was found."
    assert str(tmp_path) not in answer.text
    assert NAME not in client.get(f"/api/jobs/{job}").text


def test_other_images_than_were_confirmed_are_not_taken(tmp_path: Path) -> None:
    place = JobFolder(tmp_path, "job")
    tiny_study(place.study)
    chosen = {one.role: one.stored for one in seen(place.study).values() if one.role}
    convert_uploaded(place, Request(series=chosen))
    assert len(list(place.scans.glob("*.nii.gz"))) == 4
    max((place.study / "1_t1n").iterdir()).unlink()
    with pytest.raises(InputError, match="not those that were looked at"):
        convert_uploaded(place, Request(series=chosen))


def test_a_header_that_would_fill_the_memory_is_passed_over(tmp_path: Path) -> None:
    folder = tiny_study(tmp_path / "s")
    largest = next((folder / "1_t1n").iterdir())
    with largest.open("r+b") as file:
        start_of_data = file.read().index(b"\xe0\x7f\x10\x00OW")
        file.truncate(start_of_data)
        file.seek(start_of_data)
        # A private element of 3 GB, of which the file has nothing but zeros.
        file.write(b"\xe1\x7f\x10\x10OB\0\0" + (3 << 30).to_bytes(4, "little"))
        file.truncate(start_of_data + 12 + (3 << 30))
    found = look_at(folder)
    assert "left out – one DICOM file that cannot be read" in found.remarks
    assert [one.dicom.images for one in found.series if one.dicom] == [11, 12, 12, 12]


def test_a_hostile_archive_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    link = BytesIO()
    with zipfile.ZipFile(link, "w") as archive:
        entry = zipfile.ZipInfo("1.dcm")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr("0.dcm", START)
        archive.writestr(entry, "/etc/passwd")
    hostile = {
        link.getvalue(): 422,
        zipped(a=START, **{"../../evil.dcm": START}): 422,
        zipped(a=START, bomb=START + bytes(8 << 20)): 413,
        zipped(**{str(n): START for n in range(40)}): 413,
    }
    with serving(tmp_path / "data", allowance=Allowance(total=80 << 20, files=30)) as client:
        for data, status in hostile.items():
            job = open_job(client)
            answer = send(client, job, data, "x.zip")
            assert answer.status_code == status
            assert answer.json()["problem"]
            uploads = tmp_path / "data" / "jobs" / job / "uploads"
            assert not [path for path in uploads.rglob("*") if path.is_file()]
        one = open_job(client)
        for _ in range(30):
            assert send(client, one, START, "x").status_code == 201
        assert send(client, one, START, "x").status_code == 413
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_without_the_packages_it_is_said_how_to_get_them(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.get("/api/about").json()["dicom"] is True
    monkeypatch.setitem(sys.modules, "gdcm", None)  # as if it were not installed
    assert client.get("/api/about").json()["dicom"] is False
    for data in (START, zipped(a=START)):
        answer = send(client, open_job(client), data, "x")
        assert answer.status_code == 422
        assert "minicube[dicom]" in answer.json()["hint"]
