"""Slices of a case as pictures, as radiologists look at them.

The viewer stands at the patient's feet, or before the face: the patient's right is on the left
of axial and coronal pictures. In sagittal ones the face looks to the left. Pixels are square
whatever the voxels are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from minicube.reporting.colours import COLOURS
from minicube.scans import Case, LabelMap, Region, Sequence

__all__ = [
    "PLANES",
    "Panel",
    "View",
    "contact_sheet",
    "font_of",
    "mark_sides",
    "most_telling",
    "on_screen",
    "outline_of",
    "overlay",
    "render_planes",
    "view_of",
    "write",
]

Scalar = TypeVar("Scalar", bound=np.generic)

PLANES: Final = ("sagittal", "coronal", "axial")
_STARTS: Final = ("the left", "the back", "below")
_SIDES: Final = (("A", "P"), ("R", "L"), ("R", "L"))
_AXIAL: Final = 2
_LONGEST: Final = 360
_MARGIN_MM: Final = 4.0
_FILL: Final = 0.35
_TILE: Final = 240
_GAP: Final = 4
_HEADING: Final = 26


@dataclass(frozen=True, eq=False)
class Panel:
    """One picture.

    Args:
        plane: ``axial``, ``coronal`` or ``sagittal``.
        position: Where the slice is, in words.
        image: Grey, or RGB with an overlay.
    """

    plane: str
    position: str
    image: Image.Image


@dataclass(frozen=True, eq=False)
class View:
    """Which slices of a case are shown, and how large.

    Args:
        slices: Voxel index along x, y, z of the RAS+ grid.
        box: First and last voxel shown along x, y, z.
        pixel_mm: Side of a pixel, mm.
    """

    slices: tuple[int, int, int]
    box: tuple[slice, slice, slice]
    pixel_mm: float


def view_of(case: Case, labels: LabelMap | None, *, longest: int = _LONGEST) -> View:
    """Choose the slices with most tumour, or most brain where there is no tumour.

    Args:
        case: In RAS+.
        labels: On the case's grid.
        longest: Pixels of the longest side of the brain's box.
    """
    tumour = None if labels is None else labels.region(Region.WT)
    shown = case.brain if tumour is None or not tumour.any() else tumour
    x, y, z = (int(np.argmax(_voxels_along(shown, axis))) for axis in range(3))
    box = tuple(_extent(case.brain, axis, case.spacing[axis]) for axis in range(3))
    sizes = [(part.stop - part.start) * mm for part, mm in zip(box, case.spacing, strict=True)]
    return View((x, y, z), (box[0], box[1], box[2]), max(sizes) / longest)


def most_telling(case: Case) -> list[Sequence]:
    """Return the sequences that are there, those that show most of a tumour first."""
    order = (Sequence.T2F, Sequence.T1C, Sequence.T2W, Sequence.T1N)
    return [sequence for sequence in order if sequence in case.images]


def render_planes(
    case: Case,
    labels: LabelMap | None,
    *,
    sequence: Sequence | None = None,
    view: View | None = None,
) -> list[Panel]:
    """Draw the axial, coronal and sagittal slice at the tumour's largest extent.

    Args:
        case: In RAS+.
        labels: On the case's grid, drawn over the scan; None shows the scan alone.
        sequence: Which one to show; by default the first of :func:`most_telling`.
        view: From :func:`view_of`, to show the same slices with and without labels.

    Returns:
        Three panels, axial, coronal, sagittal.
    """
    view = view or view_of(case, labels)
    sequence = sequence or most_telling(case)[0]
    window = _window(case, sequence)
    return [
        _panel(case, labels, sequence=sequence, axis=axis, view=view, window=window)
        for axis in (2, 1, 0)
    ]


def contact_sheet(cases: Iterable[tuple[Case, LabelMap | None]]) -> Image.Image:
    """Draw a row for each case: the four sequences, and FLAIR with labels, in axial slices.

    Args:
        cases: Complete cases, and labels on their grids; taken one at a time.

    Returns:
        An RGB picture with square tiles of 240 pixels; one scale within a row.
    """
    rows = [(case.identity, _row(case, labels)) for case, labels in cases]
    step = _TILE + _GAP
    columns = [*(s.label for s in Sequence), "labels on FLAIR"]
    sheet = Image.new("RGB", (step * len(columns) + _GAP, step * len(rows) + _HEADING), "black")
    draw = ImageDraw.Draw(sheet)
    for column, heading in enumerate(columns):
        draw.text((_GAP + column * step + _TILE / 2, 5), heading, "white", font_of(14), anchor="ma")
    for row, (identity, tiles) in enumerate(rows):
        top = _HEADING + row * step
        for column, tile in enumerate(tiles):
            sheet.paste(tile, (_GAP + column * step, top))
        write(draw, (_GAP + 4, top + _TILE - 5), identity, 12, "ls")
    return sheet


def _row(case: Case, labels: LabelMap | None) -> list[Image.Image]:
    view = view_of(case, labels, longest=_TILE)
    shown = [(sequence, None) for sequence in Sequence] + [(Sequence.T2F, labels)]
    tiles = []
    for sequence, over in shown:
        window = _window(case, sequence)
        panel = _panel(case, over, sequence=sequence, axis=_AXIAL, view=view, window=window)
        tile = Image.new("RGB", (_TILE, _TILE), "black")
        width, height = panel.image.size
        tile.paste(panel.image, ((_TILE - width) // 2, (_TILE - height) // 2))
        tiles.append(tile)
    return tiles


def _panel(
    case: Case,
    labels: LabelMap | None,
    *,
    sequence: Sequence,
    axis: int,
    view: View,
    window: tuple[float, float],
) -> Panel:
    plane = [mm for i, mm in enumerate(case.spacing) if i != axis]
    brain = on_screen(case.brain, axis, view)
    grey = np.where(brain, on_screen(case.images[sequence], axis, view), window[0])
    size = (
        max(1, round(grey.shape[1] * plane[0] / view.pixel_mm)),
        max(1, round(grey.shape[0] * plane[1] / view.pixel_mm)),
    )
    low, high = window
    scaled = ((grey - low) * (255 / (high - low))).clip(0, 255).astype(np.float32)
    smooth = np.asarray(Image.fromarray(scaled).resize(size, Image.Resampling.BICUBIC))
    image = Image.fromarray(smooth.clip(0, 255).round().astype(np.uint8))
    if labels is not None:
        small = Image.fromarray(np.ascontiguousarray(on_screen(labels.array, axis, view)))
        codes = np.asarray(small.resize(size, Image.Resampling.NEAREST))
        image = overlay(image, LabelMap(codes, labels.scheme))
    mark_sides(image, axis)
    return Panel(PLANES[axis], _position(case, axis, view), image)


def on_screen(volume: NDArray[Scalar], axis: int, view: View) -> NDArray[Scalar]:
    """The slice as rows from the top and columns from the left of the screen."""
    index: list[int | slice] = list(view.box)
    index[axis] = view.slices[axis]
    # Superior or anterior on top; the patient's right, or front, on the left.
    return volume[tuple(index)].T[::-1, ::-1]


def overlay(grey: Image.Image, labels: LabelMap) -> Image.Image:
    """Tint each tissue and draw its outline, so that the scan stays readable beneath.

    Args:
        grey: The scan.
        labels: ``(row, column)`` of the same size.
    """
    picture = np.asarray(grey.convert("RGB")).astype(np.float32)
    outline = outline_of(labels.array)
    for tissue in labels.scheme.tissues.values():
        mask = labels.tissue(tissue)
        colour = np.array(COLOURS[tissue], np.float32)
        picture[mask] += _FILL * (colour - picture[mask])
        picture[mask & outline] = colour
    return Image.fromarray(picture.round().astype(np.uint8))


def outline_of(codes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels with a neighbour of another tissue, on the side of the tissue itself."""
    padded = np.pad(codes, 1, mode="edge")
    middle = padded[1:-1, 1:-1]
    neighbours = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    outline: NDArray[np.bool_] = np.logical_or.reduce([middle != other for other in neighbours])
    return outline


