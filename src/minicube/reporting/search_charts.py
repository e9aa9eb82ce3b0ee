"""What a search found as inline SVG: its history, what mattered, Dice over each value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from markupsafe import Markup

from minicube.reporting.chart import level, opened, round_ticks, under

__all__ = ["Dot", "Scale", "bar_chart", "dot_chart"]

_WIDTH: Final = 520
_HEIGHT: Final = 260
_LEFT: Final = 46
_RIGHT: Final = 16
_TOP: Final = 12
_BOTTOM: Final = 42
_BAR: Final = 26
_NAMES: Final = 130
_INSIDE: Final = 0.04  # of an axis, between its ends and the outermost dots


@dataclass(frozen=True)
class Dot:
    """One trial.

    Args:
        x: Place along the horizontal axis, on its scale.
        y: Height.
        words: Read when the mouse rests on it.
        filled: Whether the trial was finished.
        strong: Whether it is the best one.
    """

    x: float
    y: float
    words: str
    filled: bool = True
    strong: bool = False


@dataclass(frozen=True)
class Scale:
    """A horizontal axis.

    Args:
        title: Stands under it.
        low: Its left end.
        high: Its right end.
        log: Whether it is logarithmic; both ends are then above 0.
        names: Words that stand at 0, 1, … in place of numbers.
    """

    title: str
    low: float
    high: float
    log: bool = False
    names: tuple[str, ...] = ()

    def share(self, value: float) -> float:
        """How far to the right a value lies, in [0, 1]."""
        if self.names:
            return (value + 0.5) / len(self.names)
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = math.log(low), math.log(high), math.log(at)
        return _INSIDE + (1 - 2 * _INSIDE) * ((at - low) / (high - low) if high > low else 0.5)

    def ticks(self) -> list[tuple[float, str]]:
        """Values and what is written below them."""
        if self.names:
            return [(float(i), name) for i, name in enumerate(self.names)]
        if not self.log:
            return [(tick, f"{tick:g}") for tick in round_ticks(self.low, self.high)]
        ends = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        steps = [part * 10.0**power for power in range(*ends) for part in (1, 2, 5)]
        return [(tick, f"{tick:g}") for tick in steps if self.low <= tick <= self.high]


def dot_chart(
    dots: Sequence[Dot], across: Scale, *, title: str, stairs: Sequence[tuple[float, float]] = ()
) -> Markup:
    """Draw trials as dots, hollow where they were stopped early.

    Args:
        dots: In the order they are drawn.
        across: The horizontal axis; the vertical one holds all dots, in round steps.
        title: What the chart shows, read out to those who cannot see it.
        stairs: Points (x, y) of a line that goes on level until the next, x rising.
    """
    heights = [dot.y for dot in dots] + [y for _, y in stairs]
    ticks = round_ticks(min(heights, default=0.0), max(heights, default=1.0), around=True)

    def place(x: float, y: float) -> tuple[float, float]:
        up = (y - ticks[0]) / (ticks[-1] - ticks[0])
        return (
            _LEFT + across.share(x) * (_WIDTH - _LEFT - _RIGHT),
            _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM),
        )

    parts = [opened(_WIDTH, _HEIGHT, title)]
    right = _WIDTH - _RIGHT
    parts += [level(_LEFT, right, place(across.low, tick)[1], f"{tick:g}") for tick in ticks]
    for value, words in across.ticks():
        parts.append(under(place(value, ticks[0])[0], _HEIGHT - _BOTTOM + 17, words))
    parts.append(under((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 6, across.title))
    parts.append(_stairs([place(x, y) for x, y in stairs]))
    parts += [_dot(dot, *place(dot.x, dot.y)) for dot in dots]
    return Markup("").join((*parts, Markup("</svg>")))


def bar_chart(shares: Sequence[tuple[str, float]], *, title: str) -> Markup:
    """Draw shares of 1 as bars, one below the other.

    Args:
        shares: Names and values in [0, 1], in the order they are drawn.
        title: What the chart shows, read out to those who cannot see it.
    """
    height = _BAR * len(shares) + 4
    parts = [opened(_WIDTH, height, title)]
    longest = max((share for _, share in shares), default=0.0) or 1.0
    for number, (name, share) in enumerate(shares):
        middle = _BAR * (number + 0.5) + 2
        length = share / longest * (_WIDTH - _NAMES - 60)
        parts.append(
            Markup(
                '<text class="axis" x="{}" y="{y:.1f}" text-anchor="end" '
                'dominant-baseline="middle">{}</text>'
                '<rect class="bar" x="{}" y="{:.1f}" width="{:.1f}" height="{}"/>'
                '<text class="axis" x="{:.1f}" y="{y:.1f}" dominant-baseline="middle">{}</text>'
            ).format(
                _NAMES - 8,
                name,
                _NAMES,
                middle - 8,
                max(length, 1.0),
                16,
                _NAMES + length + 7,
                f"{100 * share:.0f} %",
                y=middle,
            )
        )
    return Markup("").join((*parts, Markup("</svg>")))


def _stairs(places: Sequence[tuple[float, float]]) -> Markup:
    if not places:
        return Markup("")
    corners = [f"{places[0][0]:.1f},{places[0][1]:.1f}"]
    for (_, before), (x, y) in pairwise(places):
        corners += [f"{x:.1f},{before:.1f}", f"{x:.1f},{y:.1f}"]
    corners.append(f"{_WIDTH - _RIGHT},{places[-1][1]:.1f}")
    return Markup('<g class="series-2"><polyline points="{}"/></g>').format(" ".join(corners))


def _dot(dot: Dot, x: float, y: float) -> Markup:
    look = "dot best" if dot.strong else "dot" if dot.filled else "dot hollow"
    return Markup(
        '<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{}"><title>{}</title></circle>'
    ).format(look, x, y, 5.5 if dot.strong else 3.5, dot.words)
