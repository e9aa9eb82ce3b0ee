"""OpenVINO, NNCF, ONNX Runtime and MLflow without their telemetry, which an import sets going."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["left_out", "refuse_telemetry"]


def refuse_telemetry() -> None:
    """Switch it off for this process and those that it starts.

    To be called before any of them is imported. The package that OpenVINO and NNCF send by is made
    impossible to import, and both do without it; None in ``sys.modules`` stands for a module that
    is not there. ONNX Runtime, since 1.31 or 1.32, sends from its own library, writes an identity
    into the user's home first, and heeds a variable; MLflow does the same.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"


@contextmanager
def left_out(package: str) -> Iterator[None]:
    """Let nothing inside import a package that it could do without, installed or not."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[package]
