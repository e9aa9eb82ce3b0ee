"""Run a trained network. What computes is imported only when an engine of it is made."""

from minicube.engines.choice import AnyEngine, EngineName, open_engine
from minicube.engines.engine import (
    Cut,
    Engine,
    HeldImages,
    Precision,
    cut_volume,
    keep_likeliest,
    segment_volume,
    volume_answers,
    volume_logits,
)
from minicube.engines.model import (
    DESCRIPTION,
    PORTABLE,
    WEIGHTS,
    Model,
    ModelDescription,
    Numbers,
    load_model,
)

__all__ = [
    "DESCRIPTION",
    "PORTABLE",
    "WEIGHTS",
    "AnyEngine",
    "Cut",
    "Engine",
    "EngineName",
    "HeldImages",
    "Model",
    "ModelDescription",
    "Numbers",
    "Precision",
    "cut_volume",
    "keep_likeliest",
    "load_model",
    "open_engine",
    "segment_volume",
    "volume_answers",
    "volume_logits",
]
