"""Stride, halo and receptive field of the U-Net are what the network really does."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor, nn

import minicube.networks.unet3d as module
from minicube.networks import UNet3d, UNet3dConfig


def _transparent(widths: tuple[int, ...]) -> UNet3d:
    """A network in which every dependence shows: all weights positive, no saturation."""
    network = UNet3d(UNet3dConfig(widths=widths, sequences=1, classes=2)).double().eval()
    for layer in network.modules():
        if isinstance(layer, nn.Conv3d | nn.ConvTranspose3d):
            nn.init.constant_(layer.weight, 1.0)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network


def _reached(network: UNet3d, size: int, index: int) -> Tensor:
    """Output positions along x that change when the input at ``index`` does."""
    quiet = torch.ones(1, 1, size, network.stride, network.stride, dtype=torch.float64)
    loud = quiet.clone()
    loud[:, :, index] = 1e6
    with torch.no_grad():
        change = (network(loud) - network(quiet)).abs().sum(dim=(0, 1, 3, 4))
    return torch.nonzero(change > 1e-6 * change.max()).ravel()


@pytest.mark.parametrize(("widths", "expected"), [((1, 1), 8), ((1, 1, 1), 22), ((1,) * 4, 46)])
def test_halo_is_exact_and_not_one_voxel_too_large(widths: tuple[int, ...], expected: int) -> None:
    network = _transparent(widths)
    assert network.halo == expected
    start = -(-network.halo // network.stride) * network.stride + network.stride
    size = 2 * start + network.stride
    part = set(range(start, start + network.stride))
    beyond = set(_reached(network, size, start - network.halo - 1).tolist())
    edge = set(_reached(network, size, start - network.halo).tolist())
    assert not beyond & part
    assert edge & part


@pytest.mark.parametrize("levels", [2, 3])
def test_receptive_field_is_what_one_output_voxel_sees(levels: int) -> None:
    network = _transparent((1,) * levels)
    size = 2 * -(-network.receptive_field // network.stride) * network.stride
    seen: dict[int, list[int]] = {}
    for index in range(size):
        for position in _reached(network, size, index).tolist():
            seen.setdefault(position, []).append(index)
    middle = range(size // 2 - network.stride, size // 2)
    assert max(max(seen[i]) - min(seen[i]) + 1 for i in middle) == network.receptive_field


def test_table_in_the_header_is_true() -> None:
    rows = re.findall(r"^([\d-]+)  +([\d ]+?)  +(\d+) +(\d+) +(\d+)$", module.__doc__ or "", re.M)
    assert len(rows) == 2
    for widths, parameters, field, halo, stride in rows:
        network = UNet3d(UNet3dConfig(widths=tuple(map(int, widths.split("-")))))
        assert sum(p.numel() for p in network.parameters()) == int(parameters.replace(" ", ""))
        assert network.receptive_field == int(field)
        assert network.halo == int(halo)
        assert network.stride == int(stride)


def test_every_parameter_learns() -> None:
    network = UNet3d(UNet3dConfig(widths=(4, 8)))
    network(torch.randn(2, 4, 8, 8, 8)).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
