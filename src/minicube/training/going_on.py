"""Settings for a training that goes on from a model, on somebody's own few cases."""

from __future__ import annotations

from typing import Final

from minicube.engines import Model
from minicube.engines.torch_engine import network_config
from minicube.training.config import TrainingConfig
from minicube.volumes import Intensities

__all__ = ["config_to_go_on"]

# As the recipe learns from whole real cases, but slower: what the model knows of heads unlike
# the few it now sees is not to be forgotten, so a third of the windows are of made-up cases, and
# sequences go missing as often as they did.
_GENTLE: Final = {
    "learning_rate": 5e-4,
    "warmup": 20,
    "simulated": 0.3,
    "average": 0.998,
    "start_share": 0.5,  # most of the gain, half of the loss elsewhere: docs/training.md
    "loss": {"name": "region-dice+ce"},
    "augmentation": {
        "affine": 0.2,
        "elastic": 0.0,
        "contrast": 0.15,
        "scale": 0.15,
        "noise": 0.1,
        "blur": 0.05,
        "coarse": 0.05,
        "bias": 0.25,
        "missing": 0.2,
    },
}
_CARVED: Final = 0.3  # of the windows: a few cases have a few tumours
_WINDOW: Final = (64, 64, 64)  # thrice the steps of the usual one; it fits better in the same time


def config_to_go_on(model: Model) -> TrainingConfig:
    """Settings to go on from a model: its network, how it sees scans, and gentle learning.

    Raises:
        InputError: The model's network is not known.
    """
    network, said = network_config(model), model.description
    return TrainingConfig.checked(
        {
            "network": network.name,
            "widths": network.widths,
            "normalisation": network.normalisation,
            "output_relu": network.output_relu,
            "triplanar": network.triplanar,
            "minicube": said.part,
            "context": said.context,
            "denoise": said.denoise,
            "intensities": said.normalisation,
            "carved": _CARVED if said.normalisation is Intensities.Z_SCORE else 0.0,
            **({} if said.context else {"window": _WINDOW}),  # which would leave little to answer
            **_GENTLE,
        },
        f"to go on from {said.name}",
    )
