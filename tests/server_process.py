"""``minicube serve`` as a process, for tests that need a real one."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import Request, urlopen


class Process:
    """A server on a free port."""

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


def zipped_study(folder: Path) -> bytes:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(folder.rglob("*.dcm")):
            archive.write(path, path.relative_to(folder))
    return packed.getvalue()


def start_job(server: Process, folder: Path) -> str:
    """Upload the files of a case, or a study as a zip, and take the guesses for true."""
    job: str = server.call("POST", "/jobs", b"{}", Content_Type="application/json")["id"]
    files = {path.name: path.read_bytes() for path in sorted(folder.rglob("*.nii.gz"))}
    for name, content in (files or {"study.zip": zipped_study(folder)}).items():
        server.call("POST", f"/jobs/{job}/uploads", content, X_Filename=quote(name))
    series = server.call("POST", f"/jobs/{job}/recognise")["series"]
    given = json.dumps({"roles": {one["key"]: one["role"] for one in series}}).encode()
    server.call("POST", f"/jobs/{job}/start", given, Content_Type="application/json")
    return job
