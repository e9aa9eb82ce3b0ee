"""Make docs/networks.md and its drawings anew, from the code and the presets.

python scripts/make_network_figures.py docs
"""

from __future__ import annotations

import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import torch

from minicube.networks import Network, NetworkName, Normalisation, build_network
from minicube.networks.trace import trace
from minicube.reporting import draw_network, draw_partition
from minicube.training.config import TrainingConfig, preset_names
from minicube.volumes import REPORT_MINICUBE, REPORT_REGION, Shape

SLICE: Shape = (*REPORT_REGION[:2], 1)

COLUMNS = 118

INTRODUCTION = """# Networks

The networks of the executive report, the V-Net that it discusses, and the package's own. Every
drawing and every number on this page is made from the code by `scripts/make_network_figures.py`:
sizes are those of the tensors that run through, widths those of the presets in
`src/minicube/training/presets/`. Sizes are x × y × z (the report prints z, y, x).

![From a scan to minicubes with context](network-partition.svg)

The report's Figure 2: a scan is cropped, cut into minicubes, and in the variant with context each
minicube is given the voxels around it.
"""

MEANINGS = """
Parameters are trainable numbers. The *receptive field* is what an output voxel sees at the most;
the *halo* is the context on each side that makes a part of a volume, cut at multiples of the
*stride*, come out as if the whole had been run. All in voxels along x, y, z.
"""


@dataclass(frozen=True)
class Words:
    """What the code does not say of a network."""

    title: str
    paper: str
    remark: str


WORDS = {
    NetworkName.SEGNET: Words(
        "The exploratory CNN",
        "The report's §2.2.1: two strided convolutions and two transposed ones, without padding "
        "and without skips.",
        "Three zeros around the input and off the output make sizes agree: the drawing ends with "
        "the tensor before that cut.",
    ),
    NetworkName.UNET2D: Words(
        "2D U-Net",
        "Buda, Saha and Mazurowski, *Computers in Biology and Medicine* 109 (2019), "
        "arXiv:1906.03720; the report's §2.2.2.",
        "Slices go through one by one: it sees nothing of its neighbours along z. Tri-planar use "
        "averages axial, coronal and sagittal slices of the same network.",
    ),
    NetworkName.UNET3D_REPORT: Words(
        "3D U-Net without context",
        "The report's §2.2.3, after Çiçek et al., MICCAI 2016, arXiv:1606.06650.",
        "Minicubes are predicted one by one and put together; the halo is far more than the "
        "nothing they are given.",
    ),
    NetworkName.UNET3D_CONTEXT: Words(
        "3D U-Net with context",
        "The report's §2.2.3 and its Figure 3, after Çiçek et al., MICCAI 2016, arXiv:1606.06650.",
        "Convolutions without padding use the context up on the way down, and skips are cropped "
        "from the centre. The halo exceeds the ten voxels that are given: seams become fainter "
        "and cannot vanish.",
    ),
    NetworkName.VNET: Words(
        "V-Net",
        "Milletari, Navab and Ahmadi, 3DV 2016, arXiv:1606.04797; the report names it in §1.1 and "
        "did not run it.",
        "Strided convolutions halve instead of pooling. What enters a stage is added to what "
        "leaves it; additions are not drawn.",
    ),
    NetworkName.UNET3D_FAST: Words(
        "3D U-Net at half the resolution",
        "Çiçek et al., MICCAI 2016, arXiv:1606.06650; giving large what was computed small as in "
        "Shi et al., CVPR 2016, arXiv:1609.05158.",
        "Images are taken in by convolutions of 2³ with stride 2; a transposed convolution gives "
        "the logits. The drawing's last arrow is a convolution of one voxel on the images, whose "
        "result is added to them. Not one of the report's.",
    ),
    NetworkName.UNET3D: Words(
        "3D U-Net of the package",
        "Çiçek, Abdulkadir, Lienkamp, Brox and Ronneberger, MICCAI 2016, arXiv:1606.06650, with "
        "padding and BatchNorm.",
        "Predicts whole volumes; not one of the report's.",
    ),
}


