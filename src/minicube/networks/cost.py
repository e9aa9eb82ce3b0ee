"""What a network costs: run once without numbers, counting what it holds and what it computes."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry

from minicube.networks.build import build_network
from minicube.networks.levels import LeveledNetwork
from minicube.networks.network import Network, NetworkConfig, Normalisation
from minicube.planning.cost import LevelsCost, NetworkCost, PieceCost

__all__ = ["bytes_of_learning", "cost_of"]

_PERIODS = 2  # of the stride along each axis that is traced
_AT_LEAST = 32
_WITH_MARGIN = (64, 160)  # voxels along each axis that a network with a margin answers for
_NOTHING = PieceCost(bytes=0, flops=0)


def cost_of(config: NetworkConfig) -> NetworkCost:
    """Trace a network, whole and cut between its levels; takes well under a second."""
    with torch.device("meta"):
        network = build_network(config).eval()
    whole, answered = _whole(network)
    return NetworkCost(
        stride=network.stride,
        margin=network.margin,
        halo=network.halo,
        sequences=config.sequences,
        classes=config.classes,
        whole=whole,
        answered=answered,
        levels=_levels(network) if isinstance(network, LeveledNetwork) else (),
        whole_only=_whole_only(network),
    )


def _whole_only(network: Network) -> str | None:
    # Across slices a slice is whole in every part.
    if network.config.normalisation is Normalisation.INSTANCE:
        return "InstanceNorm takes its statistics from all that it is given"
    if network.margin:
        return "its decoder pads with zeros inside a part"
    return None


def _whole(network: Network) -> tuple[PieceCost, PieceCost]:
    """For each voxel that is given, and for each that is answered for on top.

    With a margin the two grow apart: two sizes tell what goes with which.
    """
    if not network.margin:
        return _piece(*_run_on(network, [_traced(s) for s in network.stride]))[0], _NOTHING
    small, large = (_piece(*_run_on(network, [n] * 3))[0] for n in _WITH_MARGIN)
    shares = [(n / (n + 2 * network.margin)) ** 3 for n in _WITH_MARGIN]

    def apart(one: float, other: float) -> tuple[float, float]:
        on_top = (other - one) / (shares[1] - shares[0])
        return one - on_top * shares[0], on_top

    held, computed = apart(small.bytes, large.bytes), apart(small.flops, large.flops)
    whole, on_top = (PieceCost(bytes=b, flops=f) for b, f in zip(held, computed, strict=True))
    return whole, on_top


def _run_on(network: Network, shape: list[int]) -> tuple[Callable[[], Tensor], Tensor]:
    grown = [n + 2 * network.margin for n in shape]
    images = torch.zeros(1, network.config.sequences, *grown, device="meta")
    return lambda: network(images), images


def _levels(network: LeveledNetwork) -> tuple[LevelsCost, ...]:
    found: list[LevelsCost] = []
    channels = network.config.sequences
    for first in range(network.depth - 1):
        x = torch.zeros(1, channels, *(_traced(network.period),) * 3, device="meta")
        here = [_between(network, x, first, last) for last in range(first + 1, network.depth)]
        channels = here[0].handed
        found += here
    return tuple(found)


def _between(network: LeveledNetwork, x: Tensor, first: int, last: int) -> LevelsCost:
    reach = network.reach(first, last)
    encode, handed = _piece(lambda: network.encode_between(x, first, last), x)
    # What is below may halve further than the part is long.
    widened = torch.zeros(1, handed.shape[1], *(_traced(network.period),) * 3, device="meta")
    below, _ = _piece(lambda: network.run_below(widened, last), widened)
    risen = network.risen(last)
    up = torch.zeros(1, risen, *handed.shape[2:], device="meta")
    decode, _ = _piece(lambda: network.decode_between(x, up, first, last), x)
    return LevelsCost(
        first=first,
        last=last,
        factor=reach.factor,
        encode_halo=_rounded_up(reach.encode, reach.factor),
        decode_halo=_rounded_up(reach.decode, reach.factor),
        handed=handed.shape[1],
        risen=risen,
        encode=encode,
        decode=decode,
        below=below,
    )


def _traced(stride: int) -> int:
    """Voxels along an axis: enough that weights' and borders' share is small."""
    return max(_PERIODS * stride, -(-_AT_LEAST // stride) * stride)


def _rounded_up(number: int, step: int) -> int:
    return -(-number // step) * step


def _piece(run: Callable[[], Tensor], given: Tensor) -> tuple[PieceCost, Tensor]:
    voxels = given.shape[2:].numel()
    with torch.no_grad(), _Counting() as counted:
        out = run()
    return PieceCost(bytes=counted.most / voxels, flops=counted.flops / voxels), out


def bytes_of_learning(network: Network, step: Callable[[], Tensor]) -> int:
    """Most bytes that a training step holds beside the weights and its input.

    Args:
        network: On the meta device.
        step: Gives the loss, whose backward pass is part of what is counted.
    """
    network.train()
    with _Counting() as counted:
        step().backward()  # type: ignore[no-untyped-call]
    most: int = counted.most
    return most


def _copied(out: Tensor, args: tuple[Any, ...]) -> int:
    """Bytes that a convolution holds for itself.

    oneDNN lays input and output of a transposed one out anew where its windows overlap; the other
    convolutions of these networks take and give channels-last as it is.
    """
    x, weight, _, stride, _, _, transposed, *_ = args
    overlaps = any(k > s for k, s in zip(weight.shape[2:], stride, strict=True))
    return int(x.nbytes + out.nbytes) if transposed and overlaps else 0


class _Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts operations, and the bytes of all tensors made inside it for as long as they live."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most: int = 0
        self.flops: int = 0
        self._now = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        out = function(*args, **(kwargs or {}))
        count = flop_registry.get(function._overloadpacket)
        if count is not None:
            self.flops += count(*args, **(kwargs or {}), out_val=out)
        for made in tree_iter(out):
            if isinstance(made, Tensor):
                self._hold(made.untyped_storage())
        if function is torch.ops.aten.convolution.default:
            self.most = max(self.most, self._now + _copied(out, args))
        return out

    def _hold(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self._known:
            self._known.add(key)
            self._now += storage.nbytes()
            self.most = max(self.most, self._now)
            weakref.finalize(storage, self._let_go, key, storage.nbytes())

    def _let_go(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._now -= size
