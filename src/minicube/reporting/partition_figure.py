"""How a scan is cut into minicubes (the report's Figure 2), drawn from its numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from minicube._errors import InputError
from minicube.reporting.svg import LINE, arrow, drawing, polygon, text, times
from minicube.volumes import Box, Minicube, Shape, partition

__all__ = ["draw_partition"]

_SCAN: Final[Shape] = (240, 240, 155)
_PANEL: Final = 268.0
_PANEL_HEIGHT: Final = 270.0
_TOP: Final = 48.0
_SCALE: Final = 0.46
_APART: Final = 0.22
_COS: Final = math.cos(math.pi / 6)
_SIN: Final = 0.5

Point = tuple[float, float]


def draw_partition(shape: Shape, minicube: Shape, context: int) -> str:
    """Draw a scan, the region cropped from it, its minicubes, and one of them with its context.

    Args:
        shape: Voxels of the cropped region along x, y, z; where larger than the scan, padded.
        minicube: Voxels of a part along x, y, z.
        context: Voxels a part is given beyond that along each axis, both sides together.

    Returns:
        An SVG file's content.

    Raises:
        InputError: Sizes that :func:`minicube.volumes.partition` refuses, or more than 64 parts.
    """
    parts = partition(shape, minicube, context=context)
    if len(parts) > 64:
        raise InputError(
            "A drawing of a partition holds at most 64 minicubes.", found=f"{len(parts)}"
        )
    whole = Box((0, 0, 0), _SCAN)
    region = _centred(shape, _SCAN)
    panels = (
        _panel("scan", _SCAN, "4 sequences", _solid(whole)),
        _panel("cropped", shape, _cropped(shape), [*_wires(whole, "ghost"), *_solid(region)]),
        _panel(f"{len(parts)} minicubes", minicube, "tile it without a gap", _exploded(parts)),
        _panel("with context", _size(parts[0].window), _given(parts[0], context), _windowed(parts)),
    )
    drawn = []
    for number, panel in enumerate(panels):
        left = 12 + number * _PANEL
        drawn.append(panel.at(left))
        if number:
            y = _TOP + _PANEL_HEIGHT / 2 - 16
            drawn.append(arrow((left - 14, y), (left + 14, y), "grey"))
    width = 24 + len(panels) * _PANEL
    title = f"From a scan to minicubes of {times(minicube)} voxels"
    return drawing(width, _TOP + _PANEL_HEIGHT + 3 * LINE, title, drawn)


@dataclass(frozen=True)
class _Panel:
    """One stage: solids about the origin, and three lines below."""

    name: str
    size: str
    note: str
    solids: tuple[Callable[[Point], Markup], ...]

    def at(self, left: float) -> Markup:
        middle = (left + _PANEL / 2, _TOP + _PANEL_HEIGHT / 2 - 16)
        below = _TOP + _PANEL_HEIGHT + 2
        lines = ((self.name, "name"), (self.size, "small"), (self.note, "small quiet"))
        drawn = [solid(middle) for solid in self.solids]
        drawn += [
            text((middle[0], below + i * LINE), words, look, "middle")
            for i, (words, look) in enumerate(lines)
        ]
        return Markup("").join(drawn)


def _panel(
    name: str, size: Sequence[int], note: str, solids: Iterable[Callable[[Point], Markup]]
) -> _Panel:
    return _Panel(name, f"{times(size)} voxels", note, tuple(solids))


def _cropped(shape: Shape) -> str:
    kept = math.prod(min(a, b) for a, b in zip(shape, _SCAN, strict=True)) / math.prod(_SCAN)
    padded = [
        f"{a - b} padded along {axis}"
        for a, b, axis in zip(shape, _SCAN, "xyz", strict=True)
        if a > b
    ]
    return ", ".join((f"{100 * (1 - kept):.0f} % of the scan left out", *padded))


def _given(part: Minicube, context: int) -> str:
    """The price of context: voxels of a window beside those of its core."""
    more = math.prod(_size(part.window)) / math.prod(_size(part.core))
    return f"{context // 2} on each side, {more:.2f} times the voxels"


def _size(box: Box) -> Shape:
    x, y, z = (b - a for a, b in zip(box.start, box.stop, strict=True))
    return x, y, z


def _centred(shape: Shape, scan: Shape) -> Box:
    x, y, z = ((b - a) // 2 for a, b in zip(shape, scan, strict=True))
    return Box((x, y, z), (x + shape[0], y + shape[1], z + shape[2]))


def _exploded(parts: Sequence[Minicube]) -> list[Callable[[Point], Markup]]:
    """The parts pulled apart, those behind drawn first."""
    whole = _around([part.core for part in parts])
    centre = [(a + b) / 2 for a, b in zip(whole.start, whole.stop, strict=True)]
    drawn = []
    for part in sorted(parts, key=lambda part: sum(part.core.start)):
        middle = [(a + b) / 2 for a, b in zip(part.core.start, part.core.stop, strict=True)]
        push = tuple(_APART * (m - c) for m, c in zip(middle, centre, strict=True))
        drawn += _solid(part.core, about=whole, push=(push[0], push[1], push[2]))
    return drawn


def _windowed(parts: Sequence[Minicube]) -> list[Callable[[Point], Markup]]:
    """The part in front at the bottom with its window, in the outline of the region."""
    whole = _around([part.core for part in parts])
    front = max(parts, key=lambda part: sum(part.core.start[:2]) - part.core.start[2])
    return [
        *_wires(whole, "ghost", about=whole),
        *_solid(front.core, about=whole),
        *_wires(front.window, "window", about=whole),
    ]


def _around(boxes: Sequence[Box]) -> Box:
    start = [min(box.start[axis] for box in boxes) for axis in range(3)]
    stop = [max(box.stop[axis] for box in boxes) for axis in range(3)]
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


def _solid(
    box: Box, *, about: Box | None = None, push: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> list[Callable[[Point], Markup]]:
    """Three faces that the viewer sees: top, front left, front right."""
    (a, c, e), (b, d, f) = box.start, box.stop
    faces = {
        "top": ((a, c, f), (b, c, f), (b, d, f), (a, d, f)),
        "left": ((a, d, e), (b, d, e), (b, d, f), (a, d, f)),
        "right": ((b, c, e), (b, d, e), (b, d, f), (b, c, f)),
    }

    def draw(at: Point) -> Markup:
        place = _projection(about or box, at, push)
        # Paper first, so that what lies behind does not shine through.
        return Markup("").join(
            polygon(map(place, corners), look)
            for side, corners in faces.items()
            for look in ("paper", f"edge {side}")
        )

    return [draw]


def _wires(box: Box, look: str, *, about: Box | None = None) -> list[Callable[[Point], Markup]]:
    """The nine edges that the viewer sees."""
    (a, c, e), (b, d, f) = box.start, box.stop
    rim = [(a, c, f), (b, c, f), (b, c, e), (b, d, e), (a, d, e), (a, d, f)]
    spokes = [(b, c, f), (b, d, e), (a, d, f)]

    def draw(at: Point) -> Markup:
        place = _projection(about or box, at, (0.0, 0.0, 0.0))
        lines = (polygon([place(end), place((b, d, f))], look) for end in spokes)
        return Markup("").join((polygon(map(place, rim), look), *lines))

    return [draw]


def _projection(
    about: Box, at: Point, push: tuple[float, float, float]
) -> Callable[[tuple[float, float, float]], Point]:
    """Isometric: x to the lower right, y to the lower left, z up; the box's centre at ``at``."""
    centre = [(a + b) / 2 for a, b in zip(about.start, about.stop, strict=True)]

    def place(corner: tuple[float, float, float]) -> Point:
        x, y, z = (c + p - m for c, p, m in zip(corner, push, centre, strict=True))
        return at[0] + _SCALE * _COS * (x - y), at[1] + _SCALE * (_SIN * (x + y) - z)

    return place
