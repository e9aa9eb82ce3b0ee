"""Networks and the partition, drawn: what stands in the drawing is what ran."""

from __future__ import annotations

import itertools
import re
import runpy
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicube import InputError
from minicube.networks import NetworkConfig, NetworkName, build_network
from minicube.networks.trace import Layer, LayerKind, trace
from minicube.reporting import draw_network, draw_partition
from minicube.volumes import REPORT_MINICUBE, REPORT_REGION, partition

ROOT = Path(__file__).parents[1]
SVG = "{http://www.w3.org/2000/svg}"
WIDTHS = {
    NetworkName.SEGNET: (32, 32),
    NetworkName.UNET2D: (8, 16, 32),
    NetworkName.UNET3D_CONTEXT: (64, 128, 256),
    NetworkName.VNET: (8, 16, 32, 64),
}
SKIPS = {NetworkName.SEGNET: 0, NetworkName.UNET2D: 2, NetworkName.UNET3D_CONTEXT: 2}


class Drawing:
    """What a drawing holds, and where."""

    def __init__(self, svg: str) -> None:
        root = ElementTree.fromstring(svg)
        self.width, self.height = map(float, root.attrib["viewBox"].split()[2:])
        title = root.find(f"{SVG}title")
        assert title is not None
        self.title = title.text
        self.rectangles = [r for r in root.iter(f"{SVG}rect") if r.get("class") != "paper"]
        self.boxes = [r for r in self.rectangles if r.get("class") != "copy"]
        self.texts = [
            (t.text or "", float(t.attrib["x"]), float(t.attrib["y"]), t.get("text-anchor"))
            for t in root.iter(f"{SVG}text")
        ]
        self.arrows = list(root.iter(f"{SVG}path"))
        self.polygons = list(root.iter(f"{SVG}polygon"))

    def words(self) -> list[str]:
        return [text for text, *_ in self.texts]


def drawn(name: NetworkName) -> tuple[list[Layer], Drawing]:
    config = NetworkConfig(name, WIDTHS.get(name, (16, 32, 64, 96)))
    margin = build_network(config).margin
    layers = trace(config, REPORT_MINICUBE)
    x, y, z = (n + 2 * margin for n in REPORT_MINICUBE)
    return layers, Drawing(draw_network(layers, str(name), input_shape=(x, y, z)))


@pytest.mark.parametrize("name", NetworkName)
def test_every_layer_of_every_network_is_drawn_with_its_numbers(name: NetworkName) -> None:
    layers, drawing = drawn(name)
    assert drawing.title == name
    assert len(drawing.boxes) == len(layers) + 1
    copies = len(drawing.rectangles) - len(drawing.boxes)
    assert copies == SKIPS.get(name, 3)
    for layer, box in zip(layers, drawing.boxes[1:], strict=True):
        title = box.find(f"{SVG}title")
        assert title is not None
        assert title.text is not None
        assert title.text.startswith(f"{layer.name}: ")
        assert f"{layer.channels_in} to {layer.channels} channels" in title.text
        shape = layer.shape if layer.shape[2] > 1 else layer.shape[:2]
        assert " × ".join(map(str, shape)) in drawing.words()
    # An arrow for each layer, for each skip, and for each entry of the legend.
    kinds = {(layer.kind, layer.kernel, layer.stride) for layer in layers}
    corners = sum(1 for a in drawing.arrows if a.attrib["d"].count("M") == 1)
    legend = len(kinds) + (copies > 0)
    assert len(drawing.arrows) - corners == len(layers) + copies + legend


@pytest.mark.parametrize("name", NetworkName)
def test_nothing_leaves_the_paper_and_no_box_covers_another(name: NetworkName) -> None:
    _, drawing = drawn(name)
    frames = []
    for r in drawing.rectangles:
        x, y, w, h = (float(r.attrib[key]) for key in ("x", "y", "width", "height"))
        assert x >= 0
        assert y >= 0
        assert x + w <= drawing.width
        assert y + h <= drawing.height
        frames.append((x, y, x + w, y + h))
    for (a, b, c, d), (e, f, g, h) in itertools.combinations(frames, 2):
        apart = c <= e + 0.2 or g <= a + 0.2 or d <= f or h <= b
        assert apart, "two boxes overlap"
    for text, x, y, anchor in drawing.texts:
        half = len(text) * 3.1
        left, right = (x - half, x + half) if anchor == "middle" else (x, x + 2 * half)
        assert left >= 0, text
        assert right <= drawing.width + 2, text
        assert 0 < y < drawing.height, text


def test_the_unets_are_a_u_and_the_exploratory_network_is_a_row() -> None:
    for name, rows in ((NetworkName.SEGNET, 1), (NetworkName.UNET2D, 3), (NetworkName.VNET, 4)):
        _, drawing = drawn(name)
        middles = [float(r.attrib["y"]) + float(r.attrib["height"]) / 2 for r in drawing.boxes]
        assert len({round(m) for m in middles}) == rows
        assert middles[0] == pytest.approx(middles[-1], abs=0.2)
        deepest = middles.index(max(middles))
        assert middles[: deepest + 1] == sorted(middles[: deepest + 1])
        assert middles[deepest:] == sorted(middles[deepest:], reverse=True)


