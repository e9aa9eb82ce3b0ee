"""Runs a network in PyTorch; imported only when asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from minicube._errors import InputError, require
from minicube.engines.model import Model, Numbers
from minicube.engines.portable import HALF, PREFIX
from minicube.networks import (
    LeveledNetwork,
    Network,
    NetworkConfig,
    NetworkName,
    Normalisation,
    build_network,
    cost_of,
    folded_config,
)
from minicube.planning import LevelCut, NetworkCost
from minicube.volumes import Shape

__all__ = ["TorchEngine", "has_bf16", "load_network", "network_config", "use_threads"]


class TorchEngine:
    """A network where it lives, in channels-last layout; whole, or some of its levels.

    Args:
        network: In evaluation mode while it runs here, put back afterwards.
        bf16: Compute in bfloat16 where torch's autocast does.
        cost: Of the network, where it was written down.
    """

    def __init__(self, network: Network, *, bf16: bool, cost: NetworkCost | None = None) -> None:
        self._network = network.channels_last()
        self._bf16 = bf16
        self._known_cost = cost

    @property
    def stride(self) -> Shape:
        """Voxels along x, y, z; what the network answers for is a multiple of it."""
        return self._network.stride

    @property
    def margin(self) -> int:
        """Voxels on each side that the network takes and does not answer for."""
        return self._network.margin

    @property
    def device(self) -> torch.device:
        """That the network lives on."""
        return next(self._network.parameters()).device

    @cached_property
    def cost(self) -> NetworkCost:
        """Of the network."""
        return self._known_cost or cost_of(self._network.config)

    @property
    def feature_bytes(self) -> int:
        """Of a number between layers."""
        return 2 if self._bf16 else 4

    def logits(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Images ``(sequence, x, y, z)`` to logits ``(class, x, y, z)``, less the margin."""
        return self.give(self._run(self._network, self.take(images)))

    def take(self, images: NDArray[np.float32]) -> Tensor:
        """Images as this engine has them."""
        return _channels_last(torch.from_numpy(images).to(self.device))

    def give(self, features: Tensor) -> NDArray[np.float32]:
        """Logits as numpy has them."""
        logits: NDArray[np.float32] = features.float().cpu().numpy()
        return logits

    def room(self, channels: int, shape: Shape) -> Tensor:
        """Room for features between levels."""
        dtype = torch.bfloat16 if self._bf16 else torch.float32
        return torch.empty(
            (1, channels, *shape),
            dtype=dtype,
            device=self.device,
            memory_format=torch.channels_last_3d,
        )[0]

    def encode(self, x: Tensor, cut: LevelCut) -> Tensor:
        """What the levels of a cut hand down."""
        return self._run(self._levels.encode_between, x, cut.first, cut.last)

    def below(self, x: Tensor, first: int) -> Tensor:
        """What comes up from level ``first`` for what was handed down to it."""
        return self._run(self._levels.run_below, x, first)

    def decode(self, x: Tensor, below: Tensor, cut: LevelCut) -> Tensor:
        """What the levels of a cut give; logits, where they begin at the top."""
        risen = _as_batch(_channels_last(below))
        return self._run(self._levels.decode_between, x, risen, cut.first, cut.last)

    def let_go(self) -> None:
        """Nothing: torch keeps no features between runs."""

    @property
    def _levels(self) -> LeveledNetwork:
        assert isinstance(self._network, LeveledNetwork)  # its cost has levels
        return self._network

    def _run(self, piece: Callable[..., Tensor], x: Tensor, *more: Any) -> Tensor:
        with (
            _evaluating(self._network),
            torch.inference_mode(),
            torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16),
        ):
            return piece(_as_batch(_channels_last(x)), *more)[0]


def _as_batch(x: Tensor) -> Tensor:
    """A batch of one, with the stride that a larger one would have.

    With the one that ``x[None]`` has, torch takes some convolutions for channels first, and copies.
    """
    return x.as_strided((1, *x.shape), (x.numel(), *x.stride()))


def _channels_last(x: Tensor) -> Tensor:
    return x[None].contiguous(memory_format=torch.channels_last_3d)[0]


def load_network(model: Model) -> Network:
    """Build a model's network and fill in its weights; an exported one has no BatchNorm left.

    Raises:
        InputError: The network is not known, the weights are damaged or of another one, or the
            model was quantised.
    """
    if model.description.numbers is Numbers.INT8:
        raise InputError(
            f"{model.place} is in int8, which torch does not take.",
            expected="a run, or a file in fp32 or fp16",
        )
    config = network_config(model)
    try:
        with torch.device("meta"):  # without weights: what a description says may be any size
            network = build_network(folded_config(config) if model.is_exported else config)
        weights = _exported(model) if model.is_exported else load_file(model.weights)
        network.load_state_dict({k: _single(v) for k, v in weights.items()}, assign=True)
    except (SafetensorError, RuntimeError, OSError, LookupError, ValueError, TypeError) as error:
        raise InputError(
            f"{model.weights} does not hold the weights of the network in its description.",
            found=next(iter(str(error).splitlines()), type(error).__name__),
        ) from error
    return network.eval()


def _single(value: Tensor) -> Tensor:
    """In single precision; counts stay what they are."""
    return value.float() if value.is_floating_point() else value


def _exported(model: Model) -> dict[str, Tensor]:
    """The weights in an ONNX graph."""
    require("Reading an exported model into torch", "export", "onnx")
    import onnx

    graph = onnx.load(model.weights, load_external_data=False).graph
    weights = {
        _plain(tensor.name): torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy())
        for tensor in graph.initializer
        if tensor.name.startswith(PREFIX)
    }
    for node in graph.node:  # equal biases are kept once, biases of zeros not at all
        if node.op_type in ("Conv", "ConvTranspose") and _plain(node.input[1]) in weights:
            _, name, *bias = map(_plain, node.input)
            missing = name.removesuffix("weight") + "bias"
            channels = weights[name].shape[node.op_type == "ConvTranspose"]
            weights.setdefault(missing, weights[bias[0]] if bias else torch.zeros(channels))
    return weights


def _plain(name: str) -> str:
    return name.removeprefix(PREFIX).removesuffix(HALF)


def network_config(model: Model) -> NetworkConfig:
    """What a model's network is built from.

    Raises:
        InputError: The network is not known.
    """
    description = model.description
    try:
        name = NetworkName(description.network)
    except ValueError as error:
        raise InputError(
            f"{model.place} describes a network that this minicube does not know.",
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


def use_threads(count: int) -> None:
    """Compute with so many threads from now on, in all of this process."""
    torch.set_num_threads(count)


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
