"""From labelled cases to weights."""

from minicube.training.config import Augmentation, TrainingConfig, preset_names
from minicube.training.data import find_labelled_cases, prepare_cases
from minicube.training.device import Device
from minicube.training.going_on import config_to_go_on
from minicube.training.listener import Listener, SilentListener
from minicube.training.loop import Material, TrainingRequest, fit, train
from minicube.training.memory import TrainingPlan, within_memory
from minicube.training.run_folder import RunFolder
from minicube.training.stepper import Cause, Diverged, seconds_a_step
from minicube.training.validate import Scores

__all__ = [
    "Augmentation",
    "Cause",
    "Device",
    "Diverged",
    "Listener",
    "Material",
    "RunFolder",
    "Scores",
    "SilentListener",
    "TrainingConfig",
    "TrainingPlan",
    "TrainingRequest",
    "config_to_go_on",
    "find_labelled_cases",
    "fit",
    "prepare_cases",
    "preset_names",
    "seconds_a_step",
    "train",
    "within_memory",
]
