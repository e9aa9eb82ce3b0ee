"""A line chart as inline SVG: no library, no script, follows the page's light or dark colours."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

__all__ = ["Series", "level", "line_chart", "opened", "round_ticks", "under"]

_WIDTH: Final = 520
_HEIGHT: Final = 280
_LEFT: Final = 40
_RIGHT: Final = 80
_TOP: Final = 14
_BOTTOM: Final = 44
_LINE: Final = 15
_DOTS_UP_TO: Final = 40
_NOTHING: Final = 1e-12


@dataclass(frozen=True)
class Series:
    """One line.

    Args:
        name: Stands at its end.
        points: Pairs (x, y), finite, x rising.
    """

    name: str
    points: tuple[tuple[float, float], ...]


def line_chart(
    series: Sequence[Series], *, title: str, x_title: str, y_top: float | None = None
) -> Markup:
    """Draw lines over a shared x axis; both axes begin at 0, or lower where values do.

    Args:
        series: At most four, drawn in the page's colours 1 to 4; empty ones are left out.
        title: What the chart shows, read out to those who cannot see it.
        x_title: What stands under the x axis.
        y_top: Upper end of the y axis; by default just above the largest value.
    """
    points = [point for line in series for point in line.points]
    x_ticks = _ticks(max((x for x, _ in points), default=1))
    lowest = min((y for _, y in points), default=0)
    y_ticks = _ticks(y_top or max((y for _, y in points), default=1), lowest)
    x_end = max((x for x, _ in points), default=0) or x_ticks[-1]
    frame = _Frame(x_end, y_ticks[0], y_ticks[-1])
    parts = [opened(_WIDTH, _HEIGHT, title)]
    parts += [level(_LEFT, _WIDTH - _RIGHT, frame.y(tick), f"{tick:g}") for tick in y_ticks]
    below = _HEIGHT - _BOTTOM + 18
    parts += [
        under(frame.x(tick), below, f"{tick:,.10g}") for tick in x_ticks if tick <= frame.x_end
    ]
    parts.append(under(frame.x(frame.x_end / 2), _HEIGHT - 6, x_title))
    drawn = [(number, line) for number, line in enumerate(series, 1) if line.points]
    heights = _apart([frame.y(line.points[-1][1]) for _, line in drawn])
    parts += [
        _line(frame, number, line, label_at)
        for (number, line), label_at in zip(drawn, heights, strict=True)
    ]
    return Markup("").join((*parts, Markup("</svg>")))


@dataclass(frozen=True)
class _Frame:
    """Values to SVG coordinates."""

    x_end: float
    y_start: float
    y_end: float

    def x(self, value: float) -> float:
        return _LEFT + value / self.x_end * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        share = (value - self.y_start) / (self.y_end - self.y_start)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def _line(frame: _Frame, number: int, line: Series, label_at: float) -> Markup:
    places = [(frame.x(x), frame.y(y)) for x, y in line.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    drawn = Markup('<g class="series-{}"><polyline points="{}"/>').format(number, path)
    if len(places) <= _DOTS_UP_TO:
        dots = (Markup('<circle cx="{:.1f}" cy="{:.1f}" r="3"/>').format(x, y) for x, y in places)
        drawn += Markup("").join(dots)
    label = Markup('<text x="{:.1f}" y="{:.1f}" dominant-baseline="middle">{}</text></g>')
    return drawn + label.format(places[-1][0] + 9, label_at, line.name)


def opened(width: float, height: float, title: str) -> Markup:
    """The beginning of a chart's SVG; ``</svg>`` ends it.

    Args:
        width: In its own units, like ``height``.
        height: See above.
        title: What it shows, read out to those who cannot see it.
    """
    return Markup('<svg class="chart" viewBox="0 0 {} {}" role="img"><title>{}</title>').format(
        width, height, title
    )


def level(left: float, right: float, y: float, words: str) -> Markup:
    """A line of the grid from left to right, and what its height means before it."""
    return Markup(
        '<line class="grid" x1="{}" x2="{}" y1="{y:.1f}" y2="{y:.1f}"/>'
        '<text class="axis" x="{}" y="{y:.1f}" text-anchor="end" dominant-baseline="middle">'
        "{}</text>"
    ).format(left, right, left - 8, words, y=y)


def under(x: float, y: float, words: str) -> Markup:
    """Words below the horizontal axis, around a place."""
    return Markup('<text class="axis" x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
        x, y, words
    )


def round_ticks(low: float, high: float, *, around: bool = False) -> list[float]:
    """At most seven round values between two, or, with ``around``, from below to above them."""
    span = high - low
    if span < _NOTHING:
        return [low - 0.05, low + 0.05] if around else [low]
    power = 10.0 ** math.floor(math.log10(span))
    step = next(power * part for part in (0.2, 0.5, 1, 2) if span / (power * part) <= 5)
    ends = (math.floor, math.ceil) if around else (math.ceil, math.floor)
    first, last = (
        end(round(value / step, 9)) for end, value in zip(ends, (low, high), strict=True)
    )
    return [round(step * i, 12) for i in range(first, last + 1)]


def _ticks(largest: float, lowest: float = 0.0) -> list[float]:
    """Round values from 0, or below ``lowest``, to just above ``largest``."""
    largest, lowest = max(largest, 0.0), min(lowest, 0.0)
    if largest - lowest < _NOTHING:
        return [0.0, 1.0]
    return round_ticks(lowest, largest, around=True)


def _apart(heights: Sequence[float]) -> list[float]:
    """Move labels down until none covers another, and up again from the lower edge."""
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    placed = list(heights)
    for above, below in itertools.pairwise(order):
        placed[below] = max(placed[below], placed[above] + _LINE)
    lowest = float(_HEIGHT - _BOTTOM)
    for i in reversed(order):
        placed[i] = min(placed[i], lowest)
        lowest = placed[i] - _LINE
    return placed
