"""A trained network to one portable file: ONNX in fp32, half precision or int8."""

from minicube.export.portable import ExportRequest, Exported, export_model

__all__ = ["ExportRequest", "Exported", "export_model"]
