"""What a run's model says of itself."""

from __future__ import annotations

from functools import cache

from minicube._version import __version__
from minicube.engines import ModelDescription
from minicube.networks import NetworkConfig, cost_of
from minicube.planning import NetworkCost
from minicube.scans import NETWORK_SCHEME, Sequence
from minicube.training.config import TrainingConfig
from minicube.volumes import NETWORK_SPACING

__all__ = ["describe"]


def describe(config: TrainingConfig, *, name: str, source: str, step: int) -> ModelDescription:
    """Describe a model, all but the checksum of its weights.

    Args:
        config: Of its training.
        name: Of the model.
        source: What it was trained on, in words.
        step: After how many steps.
    """
    t1n, t1c, t2w, t2f = (s.value for s in Sequence)
    return ModelDescription.model_validate(
        {
            "name": name,
            "network": config.network.value,
            "widths": config.widths,
            "layers": config.normalisation.value,
            "output_relu": config.output_relu,
            "triplanar": config.triplanar,
            "part": config.minicube,
            "context": config.context,
            "denoise": config.denoise,
            "sequences": (t1n, t1c, t2w, t2f),
            "spacing": NETWORK_SPACING,
            "normalisation": config.intensities,
            "scheme": NETWORK_SCHEME.value,
            "trained_on": source,
            "licence": "that of the training data",
            "minicube": __version__,
            "steps": step,
            "sha256": "",
            "cost": _cost(config.network_config),
        }
    )


@cache
def _cost(network: NetworkConfig) -> NetworkCost:
    return cost_of(network)
