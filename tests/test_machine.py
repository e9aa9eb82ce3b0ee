"""Peak memory is counted, and counted anew when asked; a process ends with its parent."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minicube import _machine
from minicube._machine import allocating_at_most, forget_peak_memory, peak_memory

_MEGABYTE = 2**20
CLEAR = Path("/proc/self/clear_refs")


PEAKS = """
import json
import numpy as np
from minicube._machine import forget_peak_memory, peak_memory

peaks = []
forget_peak_memory()
peaks.append(peak_memory())
block = np.ones(200 << 20, np.uint8)
peaks.append(peak_memory())
del block
peaks.append(peak_memory())
forget_peak_memory()
peaks.append(peak_memory())
print(json.dumps(peaks))
"""


@pytest.mark.skipif(not CLEAR.exists(), reason="only Linux lets a peak be forgotten")
def test_peak_grows_with_what_is_touched_and_can_be_forgotten() -> None:
    """In a process of its own: this one may hold freed memory that a block would be made from."""
    done = subprocess.run([sys.executable, "-c", PEAKS], capture_output=True, text=True, check=True)
    before, grown, kept, after = json.loads(done.stdout)
    assert before > 20 * _MEGABYTE  # Python and numpy alone take as much
    assert 190 * _MEGABYTE < grown - before < 260 * _MEGABYTE
    assert abs(kept - grown) < 4 * _MEGABYTE  # a peak stays one after the memory is given back
    assert grown - after > 150 * _MEGABYTE


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not count it this way")
def test_without_proc_the_peak_comes_from_the_systems_own_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    by_proc = peak_memory()
    block = np.ones(60 * _MEGABYTE, np.uint8)
    assert block[-1] == 1
    monkeypatch.setattr(_machine, "Path", lambda _: Path("/nowhere/at/all"))
    by_resource = peak_memory()
    assert by_resource is not None
    assert by_proc is not None
    assert by_resource > 60 * _MEGABYTE
    assert 0.5 * by_proc < by_resource
    forget_peak_memory()  # does nothing, and says nothing


def test_the_processor_has_a_name() -> None:
    described = _machine.describe_machine()["machine"]["processor"]
    assert isinstance(described, str)
    assert _machine.processor_name() in (described, "")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds memory back")
def test_no_more_is_allocated_than_may_be() -> None:
    size = 256 * _MEGABYTE
    with pytest.raises(MemoryError), allocating_at_most(size // 4):
        np.zeros(size, np.uint8)
    with allocating_at_most(2 * size):
        np.zeros(size, np.uint8)
    np.zeros(4 * size, np.uint8)


CHILD = """
import sys, time
from minicube._machine import end_with_parent
end_with_parent()
print("in", flush=True)
time.sleep(float(sys.argv[1]))
"""


@pytest.mark.parametrize("ends_first", ["child", "parent"])
def test_a_process_ends_with_the_pipe_from_its_parent_or_by_itself(ends_first: str) -> None:
    seconds = "0" if ends_first == "child" else "60"
    words = [sys.executable, "-c", CHILD, seconds]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        if ends_first == "parent":
            process.stdin.close()
        # Python must not die of the thread that waits for the pipe.
        assert process.wait(timeout=50) == (0 if ends_first == "child" else 1)
