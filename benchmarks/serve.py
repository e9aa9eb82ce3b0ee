"""How soon the server answers while it works.

    python benchmarks/serve.py [--clients 50] [--seconds 60] [--json FILE]

A server in a process of its own segments phantoms, one after another, while each client asks once
a second: for the page, one of its files, the list of jobs, or how far the job is. The clients are
threads of this process, which takes its share of the same cores. Seconds are those that a client
waits, from the connection's opening to the answer's last byte.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from minicube._machine import processor_name

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from server_process import Process, running

HISTORY = 20  # finished jobs in the list


def ask(port: int, path: str) -> tuple[float, int]:
    """Seconds until a whole answer was there, and its status."""
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return time.perf_counter() - began, answer.status
    finally:
        connection.close()


def client(port: int, paths: Iterator[str], due: float, until: float) -> list[tuple[str, float]]:
    """One that asks once a second."""
    rows = []
    while due < until:
        time.sleep(max(0.0, due - time.monotonic()))
        path = next(paths)
        seconds, status = ask(port, path)
        if status != http.HTTPStatus.OK:
            raise RuntimeError(f"{path}: {status}")
        rows.append((path, seconds))
        due += 1.0
    return rows


def begin_phantom(server: Process, seed: int) -> str:
    """A job; its name."""
    body = json.dumps({"seed": seed, "family": "b"}).encode()
    job = server.call("POST", "/phantoms", body, Content_Type="application/json")
    return str(job["id"])


def measure(server: Process, clients: int, seconds: float) -> dict[str, Any]:
    """Ask, while jobs run all the time."""
    for seed in range(HISTORY):  # of a server that has been in use: these wait, and are cancelled
        server.call("POST", f"/jobs/{begin_phantom(server, seed)}/cancel")
    working = begin_phantom(server, 100)
    waiting = [begin_phantom(server, 101 + n) for n in range(20)]
    paths = [
        "/",
        "/page/js/main.js",
        "/page/style.css",
        "/api/jobs",
        f"/api/jobs/{working}",
        "/api/about",
    ]
    began = time.monotonic()
    with ThreadPoolExecutor(clients) as pool:
        asking = [
            pool.submit(
                client,
                server.port,
                islice(cycle(paths), number, None),
                began + number / clients,
                began + seconds,
            )
            for number in range(clients)
        ]
        rows = [row for one in asking for row in one.result()]
    states = [server.call("GET", f"/jobs/{job}")["state"] for job in (working, *waiting)]
    assert states[-1] == "queued", "there was not work all the time"
    found = {path.replace(working, "JOB"): [s for p, s in rows if p == path] for path in paths}
    found["all"] = [seconds for _, seconds in rows]
    return {"jobs_done_meanwhile": states.count("done"), **{k: told(v) for k, v in found.items()}}


def told(seconds: list[float]) -> dict[str, float]:
    """Milliseconds."""
    half, most = np.percentile(seconds, (50, 95))
    ms = {"median_ms": half, "p95_ms": most, "largest_ms": max(seconds)}
    return {"n": len(seconds)} | {name: round(1000 * float(s), 1) for name, s in ms.items()}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running(Path(folder) / "data") as server:
        found = {
            "processor": processor_name(),
            "fastapi": version("fastapi"),
            "clients": given.clients,
            "seconds": given.seconds,
            **measure(server, given.clients, given.seconds),
        }
    text = json.dumps(found, indent=1)
    print(text)
    if given.json is not None:
        given.json.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
