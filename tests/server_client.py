"""The server within the process of a test, and what tests ask of it."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from fastapi.testclient import TestClient

from minicube.server.app import create_app
from minicube.server.settings import Settings

BASE: Final = "http://127.0.0.1:8000"


@contextmanager
def serving(data: Path, **settings: Any) -> Iterator[TestClient]:
    data.mkdir(exist_ok=True)
    with TestClient(create_app(Settings(data, **settings)), base_url=BASE) as client:
        yield client


def open_job(client: TestClient) -> str:
    return str(client.post("/api/jobs", json={}).raise_for_status().json()["id"])


def send(client: TestClient, job: str, data: bytes, name: str) -> Any:
    headers = {"X-Filename": name, "Content-Type": "application/octet-stream"}
    return client.post(f"/api/jobs/{job}/uploads", content=data, headers=headers)


def ended(client: TestClient, job: str, seconds: float = 60) -> dict[str, Any]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found: dict[str, Any] = client.get(f"/api/jobs/{job}").raise_for_status().json()
        if found["state"] in ("done", "failed", "cancelled"):
            return found
        time.sleep(0.1)
    raise AssertionError(f"not ended: {found}")


def zipped(**files: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()
