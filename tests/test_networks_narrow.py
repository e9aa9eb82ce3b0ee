"""A network made narrower: what weighs nothing is taken out, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from minicube import InputError
from minicube.networks import (
    Network,
    NetworkConfig,
    NetworkName,
    Normalisation,
    build_network,
    narrowed,
    norms_of,
)

WIDE = NetworkConfig(NetworkName.UNET3D_FAST, (6, 8, 10))
NARROW = replace(WIDE, widths=(4, 8, 7))


def _network(config: NetworkConfig) -> Network:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = build_network(config)
        for name, value in norms_of(network).items():
            positive = name.endswith((".weight", "running_var"))
            value.data.uniform_(*((0.5, 1.5) if positive else (-0.5, 0.5)))
    return network.eval()


def _answer(network: Network) -> Tensor:
    images = torch.randn(1, 4, 16, 8, 24, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        answer: Tensor = network(images)
    return answer


def _silence(network: Network, widths: tuple[int, ...]) -> None:
    """Make the channels beyond these widths, drawn by lot, give nothing, wherever they are."""
    rng = torch.Generator().manual_seed(3)
    state = network.state_dict()
    for name, value in state.items():
        place, kind = name.rsplit(".", 1)
        if place in ("surface", "voxel") or kind != "weight" or value.ndim < 5:
            continue
        turned = place.startswith("upsample")
        many = value.shape[1 if turned else 0]
        few = dict(zip(network.config.widths, widths, strict=True))[many]
        lot = torch.randperm(many, generator=rng)[few:]
        if turned:
            value[:, lot] = 0
            state[f"{place}.bias"][lot] = 0
            continue
        value[lot] = 0
        base, number = place.rsplit(".", 1)
        behind = f"{base}.{int(number) + 1}"
        for what in ("weight", "bias", "running_mean"):
            if f"{behind}.{what}" in state:
                state[f"{behind}.{what}"][lot] = 0
        if f"{place}.bias" in state:
            state[f"{place}.bias"][lot] = 0


@pytest.mark.parametrize("kind", Normalisation)
def test_channels_that_give_nothing_are_taken_out_and_the_answer_stays(
    kind: Normalisation,
) -> None:
    wide, narrow = replace(WIDE, normalisation=kind), replace(NARROW, normalisation=kind)
    network = _network(wide)
    _silence(network, NARROW.widths)
    made = build_network(narrow).eval()
    made.load_state_dict(narrowed(network.state_dict(), wide, narrow))
    torch.testing.assert_close(_answer(made), _answer(network), rtol=1e-4, atol=1e-5)


def test_the_same_network_keeps_its_weights() -> None:
    network = _network(WIDE)
    same = narrowed(network.state_dict(), WIDE, WIDE)
    assert all(torch.equal(same[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    "other",
    [
        replace(WIDE, widths=(6, 12, 10)),
        replace(WIDE, widths=(6, 8)),
        replace(WIDE, normalisation=Normalisation.NONE),
        replace(WIDE, name=NetworkName.UNET3D),
    ],
)
def test_another_network_is_refused(other: NetworkConfig) -> None:
    with pytest.raises(InputError, match="not of the network in the config") as refused:
        narrowed(_network(WIDE).state_dict(), WIDE, other)
    assert "-".join(map(str, other.widths)) in str(refused.value)