def mark_sides(image: Image.Image, axis: int) -> None:
    """Write on a slice across an axis which of the patient's sides is where."""
    sides = _SIDES[axis]
    draw = ImageDraw.Draw(image)
    width, height = image.size
    write(draw, (5, height / 2), sides[0], 15, "lm")
    write(draw, (width - 5, height / 2), sides[1], 15, "rm")


def write(
    draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, size: int, anchor: str
) -> None:
    """Write in white with a black rim, to be read on any scan."""
    font = font_of(size)
    draw.text(at, text, "white", font, anchor=anchor, stroke_width=2, stroke_fill="black")


def _window(case: Case, sequence: Sequence) -> tuple[float, float]:
    """Intensities shown as black and white: 0.5 and 99.5 percentile inside the brain."""
    inside = case.images[sequence][case.brain]
    if inside.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(inside, (0.5, 99.5)).tolist()
    return low, (high if high > low else low + 1)


def _position(case: Case, axis: int, view: View) -> str:
    return f"slice {view.slices[axis] + 1} of {case.shape[axis]} from {_STARTS[axis]}"


def _extent(brain: NDArray[np.bool_], axis: int, spacing: float) -> slice:
    """Voxels along an axis that hold brain, and a margin."""
    held = np.flatnonzero(_voxels_along(brain, axis))
    size = brain.shape[axis]
    if held.size == 0:
        return slice(0, size)
    margin = max(1, round(_MARGIN_MM / spacing))
    return slice(max(0, int(held[0]) - margin), min(size, int(held[-1]) + 1 + margin))


def _voxels_along(mask: NDArray[np.bool_], axis: int) -> NDArray[np.int64]:
    """True voxels of each slice across an axis."""
    others = tuple(i for i in range(3) if i != axis)
    voxels: NDArray[np.int64] = np.count_nonzero(mask, axis=others)
    return voxels


def font_of(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, in pixels."""
    return ImageFont.load_default(size)
