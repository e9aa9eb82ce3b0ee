"""A Case to a Segmentation."""

from minicube.inference.memory import MemoryPlan, Needs, plan_ahead
from minicube.inference.segment import Limits, Segmentation, Segmenter, segment, shipped_model

__all__ = [
    "Limits",
    "MemoryPlan",
    "Needs",
    "Segmentation",
    "Segmenter",
    "plan_ahead",
    "segment",
    "shipped_model",
]
