"""OpenVINO and NNCF without their telemetry: to import either would tell a server of its maker."""

from __future__ import annotations

import sys

__all__ = ["refuse_telemetry"]


def refuse_telemetry() -> None:
    """Make the package that both send by impossible to import; both do without it then.

    To be called before either is imported. None in ``sys.modules`` stands for a module that is
    not there; no setting of theirs does as much without an environment variable or a file in
    the user's home.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
