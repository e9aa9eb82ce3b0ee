"""From a config to a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from minicube.networks.network import Network, NetworkConfig, NetworkName
from minicube.networks.segnet import SegNet
from minicube.networks.unet2d import UNet2d
from minicube.networks.unet3d import UNet3d
from minicube.networks.unet3d_context import UNet3dContext
from minicube.networks.unet3d_fast import UNet3dFast
from minicube.networks.unet3d_report import UNet3dReport
from minicube.networks.vnet import VNet

__all__ = ["NETWORKS", "build_network"]

NETWORKS: Final[Mapping[NetworkName, type[Network]]] = {
    NetworkName.SEGNET: SegNet,
    NetworkName.UNET2D: UNet2d,
    NetworkName.UNET3D_REPORT: UNet3dReport,
    NetworkName.UNET3D_CONTEXT: UNet3dContext,
    NetworkName.VNET: VNet,
    NetworkName.UNET3D: UNet3d,
    NetworkName.UNET3D_FAST: UNet3dFast,
}


def build_network(config: NetworkConfig) -> Network:
    """Return the network with fresh weights."""
    return NETWORKS[config.name](config)
