"""A cohort on workers: what comes out is what the serial run makes, whoever dies over it."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest
from distributed import Client

from cluster_processes import CONFIG, cluster, is_segmented, kill_in_mid_work, write_certificates
from minicube import InputError
from minicube.cli import main
from minicube.cluster.addresses import check_address, check_closed
from small_cases import write_small_dataset

CASES = 6
BAD = "small-004"


def _segment(*words: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["segment", *map(str, words)])
    return int(ended.value.code or 0)


def _started(*words: str | Path, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "minicube", "segment", *map(str, words)],
        env=os.environ | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _maps(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.glob("*_seg.nii.gz"))}


def _written(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in out.glob("*_seg.nii.gz")}


def _table(out: Path) -> list[dict[str, str]]:
    with (out / "volumes.csv").open(encoding="utf-8", newline="") as file:
        return [row | {"seconds": ""} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the cases one is damaged."""
    folder = write_small_dataset(tmp_path_factory.mktemp("data") / "cohort", CASES)
    damaged = folder / BAD / f"{BAD}-t2w.nii.gz"
    damaged.write_bytes(damaged.read_bytes()[:-900])
    return folder


@pytest.fixture(scope="module")
def serial(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("serial")
    assert _segment(cohort, "-o", out) == 3
    return out


def test_a_worker_killed_in_mid_work_loses_nothing(
    cohort: Path, serial: Path, tmp_path: Path
) -> None:
    out, config = tmp_path / "out", tmp_path / "config"
    security = write_certificates(config)
    with cluster(tmp_path / "dask", ["victim", "other"], config) as address:
        assert address.startswith("tls://")
        run = _started(cohort, "-o", out, "--scheduler", address, **{CONFIG: str(config)})
        with Client(address, security=security, set_as_default=False) as client:
            blow = kill_in_mid_work(client, "victim", is_segmented(out))
            told = run.communicate(timeout=600)[1]
        shown = next(word for word in told.split() if word.startswith("http://127.0.0.1:"))
        with urlopen(shown, timeout=30) as page:
            assert b"victim" in page.read()
    assert run.returncode == 3
    assert f"1 of {CASES} cases failed" in told
    assert f"{blow.case}_seg.nii.gz" in _maps(out) or blow.case == BAD
    assert _maps(out) == _maps(serial)
    assert _table(out) == _table(serial)
    assert "breaks off" in next(row for row in _table(out) if row["case"] == BAD)["error"]

    before = _written(out)
    assert _segment(cohort, "-o", out) == 3
    assert _written(out) == before


def test_a_cohort_begun_here_is_finished_by_a_local_cluster(
    cohort: Path, serial: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for path in serial.iterdir():
        if not path.name.startswith(("small-000", "small-005")):
            (out / path.name).parent.mkdir(exist_ok=True)
            (out / path.name).write_bytes(path.read_bytes())
    before = _written(out)
    assert len(before) == CASES - 3
    run = _started(cohort, "-o", out, "--scheduler", "local", "--jobs", "1")
    told = run.communicate(timeout=600)
    assert run.returncode == 3, told
    assert f"{CASES - 3} of {CASES} were there already" in told[1]
    assert _maps(out) == _maps(serial)
    after = _written(out)
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("tcp://10.1.2.3:8786", "can be reached by others"),
        ("tcp://cluster.example.org:8786", "can be reached by others"),
        ("tcp://[fe80::1]:8786", "can be reached by others"),
        ("tcp://0.0.0.0:8786", "can be reached by others"),
        ("ws://127.0.0.1:8786", "not the address of a scheduler"),
        ("127.0.0.1:8786", "not the address of a scheduler"),
        ("tcp://127.0.0.1", "not the address of a scheduler"),
        ("tcp://127.0.0.1:port", "not the address of a scheduler"),
        ("tcp://[127.0.0.1:8786", "not the address of a scheduler"),
        ("tls://cluster.example.org:8786", "none are known here"),
    ],
)
def test_what_others_could_reach_is_refused(
    cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], address: str, problem: str
) -> None:
    assert _segment(cohort, "-o", tmp_path / "out", "--scheduler", address) == 2
    assert problem in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_this_machine_and_tls_are_not_refused() -> None:
    for address in ("tcp://127.0.0.1:1", "tcp://localhost:1", "tcp://[::1]:1", "tls://10.1.2.3:1"):
        check_address(address)


def test_a_worker_or_scheduler_beyond_this_machine_is_seen() -> None:
    check_closed(["tcp://127.0.0.1:1", "tls://10.1.2.3:4"])
    with pytest.raises(InputError, match="can be reached by others"):
        check_closed(["tcp://127.0.0.1:1", "tcp://10.1.2.3:4"])


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--scheduler", "tcp://127.0.0.1:1", "--jobs", "2"), "contradict"),
        (("--scheduler", "local", "--no-clobber"), "contradict"),
        (("--scheduler", "local", "--memory", "much"), "not an amount of memory"),
    ],
)
def test_contradictions_are_refused(
    cohort: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    problem: str,
) -> None:
    assert _segment(cohort, "-o", tmp_path / "out", *words) == 2
    assert problem in capsys.readouterr().err


def test_one_case_is_no_cohort(
    cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (cohort / "small-000", "-o", tmp_path / "out", "--scheduler", "local")
    assert _segment(*words) == 2
    assert "several cases, and there is one" in capsys.readouterr().err
