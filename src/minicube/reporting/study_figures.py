"""Pictures of a study: its crop, its predictions side by side, and a sweep through the slices.

Arrays are RAS+; pictures are as radiologists look at them, the patient's right on the left.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from minicube._errors import InputError
from minicube._files import replacing
from minicube.evaluation import evaluate_case
from minicube.reporting.colours import COLOURS
from minicube.reporting.planes import font_of, overlay, render_planes, view_of, write
from minicube.scans import NETWORK_SCHEME, Case, LabelMap, LabelScheme
from minicube.scans import Sequence as MriSequence

__all__ = [
    "COMPOSITE",
    "PREDICTIONS",
    "SWEEP",
    "PredictionRow",
    "composite_picture",
    "prediction_sheet",
    "sweep",
]

COMPOSITE: Final = "composite"
"""What the file of Figure 1 is called, or begins with, in a study's ``pictures``."""

PREDICTIONS: Final = "predictions"
"""What files of Figure 6 begin with."""

SWEEP: Final = "sweep"
"""What files of animations begin with."""

_TILE: Final = 200
_GAP: Final = 4
_HEADING: Final = 44
_LEGEND: Final = 30
_LETTERS: Final = 14
_PIXELS: Final = 2
_CROP: Final = (240, 137, 74)
_MOST_BYTES: Final = 700 * 1024
_FRAMES: Final = 40
_MILLISECONDS: Final = 120
# Side of a tile, and quality (WebP) or colours (GIF), tried until the file is small enough.
_TRIES: Final = ((200, 70), (200, 45), (160, 45), (160, 25), (128, 25), (96, 15))


@dataclass(frozen=True, eq=False)
class PredictionRow:
    """One case of Figure 6.

    Args:
        case: In RAS+, with its reference where it has one.
        predictions: Each system's name to its labels on the case's grid.
    """

    case: Case
    predictions: Mapping[str, LabelMap]


