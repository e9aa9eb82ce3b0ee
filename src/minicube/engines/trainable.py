"""A model as a network that can be trained on.

BatchNorm is folded into the convolutions of an exported model, for speed. What folding loses, four
numbers a channel, lies beside the description in the file's metadata: safetensors, as base64.
"""

from __future__ import annotations

from base64 import b64decode, b64encode

from safetensors import SafetensorError
from safetensors.torch import load, save

from minicube._errors import InputError
from minicube.engines.model import Model
from minicube.engines.portable import NORMS, metadata_of
from minicube.engines.torch_engine import load_network, network_config
from minicube.networks import Network, norms_of, unfolded

__all__ = ["packed_norms", "trainable_network"]


def packed_norms(model: Model, network: Network) -> str | None:
    """What a model's file keeps of its BatchNorm; None where there is none, or nobody knows.

    Args:
        model: That is exported, or exported again.
        network: Of the model, from :func:`load_network`.
    """
    if model.is_exported:
        return metadata_of(model.place).get(NORMS)
    norms = {name: value.detach().contiguous() for name, value in norms_of(network).items()}
    return b64encode(save(norms)).decode() if norms else None


def trainable_network(model: Model) -> Network:
    """Build a model's network as it was when it was trained, and fill in its weights.

    Raises:
        InputError: As :func:`load_network`; or the file does not say what its BatchNorm was, or
            says so of another network.
    """
    plain, config = load_network(model), network_config(model)
    if plain.config == config:
        return plain
    packed = metadata_of(model.place).get(NORMS)
    if packed is None:
        raise InputError(
            f"{model.place} cannot be trained on: it does not say what its BatchNorm was.",
            hint="start from the run that it was exported from, or export that again",
        )
    try:
        return unfolded(plain, config, load(b64decode(packed, validate=True)))
    except (ValueError, KeyError, SafetensorError) as error:
        raise InputError(
            f"{model.place} holds the BatchNorm of another network.", found=str(error)
        ) from error
