"""From labelled cases to weights."""

from minicube.training.config import Augmentation, TrainingConfig, preset_names
from minicube.training.data import find_labelled_cases, prepare_cases
from minicube.training.device import Device
from minicube.training.going_on import config_to_go_on
from minicube.training.listener import Listener, SilentListener
from minicube.training.loop import fit
from minicube.training.memory import TrainingPlan, within_memory
from minicube.training.ranks import Ranks, rank_here
from minicube.training.request import Material, TrainingRequest
from minicube.training.run import train
from minicube.training.run_folder import RunFolder
from minicube.training.stepper import Cause, Diverged, seconds_a_step
from minicube.training.tracking import MlflowStore
from minicube.training.validate import Scores

__all__ = [
    "Augmentation",
    "Cause",
    "Device",
    "Diverged",
    "Listener",
    "Material",
    "MlflowStore",
    "Ranks",
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
    "rank_here",
    "seconds_a_step",
    "train",
    "within_memory",
]