def composite_picture(
    before: NDArray[Any], after: NDArray[Any], *, start: tuple[int, int] | None = None
) -> Image.Image:
    """Draw the training heads laid over each other, before and after the crop (Figure 1).

    Args:
        before: ``(x, y)``, an axial composite: brighter where more heads are.
        after: ``(x, y)``, what the crop leaves of it.
        start: Voxel of ``before`` where ``after`` begins. By default it is looked for; where
            nothing agrees, no outline is drawn.

    Returns:
        Two panels of one scale, the crop outlined in the first.
    """
    start = start or _found(before, after)
    top = max(float(before.max(initial=0)), float(after.max(initial=0))) or 1.0
    panels = [_grey(array, top) for array in (before, after)]
    height = max(panel.height for panel in panels)
    width = sum(panel.width for panel in panels) + 3 * _GAP
    sheet = Image.new("RGB", (width, height + _HEADING // 2 + 2 * _GAP), "black")
    draw = ImageDraw.Draw(sheet)
    left, top_edge = _GAP, _HEADING // 2 + _GAP
    for panel, words, array in zip(panels, ("before", "after"), (before, after), strict=True):
        sheet.paste(panel, (left, top_edge))
        size = " by ".join(map(str, array.shape))  # the font lacks ×
        draw.text((left + 4, 6), f"{words} the crop, {size} voxels", "white", font_of(_LETTERS))
        left += panel.width + _GAP
    if start is not None:
        draw.rectangle(_outline(before, after, start, top_edge), outline=_CROP, width=2)
    return sheet


def _grey(array: NDArray[Any], top: float) -> Image.Image:
    shown = (array.T[::-1, ::-1].astype(np.float64) * (255 / top)).clip(0, 255)
    image = Image.fromarray(shown.round().astype(np.uint8)).convert("RGB")
    size = (image.width * _PIXELS, image.height * _PIXELS)
    return image.resize(size, Image.Resampling.NEAREST)


def _found(before: NDArray[Any], after: NDArray[Any]) -> tuple[int, int] | None:
    """Where ``after`` was cut from ``before``."""
    spare = [big - small for big, small in zip(before.shape, after.shape, strict=True)]
    if min(spare) < 0:
        return None
    wide, tall = after.shape
    for x in range(spare[0] + 1):
        for y in range(spare[1] + 1):
            if np.array_equal(before[x : x + wide, y : y + tall], after):
                return x, y
    return None


def _outline(
    before: NDArray[Any], after: NDArray[Any], start: tuple[int, int], top: int
) -> tuple[int, int, int, int]:
    """Pixels of the crop in the first panel: left, top, right, bottom."""
    last = [at + size for at, size in zip(start, after.shape, strict=True)]
    left, upper = before.shape[0] - last[0], before.shape[1] - last[1]
    right, lower = before.shape[0] - start[0], before.shape[1] - start[1]
    return (
        _GAP + left * _PIXELS,
        top + upper * _PIXELS,
        _GAP + right * _PIXELS - 1,
        top + lower * _PIXELS - 1,
    )


def prediction_sheet(rows: Sequence[PredictionRow]) -> Image.Image:
    """Draw cases as rows: T1 with contrast, FLAIR, the reference, and every prediction (Figure 6).

    Args:
        rows: The axial slice with most tumour in the reference is shown. Columns are all names
            in the order they are met; a row without one leaves it black.

    Returns:
        An RGB picture with square tiles of 200 pixels, Dice of the regions on each prediction,
        and the tissues' colours below.

    Raises:
        InputError: There are no rows.
    """
    if not rows:
        raise InputError("A sheet of predictions needs at least one case.")
    systems = list(dict.fromkeys(name for row in rows for name in row.predictions))
    columns = [MriSequence.T1C.label, MriSequence.T2F.label, "reference", *systems]
    step = _TILE + _GAP
    height = _HEADING + step * len(rows) + _LEGEND
    sheet = Image.new("RGB", (step * len(columns) + _GAP, height), "black")
    draw = ImageDraw.Draw(sheet)
    for column, name in enumerate(columns):
        _head(draw, column * step + _GAP, name, _TILE)
    for number, row in enumerate(rows):
        top = _HEADING + number * step
        for column, tile in enumerate(_tiles(row, systems)):
            if tile is not None:
                sheet.paste(tile, (_GAP + column * step, top))
        write(draw, (_GAP + 4, top + _TILE - 5), row.case.identity, 12, "ls")
    scheme = next((m.scheme for row in rows for m in row.predictions.values()), NETWORK_SCHEME)
    _tissues(draw, height - _LEGEND + 8, scheme)
    return sheet


def _tiles(row: PredictionRow, systems: Sequence[str]) -> list[Image.Image | None]:
    case, reference = row.case, row.case.reference
    view = view_of(case, reference, longest=_TILE)

    def tile(labels: LabelMap | None, sequence: MriSequence) -> Image.Image:
        panel = render_planes(case, labels, sequence=sequence, view=view)[0]
        return _square(panel.image, _TILE)

    tiles: list[Image.Image | None] = [tile(None, MriSequence.T1C), tile(None, MriSequence.T2F)]
    tiles.append(None if reference is None else tile(reference, MriSequence.T2F))
    for name in systems:
        found = row.predictions.get(name)
        if found is None:
            tiles.append(None)
            continue
        drawn = tile(found, MriSequence.T2F)
        if reference is not None:
            words = _dice(found, reference, case.identity)
            write(ImageDraw.Draw(drawn), (_TILE / 2, _TILE - 4), words, 11, "ms")
        tiles.append(drawn)
    return tiles


def _dice(found: LabelMap, reference: LabelMap, identity: str) -> str:
    scores = evaluate_case(found, reference, identity=identity).regions
    return "  ".join(
        f"{region} {'–' if score.dice is None else f'{score.dice:.2f}'}"
        for region, score in scores.items()
    )


def _square(image: Image.Image, side: int) -> Image.Image:
    tile = Image.new("RGB", (side, side), "black")
    tile.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return tile


def _head(draw: ImageDraw.ImageDraw, left: int, name: str, width: int) -> None:
    """A column's name in at most two lines."""
    lines = textwrap.wrap(name, max(8, int(width / (0.56 * _LETTERS))), max_lines=2)
    middle, text = (left + width / 2, _HEADING / 2), "\n".join(lines)
    draw.text(middle, text, "white", font_of(_LETTERS), anchor="mm", align="center")


def _tissues(draw: ImageDraw.ImageDraw, top: int, scheme: LabelScheme) -> None:
    left = float(_GAP + 4)
    for tissue in scheme.tissues.values():
        draw.rectangle((left, top, left + 12, top + 12), fill=COLOURS[tissue])
        draw.text((left + 18, top + 6), tissue.value, "white", font_of(_LETTERS - 2), anchor="lm")
        left += 18 + draw.textlength(tissue.value, font_of(_LETTERS - 2)) + 24


def sweep(
    flair: NDArray[Any],
    columns: Mapping[str, LabelMap],
    path: Path,
    *,
    most_bytes: int = _MOST_BYTES,
) -> None:
    """Write an animation that goes up through the axial slices, labels over FLAIR.

    Args:
        flair: ``(x, y, z)``, 0 outside the brain, voxels as wide as deep.
        columns: Heading to labels on the same grid; FLAIR alone comes first.
        path: A ``.webp`` or ``.gif`` file.
        most_bytes: Tiles become smaller and coarser until the file holds no more.

    Raises:
        InputError: Another ending, labels on another grid, or no way to be that small.
    """
    if path.suffix not in (".webp", ".gif"):
        raise InputError(
            f"{path} is not an animation.", expected=".webp or .gif", found=path.suffix
        )
    for name, labels in columns.items():
        if labels.array.shape != flair.shape:
            raise InputError(
                f"The labels of {name} are on another grid than the scan.",
                expected=f"{flair.shape}",
                found=f"{labels.array.shape}",
            )
    for side, quality in _TRIES:
        content = _animation(_frames(flair, columns, side), path.suffix, quality)
        if len(content) <= most_bytes:
            with replacing(path) as temporary:
                temporary.write_bytes(content)
            return
    raise InputError(
        f"{path} cannot be made small enough.",
        expected=f"at most {most_bytes:,} bytes",
        found=f"{len(content):,}",
        hint="sweep fewer columns",
    )


def _frames(flair: NDArray[Any], columns: Mapping[str, LabelMap], side: int) -> list[Image.Image]:
    """Slices that hold brain, evenly spaced."""
    held = flair != 0
    x, y, z = (_extent(held.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1)))
    top = float(np.percentile(flair[held], 99.5)) if held.any() else 1.0
    count = min(_FRAMES, z.stop - z.start)
    frames = []
    for k in np.linspace(z.start, z.stop - 1, count).round().astype(int).tolist():
        grey = _slice_of(flair[x, y, k] * (255 / max(top, 1e-9)), side, Image.Resampling.BICUBIC)
        tiles = {"FLAIR": grey.convert("RGB")}
        for name, labels in columns.items():
            codes = _slice_of(labels.array[x, y, k], side, Image.Resampling.NEAREST)
            tiles[name] = overlay(grey, LabelMap(np.asarray(codes), labels.scheme))
        frames.append(_strip(tiles, side, f"slice {k + 1} of {flair.shape[2]} from below"))
    return frames


def _slice_of(plane: NDArray[Any], side: int, resampling: Image.Resampling) -> Image.Image:
    image = Image.fromarray(np.ascontiguousarray(plane.T[::-1, ::-1]).clip(0, 255).astype(np.uint8))
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, resampling)


