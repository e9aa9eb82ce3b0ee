"""Networks, one a file; torch is imported at the top."""

from minicube.networks.build import NETWORKS, build_network
from minicube.networks.cost import bytes_of_learning, cost_of
from minicube.networks.folding import folded, folded_config, norms_of, unfolded
from minicube.networks.levels import LeveledNetwork
from minicube.networks.narrow import narrowed
from minicube.networks.network import Network, NetworkConfig, NetworkName, Normalisation

__all__ = [
    "NETWORKS",
    "LeveledNetwork",
    "Network",
    "NetworkConfig",
    "NetworkName",
    "Normalisation",
    "build_network",
    "bytes_of_learning",
    "cost_of",
    "folded",
    "folded_config",
    "narrowed",
    "norms_of",
    "unfolded",
]
