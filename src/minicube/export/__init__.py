"""A trained network to one portable file: ONNX in fp32 or half precision."""

from minicube.export.portable import Exported, ExportRequest, export_model
from minicube.export.temperature import write_temperature

__all__ = ["ExportRequest", "Exported", "export_model", "write_temperature"]
