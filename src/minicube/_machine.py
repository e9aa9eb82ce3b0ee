"""What this machine has, without importing anything heavy."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from minicube._version import __version__

__all__ = [
    "allocating_at_most",
    "available_memory",
    "describe_machine",
    "end_with_parent",
    "forget_peak_memory",
    "give_back_freed_memory",
    "peak_memory",
    "processor_name",
    "resident_memory",
]

_BASE = (
    "numpy",
    "isal",
    "connected-components-3d",
    "edt",
    "openvino",
    "pydantic",
    "typer",
    "rich",
    "jinja2",
    "pillow",
)
_TRAIN = ("torch", "lightning-fabric", "monai", "safetensors", "scipy")
_INTERESTING = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")


def describe_machine() -> dict[str, dict[str, str | int | None]]:
    """Return, under headings, names and values; None for what is not installed or known."""
    return {
        "machine": {
            "minicube": __version__,
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.release()}",
            "processor": processor_name() or platform.machine(),
            "processor features": " ".join(_processor_features()) or "unknown",
            "cores": os.cpu_count(),
            "memory": _memory() or "unknown",
            "installed in": sys.prefix,
        },
        "base": {name: _version(name) for name in _BASE},
        "to train": {name: _version(name) for name in _TRAIN},
    }


def _version(package: str) -> str | None:
    from importlib import metadata  # a third of what `minicube --help` would take

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpuinfo() -> dict[str, str]:
    """Linux's description of the first core; empty elsewhere."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n", 1)[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def processor_name() -> str:
    """What the processor calls itself."""
    return _cpuinfo().get("model name", "") or platform.processor()


def _processor_features() -> list[str]:
    flags = _cpuinfo().get("flags", "").split()
    return [name for name in _INTERESTING if name in flags]


def _memory() -> str | None:
    try:
        pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None
    return f"{pages * size / 2**30:.1f} GB"


def available_memory() -> int | None:
    """Bytes that new work can take without swapping, a container's limit kept; None: unknown."""
    free = _number_after("/proc/meminfo", "MemAvailable:")
    limit = _first_number("/sys/fs/cgroup/memory.max")
    used = _first_number("/sys/fs/cgroup/memory.current")
    if limit is not None and used is not None:
        left = max(0, limit - used)
        return left if free is None else min(free, left)
    return free


def resident_memory() -> int | None:
    """Resident memory of this process now, bytes; None where it cannot be read."""
    return _number_after("/proc/self/status", "VmRSS:")


def _number_after(path: str, word: str) -> int | None:
    """Bytes in the line of a kernel's table that begins with ``word`` and counts kilobytes."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(word))
    except (OSError, StopIteration):
        return None


def _first_number(path: str) -> int | None:
    try:
        return int(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # "max": no limit
        return None


def give_back_freed_memory() -> None:
    """Let the C library hand large blocks back to the system as soon as they are freed.

    It else keeps blocks of up to 32 MB for later, and a process holds more than it uses. Costs
    some time; does nothing where the library is not glibc.
    """
    threshold, trim = -3, -1  # M_MMAP_THRESHOLD and M_TRIM_THRESHOLD in malloc.h
    with contextlib.suppress(OSError, AttributeError, TypeError):
        library = ctypes.CDLL(None)
        library.mallopt(threshold, 1 << 20)
        library.mallopt(trim, 1 << 20)


def peak_memory() -> int | None:
    """Largest resident memory of this process so far, bytes; None where nobody counts it."""
    counted = _number_after("/proc/self/status", "VmHWM:")
    return _peak_by_resource() if counted is None else counted


def forget_peak_memory() -> None:
    """Let :func:`peak_memory` count anew from here; does nothing where that is not possible."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


@contextlib.contextmanager
def allocating_at_most(size: int) -> Iterator[None]:
    """Let this process allocate so many bytes more and no further: then there is a MemoryError.

    Linux only; elsewhere nothing is held back.
    """
    held = _number_after("/proc/self/status", "VmData:")
    if held is None:
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = held + size if soft == resource.RLIM_INFINITY else min(soft, held + size)
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def end_with_parent(gone: Callable[[], object] | None = None) -> None:
    """End this process, and the group it heads, when the one that started it does.

    Args:
        gone: Returns when that has ended, if by ``kill -9``. None waits for the end of the pipe
            that is the standard input, whose other end the parent holds.
    """

    def wait() -> None:
        (gone or _input_ended)()
        if hasattr(os, "killpg") and os.getpgid(0) == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _input_ended() -> None:
    while os.read(0, 1024):  # not by sys.stdin: Python would die of its lock when it ends
        pass


def _peak_by_resource() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