def test_figure_3_has_the_report_s_sizes_and_says_what_is_cropped() -> None:
    _, drawing = drawn(NetworkName.UNET3D_CONTEXT)
    for size in ("116 × 116 × 100", "114 × 114 × 98", "112 × 112 × 96", "56 × 56 × 48"):
        assert size in drawing.words()
    assert "cropped to 96 × 96 × 80" in drawing.words()
    assert "cropped to 48 × 48 × 40" in drawing.words()
    assert "128 + 128" in drawing.words()
    _, same = drawn(NetworkName.UNET3D)
    assert not any(word.startswith("cropped") for word in same.words())


def test_of_a_network_that_runs_thrice_one_run_is_drawn() -> None:
    shape = (32, 32, 32)
    one = trace(NetworkConfig(NetworkName.UNET2D, (4, 8), triplanar=False), shape)
    three = trace(NetworkConfig(NetworkName.UNET2D, (4, 8), triplanar=True), shape)
    assert len(three) == 3 * len(one)
    assert draw_network(three, "x") == draw_network(one, "x")


def test_no_layers_are_refused_and_titles_escaped() -> None:
    with pytest.raises(InputError, match="without layers"):
        draw_network([], "nothing")
    layer = Layer(LayerKind.CONVOLUTION, "a<b", 3, 1, 4, 8, (16, 16, 16))
    nasty = '<script>"&'
    drawing = Drawing(draw_network([layer], nasty))
    assert drawing.title == nasty
    assert nasty in drawing.words()


@given(
    widths=st.lists(st.integers(1, 512), min_size=1, max_size=5),
    size=st.integers(1, 8),
    given_input=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_any_chain_of_layers_is_drawn(widths: list[int], size: int, given_input: bool) -> None:
    """Down all the way, then up; a layer more than there are levels does no harm."""
    layers, channels, extent = [], 4, size * 2 ** len(widths)
    for i, width in enumerate(widths):
        extent //= 2
        shape = (extent, extent, extent)
        layers.append(Layer(LayerKind.CONVOLUTION, f"d{i}", 3, 2, channels, width, shape))
        channels = width
    for i in range(len(widths)):
        extent *= 2
        shape = (extent, extent, extent)
        layers.append(Layer(LayerKind.TRANSPOSED, f"u{i}", 2, 2, channels, 4, shape))
        channels = 4
    entering = (extent, extent, extent) if given_input else None
    drawing = Drawing(draw_network(layers, "chain", input_shape=entering))
    assert len(drawing.boxes) == len(layers) + given_input
    assert drawing.words().count("4") >= len(widths)


def test_colours_follow_light_and_dark_and_nothing_is_fetched() -> None:
    for svg in (
        draw_network(trace(NetworkConfig(NetworkName.UNET3D), (96, 96, 80)), "x"),
        draw_partition(REPORT_REGION, REPORT_MINICUBE, 20),
    ):
        assert "@media (prefers-color-scheme:dark)" in svg
        assert not re.search(r"url\(|href|<script|@import", svg)
        light, dark = re.findall(r"\.drawing\{(--[^}]*)\}", svg)
        names = [re.findall(r"--(\w+):", theme) for theme in (light, dark)]
        assert names[0] == names[1]
        assert set(re.findall(r"var\(--(\w+)\)", svg)) <= set(names[0])


def test_figure_2_has_the_numbers_of_the_partition() -> None:
    drawing = Drawing(draw_partition(REPORT_REGION, REPORT_MINICUBE, 20))
    parts = partition(REPORT_REGION, REPORT_MINICUBE, context=20)
    words = drawing.words()
    assert f"{len(parts)} minicubes" in words
    for size in ("240 × 240 × 155", "192 × 192 × 160", "96 × 96 × 80", "116 × 116 × 100"):
        assert f"{size} voxels" in words
    more = 116 * 116 * 100 / (96 * 96 * 80)
    assert f"10 on each side, {more:.2f} times the voxels" in words
    assert "36 % of the scan left out, 5 padded along z" in words
    # Three faces on paper for the scan, the region, each part, and the part with context.
    faces = [p for p in drawing.polygons if "edge" in (p.get("class") or "")]
    assert len(faces) == 3 * (1 + 1 + len(parts) + 1)
    for p in drawing.polygons:
        for pair in p.attrib["points"].split():
            x, y = map(float, pair.split(","))
            assert 0 <= x <= drawing.width
            assert 0 <= y <= drawing.height


def test_a_partition_of_too_many_parts_is_not_drawn() -> None:
    with pytest.raises(InputError, match="at most 64"):
        draw_partition((192, 192, 160), (16, 16, 16), 0)
    with pytest.raises(InputError, match="even"):
        draw_partition(REPORT_REGION, REPORT_MINICUBE, 7)


def test_the_page_on_networks_is_what_the_code_says() -> None:
    made = runpy.run_path(str(ROOT / "scripts" / "make_network_figures.py"))
    for name, content in made["contents"]().items():
        kept = (ROOT / "docs" / name).read_text(encoding="utf-8")
        assert kept == content, f"docs/{name} is old: python scripts/make_network_figures.py docs"
