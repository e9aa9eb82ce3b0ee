"""A budget that is kept: planned, watched from outside, and broken when the plan lies."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicube import InputError
from minicube.engines import EngineName, load_model
from minicube.engines.calibration import Calibration, calibrated
from minicube.export import ExportRequest, export_model
from minicube.inference import MemoryPlan, shipped_model
from minicube.phantom import PhantomSpec, make_phantom
from minicube.planning import Partition, parse_memory
from minicube.planning.guard import Guarded, run_within
from minicube.scans import Layout, write_case
from minicube.volumes import Box, Frame
from small_models import write_small_model

MB = 2**20
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's tables are Linux's")

LYING = """
import sys
import minicube.inference
from minicube.cli import main

stage = sys.modules["minicube.inference.segment"]
honest = stage.plan_case
def plan(needs, shape, budget, takes):
    return honest(needs, shape, 8 * budget, takes)  # as if there were eight times the memory
stage.plan_case = plan
main(sys.argv[1:])
"""


HOLDING = """
import json
import numpy as np
from minicube._machine import (
    forget_peak_memory, give_back_freed_memory, peak_memory, resident_memory
)
from minicube.engines.torch_engine import TorchEngine
from minicube.networks import NetworkConfig, NetworkName, build_network
from minicube.planning import Task

give_back_freed_memory()
found = {}
for name in NetworkName:
    widths = (32, 32) if name is NetworkName.SEGNET else (16, 24, 32)
    engine = TorchEngine(build_network(NetworkConfig(name, widths)), bf16=False)
    shape = (96, 96, 96)
    given = np.ones((4, *(n + 2 * engine.margin for n in shape)), np.float32)
    engine.logits(given)
    before = resident_memory()
    forget_peak_memory()
    engine.logits(given)
    counted = Task(engine.cost, shape).whole_bytes - given.nbytes
    found[name.value] = [counted, peak_memory() - before]
print(json.dumps(found))
"""


@LINUX
def test_a_network_holds_what_was_counted() -> None:
    done = run_within([sys.executable, "-c", HOLDING], 8 << 30)
    assert done.code == 0, done.errors
    for name, (counted, held) in json.loads(done.output).items():
        assert held <= 1.03 * counted + 8 * MB, name
        assert counted <= 1.15 * held + 8 * MB, name


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("case")
    write_case(make_phantom(PhantomSpec(seed=3), 0), folder, Layout.BRATS2023)
    return folder


@pytest.fixture(scope="module")
def takes() -> Calibration:
    return calibrated(shipped_model())


def _segment(
    case: Path,
    out: Path,
    budget: int,
    script: str | None = None,
    engine: str = "auto",
    more: Sequence[str] = (),
) -> Guarded:
    program = ["-m", "minicube"] if script is None else ["-c", script]
    words = ["segment", str(case), "-o", str(out), "--memory", f"{budget // MB}MB", *more, "--json"]
    return run_within([sys.executable, *program, *words, "--engine", engine], budget)


@LINUX
@pytest.mark.parametrize(
    ("engine", "spare"),
    [("openvino", 300), ("openvino", 500), ("onnxruntime", 340), ("torch", 200), ("torch", 250)],
)
def test_a_case_stays_within_its_budget(
    case: Path, tmp_path: Path, engine: str, spare: int
) -> None:
    takes = calibrated(shipped_model(), EngineName(engine))
    budget = takes.base + spare * MB
    done = _segment(case, tmp_path / "seg.nii.gz", budget, engine=engine)
    assert done.code == 0, done.errors
    assert not done.killed
    assert done.peak <= budget
    assert "times the whole volume's work" in done.errors  # the plan, in words
    memory = json.loads(done.output)["memory"]
    assert memory["cut"] != Partition().in_words()
    assert memory["peak_bytes"] <= memory["predicted_bytes"] <= budget
    assert memory["predicted_bytes"] <= 1.15 * memory["peak_bytes"]


AGAIN = """
import json, sys
from pathlib import Path
from minicube import load_case
from minicube._machine import forget_peak_memory, peak_memory
from minicube.inference import Limits, Segmenter, shipped_model

case, budget, members = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
segmenter = Segmenter([shipped_model()] * members, Limits(memory=budget))
found = []
for _ in range(2):
    forget_peak_memory()
    plan = segmenter.segment(load_case(case)).plan
    found.append([plan.in_words().split(";")[0], plan.predicted, peak_memory()])