def _strip(tiles: Mapping[str, Image.Image], side: int, words: str) -> Image.Image:
    """Tiles in a row under their names."""
    step = side + _GAP
    frame = Image.new("RGB", (step * len(tiles) + _GAP, side + _HEADING), "black")
    draw = ImageDraw.Draw(frame)
    for column, (name, tile) in enumerate(tiles.items()):
        left = _GAP + column * step
        frame.paste(_square(tile, side), (left, _HEADING))
        _head(draw, left, name, side)
    write(draw, (_GAP + 4, frame.height - 5), words, 11, "ls")
    return frame


def _extent(line: NDArray[np.bool_]) -> slice:
    held = np.flatnonzero(line)
    return slice(int(held[0]), int(held[-1]) + 1) if held.size else slice(0, len(line))


def _animation(frames: Sequence[Image.Image], suffix: str, quality: int) -> bytes:
    content = io.BytesIO()
    first, *rest = frames if suffix == ".webp" else [f.quantize(quality) for f in frames]
    how: dict[str, Any] = {"quality": quality, "method": 4} if suffix == ".webp" else {}
    first.save(
        content,
        suffix[1:].upper(),
        save_all=True,
        append_images=rest,
        duration=_MILLISECONDS,
        loop=0,
        **how,
    )
    return content.getvalue()
