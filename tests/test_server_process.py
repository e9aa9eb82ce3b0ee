"""The server as a process: started by the command, killed in the middle of a job."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from minicube.scans import LabelScheme, Layout, reads_dicom, write_case
from server_process import Process, running, start_job, until
from small_cases import small_case

pytest.importorskip("fastapi", reason="the server needs the extra 'serve'")


def workers(data: Path) -> list[int]:
    """Processes at work in the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:  # gone meanwhile
            continue
        if b"minicube.server.worker" in words and str(data).encode() in words:
            found.append(int(path.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc to see processes")
def test_a_server_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    case, study, data = tmp_path / "case", tmp_path / "study", tmp_path / "data"
    write_case(small_case(3), case, Layout.BRATS2023, LabelScheme.BRATS2023)
    if reads_dicom():
        from minicube.dicom import write_study

        write_study(small_case(3, (40, 44, 24)), study)
    with running(data) as server:
        jobs = [start_job(server, folder) for folder in (study if reads_dicom() else case, case)]
        until(server, jobs[0], "running")
        wait_until(lambda: len(workers(data)) == 1)  # one at a time
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        wait_until(lambda: not workers(data))  # it went with its server
    with running(data) as server:
        for job in jobs:
            assert until(server, job, "done", "failed")["state"] == "done"
        assert server.call("GET", f"/jobs/{jobs[0]}")["attempts"] == 2
        actions = [line["action"] for line in server.call("GET", "/audit")]
        assert "found interrupted" in actions


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_an_open_address_without_a_key_is_refused(tmp_path: Path) -> None:
    server = Process(tmp_path, "--host", "0.0.0.0")
    _, told = server.process.communicate(timeout=300)
    assert server.process.returncode == 2
    assert b"no API key" in told


def test_a_phantom_needs_no_scan(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        given = json.dumps({"seed": 7, "family": "a"}).encode()
        job = server.call("POST", "/phantoms", given, Content_Type="application/json")
        done = until(server, job["id"], "done", "failed")
        assert done["state"] == "done", done
        assert done["title"] == "Phantom A-7"
        found = done["result"]
        assert found["regions_ml"]["WT"] > 0
        (whole,) = [row for row in found["scores"] if row["region"] == "WT"]
        assert whole["dice"] > 0.2
