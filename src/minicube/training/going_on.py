"""Settings for a training that goes on from a model, on somebody's own few cases."""

from __future__ import annotations

from typing import Final

from minicube.engines import Model
from minicube.engines.torch_engine import network_config
from minicube.training.config import TrainingConfig

__all__ = ["config_to_go_on"]

# Slower than from scratch, and a third of the windows of made-up cases: what the model knows
# of heads unlike the few it now sees is not to be forgotten.
_GENTLE: Final = {
    "learning_rate": 5e-4,
    "warmup": 20,
    "simulated": 0.3,
    "loss": {"name": "region-dice+ce"},
}


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
            **_GENTLE,
        },
        f"to go on from {said.name}",
    )
