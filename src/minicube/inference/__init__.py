"""A Case to a Segmentation."""

from minicube.inference.segment import Segmentation, Segmenter, segment, shipped_model

__all__ = ["Segmentation", "Segmenter", "segment", "shipped_model"]
