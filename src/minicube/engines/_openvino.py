"""OpenVINO without its telemetry, and without its converter of other formats.

It imports the converter with everything else, but does without it where it is not installed; that
takes as long to import as all the rest.
"""

from __future__ import annotations

import sys

from minicube.engines.telemetry import refuse_telemetry

_CONVERTER = "openvino.tools.ovc"

refuse_telemetry()
_hidden = _CONVERTER not in sys.modules
if _hidden:
    sys.modules[_CONVERTER] = None  # type: ignore[assignment]  # as if it were not installed
try:
    import openvino as ov
    from openvino import opset13 as ops
finally:
    if _hidden:
        del sys.modules[_CONVERTER]

__all__ = ["ops", "ov"]
