"""Run a trained network. PyTorch is imported only when an engine of it is made."""

from minicube.engines.engine import (
    Cut,
    Engine,
    Precision,
    cut_volume,
    segment_volume,
    volume_logits,
)
from minicube.engines.model import (
    DESCRIPTION,
    WEIGHTS,
    Model,
    ModelDescription,
    checksum,
    load_model,
)

__all__ = [
    "DESCRIPTION",
    "WEIGHTS",
    "Cut",
    "Engine",
    "Model",
    "ModelDescription",
    "Precision",
    "checksum",
    "cut_volume",
    "load_model",
    "segment_volume",
    "volume_logits",
]
