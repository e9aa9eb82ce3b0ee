"""Small models with weights drawn by lot: what they find means nothing, and is always the same."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from minicube._files import checksum, write_text
from minicube.engines import DESCRIPTION, WEIGHTS, ModelDescription
from minicube.networks import NetworkConfig, NetworkName, build_network, norms_of
from minicube.scans import NETWORK_SCHEME, Sequence
from minicube.volumes import Intensities

WIDTHS = (4, 8)


def write_small_model(folder: Path, seed: int, *, worn: bool = False) -> Path:
    """Write a model that needs no training; a worn one has BatchNorm as training leaves it."""
    folder.mkdir(parents=True)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build_network(NetworkConfig(NetworkName.UNET3D, WIDTHS))
        for name, value in norms_of(network).items() if worn else ():
            positive = name.endswith((".weight", "running_var"))
            value.data.uniform_(*((0.2, 0.8) if positive else (-0.2, 0.2)))
    *_, (_, bias) = network.named_parameters()
    torch.nn.init.zeros_(bias)  # else one class is found everywhere
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, folder / WEIGHTS)
    t1n, t1c, t2w, t2f = (sequence.value for sequence in Sequence)
    description = ModelDescription.model_validate(
        {
            "name": f"by lot {seed}",
            "network": NetworkName.UNET3D.value,
            "widths": WIDTHS,
            "sequences": (t1n, t1c, t2w, t2f),
            "spacing": 1.0,
            "normalisation": Intensities.Z_SCORE,
            "scheme": NETWORK_SCHEME.value,
            "trained_on": "nothing",
            "licence": "Apache-2.0",
            "minicube": "0",
            "steps": 0,
            "sha256": checksum(folder / WEIGHTS),
        }
    )
    write_text(folder / DESCRIPTION, description.model_dump_json())
    return folder
