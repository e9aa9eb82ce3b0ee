"""An Orthanc of a test's own on loopback: Debian's, as it is."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

_BINARY: Final = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")
_DICOMWEB: Final = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
USER, PASSWORD = "reader", "a secret"

needs_orthanc = pytest.mark.skipif(
    _BINARY is None or not _DICOMWEB.exists(),
    reason="orthanc and orthanc-dicomweb are not installed",
)


@dataclass(frozen=True)
class Orthanc:
    """A running archive.

    Args:
        http: Its port for DICOMweb, and for what tests ask it beside.
        dimse: Its port for DIMSE.
        ours: Where it sends to when asked to send to MINICUBE.
    """

    http: int
    dimse: int
    ours: int

    @property
    def web(self) -> str:
        return f"http://127.0.0.1:{self.http}/dicom-web"

    @property
    def peer(self) -> str:
        return f"ORTHANC@127.0.0.1:{self.dimse}"

    def rest(self, path: str, method: str = "GET", **given: Any) -> Any:
        """Ask it in its own language, which minicube does not speak."""
        address = f"http://127.0.0.1:{self.http}{path}"
        answer = httpx2.request(
            method, address, auth=(USER, PASSWORD), timeout=20, trust_env=False, **given
        )
        return answer.raise_for_status().json()

    def clear(self) -> None:
        for study in self.rest("/studies"):
            self.rest(f"/studies/{study}", "DELETE")

    def objects(self, modality: str) -> list[bytes]:
        """The files of a modality that it holds."""
        query = {"Level": "Instance", "Query": {"Modality": modality}}
        found = self.rest("/tools/find", "POST", json=query)
        address = f"http://127.0.0.1:{self.http}/instances/{{}}/file"
        return [
            httpx2.get(address.format(one), auth=(USER, PASSWORD), trust_env=False).content
            for one in found
        ]


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def certificate(folder: Path) -> Path:
    """A certificate of 127.0.0.1 that vouches for itself, and its key, in one file."""
    path = folder / "certificate.pem"
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test"
    more = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path), "-out", str(path)]
    subprocess.run(["openssl", *words.split(), *more], check=True, capture_output=True)
    return path


needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="openssl is not installed"
)


@contextmanager
def running(folder: Path, **more: Any) -> Iterator[Orthanc]:
    """Start one in an empty folder, with more settings; it ends with the block."""
    assert _BINARY is not None
    archive = Orthanc(free_port(), free_port(), free_port())
    settings = {
        "Name": "a test's own",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "SyncStorageArea": False,
        "HttpPort": archive.http,
        "DicomPort": archive.dimse,
        "DicomAet": "ORTHANC",
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {USER: PASSWORD},
        "DicomModalities": {"minicube": ["MINICUBE", "127.0.0.1", archive.ours]},
        "DicomAlwaysAllowStore": False,
        "Plugins": [str(_DICOMWEB)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": False},
        **more,
    }
    written = folder / "orthanc.json"
    written.write_text(json.dumps(settings))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([_BINARY, str(written)], stdout=log, stderr=log)
    try:
        until = time.monotonic() + 30
        while True:
            try:
                archive.rest("/system")
                break
            except httpx2.HTTPError:
                ended = process.poll() is not None or time.monotonic() > until
                assert not ended, (folder / "log").read_text()
                time.sleep(0.1)
        yield archive
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
