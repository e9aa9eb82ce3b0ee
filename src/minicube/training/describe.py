"""What a run's model says of itself."""

from __future__ import annotations

from functools import cache

from minicube._version import __version__
from minicube.engines import ModelDescription
from minicube.engines.model import LONGEST
from minicube.networks import NetworkConfig, cost_of
from minicube.planning import NetworkCost
from minicube.scans import NETWORK_SCHEME, Sequence
from minicube.training.config import TrainingConfig
from minicube.training.request import LICENCE
from minicube.training.run_folder import Ancestor
from minicube.volumes import NETWORK_SPACING

__all__ = ["describe", "inherited"]


def inherited(source: str, ancestor: Ancestor | None) -> tuple[str, str]:
    """What a model was trained on, and its licence; with those of the model it began with.

    Args:
        source: What it was trained on itself.
        ancestor: The model it began with, if any.
    """
    if ancestor is None:
        return source, LICENCE
    licence = ancestor.licence
    if LICENCE not in licence:
        licence = f"{licence}; and {LICENCE}"
    trained_on = f"{source}; begun as {ancestor.name}, which learnt from {ancestor.trained_on}"
    return trained_on[:LONGEST], licence[:LONGEST]


def describe(
    config: TrainingConfig, *, name: str, source: str, licence: str, step: int
) -> ModelDescription:
    """Describe a model, all but the checksum of its weights.

    Args:
        config: Of its training.
        name: Of the model.
        source: What it was trained on, in words.
        licence: Of its weights.
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
            "licence": licence,
            "minicube": __version__,
            "steps": step,
            "sha256": "",
            "cost": _cost(config.network_config),
        }
    )


@cache
def _cost(network: NetworkConfig) -> NetworkCost:
    return cost_of(network)
