"""The server as a process: started by the command, killed in the middle of a job."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest

from minicube.scans import LabelScheme, Layout, write_case
from small_cases import small_case

pytest.importorskip("fastapi", reason="the server needs the extra 'serve'")


class Process:
    """``minicube serve`` on a free port."""

    def __init__(self, data: Path, *words: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [sys.executable, "-m", "minicube", "serve", "--data", str(data)]
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port), *words], stderr=subprocess.PIPE
        )

    def call(self, method: str, path: str, body: bytes = b"", **headers: str) -> Any:
        address = f"http://127.0.0.1:{self.port}/api{path}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named = {"Content-Type": "application/octet-stream"} | named
        with urlopen(Request(address, body or None, named, method=method), timeout=30) as answer:
            content = answer.read()
        return json.loads(content) if content else None

    def wait(self, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while True:
            try:
                self.call("GET", "/about")
                return
            except (URLError, ConnectionError):
                assert time.monotonic() < end
                assert self.process.poll() is None
                time.sleep(0.1)


@contextmanager
def running(data: Path) -> Iterator[Process]:
    server = Process(data)
    try:
        server.wait()
        yield server
    finally:
        server.process.kill()
        server.process.communicate()


def until(server: Process, job: str, *states: str, seconds: float = 90) -> dict[str, Any]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found: dict[str, Any] = server.call("GET", f"/jobs/{job}")
        if found["state"] in states:
            return found
        time.sleep(0.05)
    raise AssertionError(found)


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
    write_case(small_case(3), tmp_path / "in", Layout.BRATS2023, LabelScheme.BRATS2023)
    data = tmp_path / "data"
    with running(data) as server:
        jobs = []
        for _ in range(2):
            job = server.call("POST", "/jobs", b"{}", Content_Type="application/json")["id"]
            for path in sorted((tmp_path / "in").rglob("*.nii.gz")):
                body = path.read_bytes()
                server.call("POST", f"/jobs/{job}/uploads", body, X_Filename=quote(path.name))
            series = server.call("POST", f"/jobs/{job}/recognise")["series"]
            given = json.dumps({"roles": {one["key"]: one["role"] for one in series}}).encode()
            server.call("POST", f"/jobs/{job}/start", given, Content_Type="application/json")
            jobs.append(job)
        until(server, jobs[0], "running")
        assert len(workers(data)) == 1  # one at a time
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        end = time.monotonic() + 30
        while workers(data) and time.monotonic() < end:
            time.sleep(0.05)
        assert not workers(data)  # it went with its server
    with running(data) as server:
        for job in jobs:
            assert until(server, job, "done", "failed")["state"] == "done"
        assert server.call("GET", f"/jobs/{jobs[0]}")["attempts"] == 2
        actions = [line["action"] for line in server.call("GET", "/audit")]
        assert "found interrupted" in actions


def test_an_open_address_without_a_key_is_refused(tmp_path: Path) -> None:
    server = Process(tmp_path, "--host", "0.0.0.0")
    _, told = server.process.communicate(timeout=60)
    assert server.process.returncode == 2
    assert b"no API key" in told