def main() -> None:
    """Write the page and one drawing for each network, and one for the partition."""
    folder = Path(sys.argv[1])
    for name, content in contents().items():
        (folder / name).write_text(content, encoding="utf-8", newline="\n")


def contents() -> dict[str, str]:
    """Return every file's name and content."""
    configs = {name: config_of(name) for name in NetworkName}
    rows = [row(name, config) for name, config in both(configs).items()]
    heads = ("| preset | widths | normalisation | parameters | receptive field | halo | stride |",)
    table = "\n".join((*heads, "| --- | --- | --- | --: | --: | --: | --: |", *rows))
    sections = [section(name, config) for name, config in configs.items()]
    page = "\n".join((INTRODUCTION, table, MEANINGS, *sections))
    context = config_of(NetworkName.UNET3D_CONTEXT).context
    files = {f"network-{name}.svg": figure(name, config) for name, config in configs.items()}
    files["network-partition.svg"] = draw_partition(REPORT_REGION, REPORT_MINICUBE, context)
    return {**files, "networks.md": page.rstrip("\n") + "\n"}


def config_of(name: NetworkName) -> TrainingConfig:
    """Return a network's repaired preset, or the package's defaults where it has none."""
    return TrainingConfig.read(name) if name in preset_names() else TrainingConfig(network=name)


def both(configs: dict[NetworkName, TrainingConfig]) -> dict[str, TrainingConfig]:
    """Put each network's as-reported preset, where there is one, before the repaired one."""
    found: dict[str, TrainingConfig] = {}
    for name, config in configs.items():
        if f"{name}-as-reported" in preset_names():
            found[f"{name}-as-reported"] = TrainingConfig.read(f"{name}-as-reported")
        found[name] = config
    return found


def figure(name: NetworkName, config: TrainingConfig) -> str:
    """Draw a network at the report's sizes."""
    built = network(config)
    shape = SLICE if name is NetworkName.UNET2D else REPORT_MINICUBE
    x, y, z = (n + 2 * built.margin for n in shape)
    title = f"{name}: {widths(config)}"
    return draw_network(trace(config.network_config, shape), title, input_shape=(x, y, z))


def row(name: str, config: TrainingConfig) -> str:
    """Return a line of the table."""
    built = network(config)
    voxels = (built.receptive_field, built.halo, built.stride)
    kind = "–" if config.normalisation is Normalisation.NONE else str(config.normalisation)
    cells = (f"`{name}`", widths(config), kind, number(built.parameter_count), *map(sizes, voxels))
    return f"| {' | '.join(cells)} |"


def section(name: NetworkName, config: TrainingConfig) -> str:
    """Return heading, drawing and paragraph of a network."""
    words, built = WORDS[name], network(config)
    facts = (
        f"{number(built.parameter_count)} parameters at {widths(config)}; receptive field"
        f" {sizes(built.receptive_field)}, halo {sizes(built.halo)}."
    )
    drawing = f"![Layers of {name}](network-{name}.svg)"
    paragraph = textwrap.fill(f"{words.paper} {facts} {words.remark}", COLUMNS)
    return f"## {words.title}: `{name}`\n\n{drawing}\n\n{paragraph}\n"


def network(config: TrainingConfig) -> Network:
    """Build a network without weights."""
    with torch.device("meta"):
        return build_network(config.network_config)


def widths(config: TrainingConfig) -> str:
    """Channels of each level, top first."""
    return "-".join(map(str, config.widths))


def number(value: int) -> str:
    """Return thousands apart, never on two lines."""
    return f"{value:,}".replace(",", "\N{NO-BREAK SPACE}")


def sizes(voxels: tuple[int, int, int]) -> str:
    """Return one number where all axes share it."""
    return str(voxels[0]) if len(set(voxels)) == 1 else " × ".join(map(str, voxels))


if __name__ == "__main__":
    main()