print(json.dumps(found))
"""


@LINUX
@pytest.mark.parametrize("members", [1, 3])
def test_the_next_network_and_the_next_case_have_the_whole_budget(
    case: Path, takes: Calibration, members: int
) -> None:
    budget = takes.base + 700 * MB
    done = run_within([sys.executable, "-c", AGAIN, str(case), str(budget), str(members)], budget)
    assert done.code == 0, done.errors
    (cut, first, _), (again, second, _) = found = json.loads(done.output)
    assert again == cut
    assert second <= first + 40 * MB
    assert all(peak <= predicted for _, predicted, peak in found)


@LINUX
def test_maps_are_counted_too(case: Path, takes: Calibration, tmp_path: Path) -> None:
    budget = takes.base + 300 * MB
    maps = ["--probabilities", str(tmp_path), "--uncertainty", str(tmp_path / "uncertain.nii.gz")]
    done = _segment(case, tmp_path / "seg.nii.gz", budget, more=maps)
    assert done.code == 0, done.errors
    assert len(list(tmp_path.glob("*.nii.gz"))) == 5
    memory = json.loads(done.output)["memory"]
    assert done.peak <= memory["predicted_bytes"] <= budget


def test_maps_that_do_not_fit_are_refused() -> None:
    frame = Frame((200, 200, 200), (300, 300, 300), Box((0, 0, 0), (100, 100, 100)))
    plan = MemoryPlan(None, 20 << 30, 5, 1.0, 1.0).with_maps(frame)
    assert plan.predicted >= 300**3 * 4 + 200**3 * 8
    with pytest.raises(InputError, match="too little") as refused:
        replace(plan, budget=plan.predicted - 1).with_maps(frame)
    assert "maps" in refused.value.expected


@LINUX
def test_a_wrong_plan_is_stopped(case: Path, takes: Calibration, tmp_path: Path) -> None:
    done = _segment(case, tmp_path / "seg.nii.gz", takes.base + 300 * MB, LYING)
    assert done.killed
    assert not (tmp_path / "seg.nii.gz").exists()


@LINUX
def test_too_little_is_refused_with_what_would_do(
    case: Path, takes: Calibration, tmp_path: Path
) -> None:
    done = _segment(case, tmp_path / "seg.nii.gz", takes.base + 100 * MB)
    assert done.code == 2
    assert "at least" in done.errors
    enough = int(done.errors.split("--memory ")[1].split("MB")[0])
    assert _segment(case, tmp_path / "seg.nii.gz", enough * MB).code == 0


@LINUX
def test_children_count_too() -> None:
    child = "import time; held = bytearray(120_000_000); time.sleep(30)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    assert run_within([sys.executable, "-c", parent], 100 * MB).killed


@given(number=st.integers(1, 999), unit=st.sampled_from(["", "kb", "MB", "g", "GiB", " GB"]))
def test_sizes_are_read_as_written(number: int, unit: str) -> None:
    powers = {"": 0, "k": 10, "m": 20, "g": 30}
    expected = number << powers[unit.strip().lower()[:1]]
    assert parse_memory(f"{number}{unit}") == expected


def test_auto_is_part_of_what_is_there() -> None:
    assert parse_memory("auto") > 50 * MB


@pytest.mark.parametrize("text", ["", "much", "-3GB", "0", "3 apples", "1e9", "GB"])
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="not an amount of memory"):
        parse_memory(text)


@LINUX
def test_an_engine_is_measured_once_and_says_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    small = tmp_path / "small.onnx"
    export_model(ExportRequest(load_model(write_small_model(tmp_path / "run", 1)), small))
    told: list[tuple[int, int]] = []
    first = calibrated(load_model(small), measuring=lambda done, of: told.append((done, of)))
    assert told == [(done + 1, len(told)) for done in range(len(told))]
    assert len(told) > 2
    assert first.cost is not None
    told.clear()
    again = calibrated(load_model(small), measuring=lambda done, of: told.append((done, of)))
    assert again == first
    assert not told


def test_a_child_that_has_not_begun_its_program_is_not_counted_twice() -> None:
    script = "import subprocess\nheld = bytearray(400 << 20)\n"
    script += "for _ in range(300): subprocess.run(['true'])"
    done = run_within([sys.executable, "-c", script], 8 << 30)
    assert done.code == 0
    assert 400 * MB < done.peak < 600 * MB


def test_the_guard_hands_on_what_a_command_says() -> None:
    script = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    done = run_within([sys.executable, "-c", script], 1 << 33)
    assert (done.code, done.killed, done.output, done.errors) == (3, False, "out\n", "err\n")
    assert np.isfinite(done.peak)
