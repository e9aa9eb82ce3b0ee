"""A Dask scheduler and workers as processes of their own, and blows that land in mid-work."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from distributed import Client
from distributed.security import Security

HERE = "127.0.0.1"
CONFIG = "DASK_CONFIG"


def write_certificates(folder: Path) -> Security:
    """Certificates of scheduler, workers and client, and Dask's configuration that names them."""
    folder.mkdir(parents=True)
    made: Security = Security.temporary()
    cert, key = folder / "cert.pem", folder / "key.pem"
    told = made.get_tls_config_for_role("client")
    cert.write_text(told["cert"])
    key.write_text(told["key"])
    pair = {"cert": str(cert), "key": str(key)}
    tls = {"ca-file": str(cert), "scheduler": pair, "worker": pair, "client": pair}
    config = {"distributed": {"comm": {"require-encryption": True, "tls": tls}}}
    (folder / "tls.yaml").write_text(json.dumps(config))  # JSON is YAML
    return made


@contextmanager
def cluster(folder: Path, names: list[str], config: Path | None = None) -> Iterator[str]:
    """A scheduler and a worker of each name, which its nanny starts again; gives the address.

    With a configuration that names certificates they speak TLS.
    """
    folder.mkdir(parents=True)
    told, log = folder / "scheduler.json", (folder / "log.txt").open("wb")
    words = ["--host", HERE, "--port", "0", "--dashboard-address", f"{HERE}:0"]
    words += ["--protocol", "tcp" if config is None else "tls", "--scheduler-file", str(told)]
    env = os.environ | {"DASK_TEMPORARY_DIRECTORY": str(folder)}
    env |= {} if config is None else {CONFIG: str(config)}
    start = partial(_dask, folder, log, env)
    processes = [start("scheduler", *words)]
    try:
        address = _address(told, processes[0])
        processes += [start("worker", address, "--nthreads", "1", "--name", name) for name in names]
        yield address
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait(30)
        log.close()


@dataclass(frozen=True)
class Blow:
    """A kill that landed.

    Args:
        process: Number of the worker's process.
        case: That it was at.
    """

    process: int
    case: str


def kill_in_mid_work(
    client: Client, worker: str, is_done: Callable[[str], bool], *, seconds: float = 120
) -> Blow:
    """Kill a worker, -9, while it computes a case.

    It is held first, and let go where the case was done in the moment in between: so what is
    killed was at a case whose results were not there.

    Args:
        client: Of its scheduler.
        worker: Its name.
        is_done: Whether the results of a case are whole.
        seconds: To wait for such a moment.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for address in list(client.nthreads()):
            found = client.run(_at_work, workers=[address], on_error="ignore").get(address)
            if found is None or found[0] != worker or not found[2]:
                continue
            _, process, (case,) = found
            os.kill(process, signal.SIGSTOP)
            if is_done(case):
                os.kill(process, signal.SIGCONT)
                continue
            os.kill(process, signal.SIGKILL)
            return Blow(process, case)
        time.sleep(0.03)
    raise AssertionError(f"{worker} was not seen at work within {seconds} s")


def is_segmented(out: Path) -> Callable[[str], bool]:
    """Whether a case's label map is there with the note of what it was made from."""

    def done(case: str) -> bool:
        try:
            return "made" in json.loads((out / f"{case}_seg.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return False

    return done


def _at_work(dask_worker: Any) -> tuple[str, int, list[str]]:
    """On the worker: its name, its process, and the cases that it computes now."""
    cases = [task.key[1] for task in dask_worker.state.executing]
    return str(dask_worker.name), os.getpid(), cases


def _dask(folder: Path, log: Any, env: dict[str, str], *words: str) -> subprocess.Popen[bytes]:
    beside = str(Path(__file__).parent)  # workers import what is asked of them from here
    path = os.pathsep.join(filter(None, [env.get("PYTHONPATH"), beside]))
    return subprocess.Popen(
        [sys.executable, "-m", "dask", *words],
        cwd=folder,
        env=env | {"PYTHONPATH": path},
        stdout=log,
        stderr=log,
    )


def _address(told: Path, process: subprocess.Popen[bytes], seconds: float = 60) -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert process.poll() is None
        try:
            return str(json.loads(told.read_text(encoding="utf-8"))["address"])
        except (FileNotFoundError, ValueError):  # not yet, or half written
            time.sleep(0.05)
    raise AssertionError("the scheduler did not say where it is")
