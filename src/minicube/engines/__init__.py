"""Run a trained network. PyTorch is imported only when an engine of it is made."""

from minicube.engines.engine import Engine, segment_volume, volume_logits
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
    "Engine",
    "Model",
    "ModelDescription",
    "checksum",
    "load_model",
    "segment_volume",
    "volume_logits",
]
