"""OpenVINO, NNCF and ONNX Runtime without their telemetry, which an import would set going."""

from __future__ import annotations

import os
import sys

__all__ = ["refuse_telemetry"]


def refuse_telemetry() -> None:
    """Switch it off for this process and those that it starts.

    To be called before any of them is imported. The package that OpenVINO and NNCF send by is made
    impossible to import, and both do without it; None in ``sys.modules`` stands for a module that
    is not there. ONNX Runtime, since 1.31 or 1.32, sends from its own library, writes an identity
    into the user's home first, and heeds a variable.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
