"""What this machine has, without importing anything heavy."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from importlib import metadata
from pathlib import Path

from minicube._version import __version__

__all__ = ["describe_machine", "forget_peak_memory", "peak_memory", "processor_name"]

_BASE = ("numpy", "scipy", "nibabel", "isal", "pydantic", "typer", "rich", "jinja2", "pillow")
_TRAIN = ("torch", "lightning-fabric", "monai", "safetensors")
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
        "to train and segment": {name: _version(name) for name in _TRAIN},
    }


def _version(package: str) -> str | None:
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


def peak_memory() -> int | None:
    """Largest resident memory of this process so far, bytes; None where nobody counts it."""
    try:
        text = Path("/proc/self/status").read_text(encoding="utf-8")
        kilobytes = next(line.split()[1] for line in text.splitlines() if line.startswith("VmHWM"))
        return int(kilobytes) * 1024
    except (OSError, StopIteration):
        return _peak_by_resource()


def forget_peak_memory() -> None:
    """Let :func:`peak_memory` count anew from here; does nothing where that is not possible."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def _peak_by_resource() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
