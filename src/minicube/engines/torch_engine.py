"""Runs a network in PyTorch; imported only when asked for."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from minicube._errors import InputError
from minicube.engines.model import Model
from minicube.networks import (
    Network,
    NetworkConfig,
    NetworkName,
    Normalisation,
    build_network,
)
from minicube.volumes import Shape

__all__ = ["TorchEngine", "has_bf16", "load_network"]


class TorchEngine:
    """A network on the CPU, in channels-last layout.

    Args:
        network: In evaluation mode while it runs here, put back afterwards.
        bf16: Compute in bfloat16 where torch's autocast does.
    """

    def __init__(self, network: Network, *, bf16: bool) -> None:
        self._network = network.channels_last()
        self._bf16 = bf16

    @property
    def stride(self) -> Shape:
        """Voxels along x, y, z; what the network answers for is a multiple of it."""
        return self._network.stride

    @property
    def margin(self) -> int:
        """Voxels on each side that the network takes and does not answer for."""
        return self._network.margin

    def logits(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Images ``(sequence, x, y, z)`` to logits ``(class, x, y, z)``, less the margin."""
        batch = torch.from_numpy(images)[None].contiguous(memory_format=torch.channels_last_3d)
        with (
            _evaluating(self._network),
            torch.inference_mode(),
            torch.autocast("cpu", torch.bfloat16, enabled=self._bf16),
        ):
            logits: NDArray[np.float32] = self._network(batch)[0].float().numpy()
            return logits


def load_network(model: Model) -> Network:
    """Build a model's network and fill in its weights.

    Raises:
        InputError: The network is not known, or the weights are damaged or of another one.
    """
    network = build_network(_config(model))
    try:
        weights = load_file(model.weights)
        network.load_state_dict({name: value.float() for name, value in weights.items()})
    except (SafetensorError, RuntimeError, OSError) as error:
        raise InputError(
            f"{model.weights} does not hold the weights of the network in its description.",
            found=str(error).splitlines()[0],
        ) from error
    return network.eval()


def _config(model: Model) -> NetworkConfig:
    description = model.description
    try:
        name = NetworkName(description.network)
    except ValueError as error:
        raise InputError(
            f"{model.folder} describes a network that this minicube does not know.",
            expected=f"one of {', '.join(NetworkName)}",
            found=description.network,
        ) from error
    return NetworkConfig(
        name=name,
        widths=description.widths,
        normalisation=Normalisation(description.layers),
        output_relu=description.output_relu,
        triplanar=description.triplanar,
    )


def has_bf16() -> bool:
    """Whether this processor computes in bfloat16, not only stores it."""
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16") or able.get("bf16"))


class _evaluating:  # noqa: N801 - reads as a verb where it is used
    """Evaluation mode inside the block, the former mode after it."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._training = network.training

    def __enter__(self) -> None:
        self._network.eval()

    def __exit__(self, *_: object) -> None:
        self._network.train(self._training)
