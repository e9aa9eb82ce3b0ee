"""What a program tries to reach, seen from outside it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import minicube

# In forked children and other threads as well, where an error would be swallowed.
_HOOK = """
import os, sys
def hook(event, args):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo"):
        os.write(2, f"CONNECTS: {event} {args}\\n".encode())
sys.addaudithook(hook)
"""


def connections(home: Path, program: str) -> str:
    """Run a program in a process of its own, for a user who never said no; what it tried.

    None of the variables that switch telemetry off, CI's among them, are set. Libraries that
    connect by themselves are not seen doing it; those known to (ONNX Runtime) write an identity
    for the user into the home folder, which is looked for.
    """
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "SYSTEMROOT")}
    path = os.pathsep.join([str(Path(minicube.__file__).parents[1]), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", _HOOK + program],
        env=kept | {"HOME": str(home), "USERPROFILE": str(home), "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert list(home.iterdir()) == []
    return "\n".join(line for line in done.stderr.splitlines() if line.startswith("CONNECTS"))
