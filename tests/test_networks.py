"""Stride, margin, halo and receptive field of every network are what it really does."""

from __future__ import annotations

import importlib
import re

import pytest
import torch
from torch import nn

from minicube.networks import Network, NetworkConfig, NetworkName, Normalisation, build_network

SMALL = {
    "segnet": NetworkConfig(NetworkName.SEGNET, (1, 1)),
    "unet2d": NetworkConfig(NetworkName.UNET2D, (1, 1, 1)),
    "unet3d-report": NetworkConfig(NetworkName.UNET3D_REPORT, (1, 1, 1)),
    "unet3d-context": NetworkConfig(NetworkName.UNET3D_CONTEXT, (1, 1, 1)),
    "vnet": NetworkConfig(NetworkName.VNET, (1, 1)),
    "unet3d, two levels": NetworkConfig(NetworkName.UNET3D, (1, 1)),
    "unet3d-fast": NetworkConfig(NetworkName.UNET3D_FAST, (1, 1, 1)),
    "unet3d, four levels": NetworkConfig(NetworkName.UNET3D, (1, 1, 1, 1)),
}
each = pytest.mark.parametrize("config", SMALL.values(), ids=SMALL.keys())


def _transparent(config: NetworkConfig) -> Network:
    """A network in which every dependence shows: all weights positive, no saturation."""
    network = build_network(config).double().eval()
    for layer in network.modules():
        if isinstance(layer, nn.Conv3d | nn.ConvTranspose3d | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.constant_(layer.weight, 1.0)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network


def _reached(network: Network, axis: int, size: int, index: int) -> set[int]:
    """Output positions along an axis that change when the input at ``index`` does.

    Index 0 is the input voxel that lies under the output's first.
    """
    shape = [2 * s for s in network.stride]
    shape[axis] = size
    quiet = torch.ones(1, 4, *(n + 2 * network.margin for n in shape), dtype=torch.float64)
    loud = quiet.clone()
    loud.select(2 + axis, index + network.margin).fill_(1e6)
    others = tuple(i for i in range(5) if i != 2 + axis)
    with torch.no_grad():
        change = (network(loud) - network(quiet)).abs().sum(dim=others)
    return set(torch.nonzero(change > 1e-7 * change.max()).ravel().tolist())


@each
@pytest.mark.parametrize("axis", [0, 2])
def test_halo_is_exact_and_not_one_voxel_too_large(config: NetworkConfig, axis: int) -> None:
    network = _transparent(config)
    stride, halo = network.stride[axis], network.halo[axis]
    start = -(-(halo + 1) // stride) * stride
    part = set(range(start, start + stride))
    size = 2 * start + stride
    before, after = start - halo, start + stride - 1 + halo
    assert not _reached(network, axis, size, before - 1) & part
    assert not _reached(network, axis, size, after + 1) & part
    reached = _reached(network, axis, size, before) | _reached(network, axis, size, after)
    assert reached & part


@pytest.mark.parametrize("config", list(SMALL.values())[:-1], ids=list(SMALL)[:-1])
def test_receptive_field_is_what_one_output_voxel_sees(config: NetworkConfig) -> None:
    network = _transparent(config)
    stride, field = network.stride[0], network.receptive_field[0]
    size = 2 * -(-field // stride) * stride
    middle = range(size // 2 - stride, size // 2)
    seen: dict[int, list[int]] = {position: [] for position in middle}
    for index in range(size):
        for position in _reached(network, 0, size, index) & seen.keys():
            seen[position].append(index)
    assert max(max(indices) - min(indices) + 1 for indices in seen.values()) == field


@pytest.mark.parametrize(
    ("name", "levels", "expected"),
    [
        (NetworkName.UNET3D, 2, (8, 8, 8)),
        (NetworkName.UNET3D, 3, (22, 22, 22)),
        (NetworkName.UNET3D, 4, (46, 46, 46)),
        (NetworkName.UNET3D, 5, (94, 94, 94)),
        (NetworkName.UNET2D, 5, (94, 94, 0)),
    ],
)
def test_known_halos(name: NetworkName, levels: int, expected: tuple[int, int, int]) -> None:
    assert build_network(NetworkConfig(name, (1,) * levels)).halo == expected


@pytest.mark.parametrize("name", list(NetworkName))
def test_table_in_the_header_is_true(name: NetworkName) -> None:
    module = importlib.import_module(f"minicube.networks.{name.value.replace('-', '_')}")
    rows = re.findall(r"^([\d-]+)  +([\d ]+?)  +(\d+) +(\d+) +(\d+)$", module.__doc__ or "", re.M)
    assert rows
    for widths, parameters, field, halo, stride in rows:
        with torch.device("meta"):
            network = build_network(NetworkConfig(name, tuple(map(int, widths.split("-")))))
        assert network.parameter_count == int(parameters.replace(" ", ""))
        assert network.receptive_field[0] == int(field)
        assert network.halo[0] == int(halo)
        assert network.stride[0] == int(stride)


@pytest.mark.parametrize("normalisation", list(Normalisation))
@pytest.mark.parametrize("name", list(NetworkName))
def test_every_parameter_learns_and_sizes_agree(
    name: NetworkName, normalisation: Normalisation
) -> None:
    torch.manual_seed(0)
    widths = (4, 8) if name is not NetworkName.UNET3D_CONTEXT else (4, 8, 8)
    network = build_network(NetworkConfig(name, widths, normalisation))
    grown = [n + 2 * network.margin for n in (16, 8, 12)]
    logits = network(torch.randn(2, 4, *grown))
    assert logits.shape == (2, 4, 16, 8, 12)
    weights = torch.randn_like(logits)
    (logits * weights).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_report_sizes_are_those_of_its_figure_three() -> None:
    with torch.device("meta"):
        network = build_network(NetworkConfig(NetworkName.UNET3D_CONTEXT, (64, 128, 256)))
        logits = network(torch.zeros(1, 4, 116, 116, 100))
    assert logits.shape == (1, 4, 96, 96, 80)


@pytest.mark.parametrize("name", list(NetworkName))
def test_a_relu_at_the_output_loses_what_is_negative(name: NetworkName) -> None:
    torch.manual_seed(0)
    widths = (4, 8) if name is not NetworkName.UNET3D_CONTEXT else (4, 8, 8)
    images = torch.randn(1, 4, 36, 36, 36) if "context" in name else torch.randn(1, 4, 16, 16, 16)
    for relu in (False, True):
        network = build_network(NetworkConfig(name, widths, output_relu=relu)).eval()
        assert bool((network(images) < 0).any()) is not relu


def test_triplanar_is_the_mean_over_the_three_planes() -> None:
    torch.manual_seed(0)
    network = build_network(NetworkConfig(NetworkName.UNET2D, (4, 8), triplanar=True)).eval()
    axial = build_network(NetworkConfig(NetworkName.UNET2D, (4, 8))).eval()
    axial.load_state_dict(network.state_dict())
    assert network.halo == (8, 8, 8)
    images = torch.randn(1, 4, 8, 6, 4).repeat(1, 1, 1, 1, 2)
    with torch.no_grad():
        planes = [
            axial(images.movedim(axis, 4)).softmax(dim=1).movedim(4, axis) for axis in (2, 3, 4)
        ]
        assert torch.allclose(network(images).exp(), torch.stack(planes).mean(0), atol=1e-5)


@pytest.mark.parametrize(
    "name", ["unet2d", "unet3d", "unet3d-fast", "unet3d-report", "unet3d-context", "vnet"]
)
def test_recomputed_blocks_give_the_same_gradients_and_statistics(name: str) -> None:
    widths = (4, 8) if "context" not in name else (4, 8, 8)
    images = torch.randn(2, 4, *([36, 36, 36] if "context" in name else [16, 16, 16]))
    found = []
    for recompute in (False, True):
        torch.manual_seed(0)
        network = build_network(NetworkConfig(NetworkName(name), widths)).double()
        network.recompute = recompute
        network(images.double()).square().mean().backward()
        gradients = [p.grad for p in network.parameters()]
        found.append([*gradients, *(b for b in network.buffers() if b.dtype == torch.float64)])
    for kept, again in zip(*found, strict=True):
        torch.testing.assert_close(kept, again)
