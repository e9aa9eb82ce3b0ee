"""A trained network to one portable file: ONNX in fp32 or half precision."""

from minicube.export.fitted import write_fitted
from minicube.export.portable import Exported, ExportRequest, export_model

__all__ = ["ExportRequest", "Exported", "export_model", "write_fitted"]
