"""From labelled cases to weights."""

from minicube.training.config import Augmentation, Precision, TrainingConfig
from minicube.training.loop import Listener, TrainingRequest, train
from minicube.training.run_folder import RunFolder
from minicube.training.validate import Scores

__all__ = [
    "Augmentation",
    "Listener",
    "Precision",
    "RunFolder",
    "Scores",
    "TrainingConfig",
    "TrainingRequest",
    "train",
]
