"""Drawings as SVG files that stand alone: own colours, light and dark, no script, no font."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from markupsafe import Markup

__all__ = ["LINE", "SMALL", "arrow", "drawing", "polygon", "text", "text_width", "times"]

SMALL: Final = 11.0
"""Height of small letters, in units of the drawing."""

LINE: Final = 16.0
"""From one line of text to the next."""

_CHARACTER: Final = 0.62
_HEAD: Final = 5.0
_LIGHT: Final = (
    "--paper:#fdfdfc;--ink:#1b1f24;--quiet:#5b636d;--rule:#b9bfc5;--one:#0072b2;--two:#c24e00;"
    "--three:#007a5a;--four:#8e4585;--fill:#cfe3f1;--skip:#eef0f1"
)
_DARK: Final = (
    "--paper:#14171a;--ink:#e6e8ea;--quiet:#9aa3ac;--rule:#4a525a;--one:#56b4e9;--two:#f0894a;"
    "--three:#3cc79b;--four:#d68fc9;--fill:#1d4259;--skip:#262b30"
)
_RULES: Final = (
    ".drawing{font-family:system-ui,-apple-system,'Segoe UI',Roboto,Arial,sans-serif}"
    ".drawing .paper{fill:var(--paper)}.drawing text{fill:var(--ink)}"
    ".drawing .quiet{fill:var(--quiet)}.drawing .heading{font-size:17px;font-weight:600}"
    ".drawing .name{font-size:13px;font-weight:600}.drawing .small{font-size:11px}"
    ".drawing .arrow{fill:none;stroke-width:1.6}"
    ".drawing .one{stroke:var(--one)}.drawing .two{stroke:var(--two)}"
    ".drawing .three{stroke:var(--three)}.drawing .four{stroke:var(--four)}"
    ".drawing .grey{stroke:var(--quiet)}"
    ".drawing .box{fill:var(--fill);stroke:var(--one)}"
    ".drawing .end{fill:var(--paper);stroke:var(--ink)}"
    ".drawing .copy{fill:var(--skip);stroke:var(--quiet);stroke-dasharray:3 2}"
    ".drawing .top{fill:var(--one);fill-opacity:.22}"
    ".drawing .left{fill:var(--one);fill-opacity:.42}"
    ".drawing .right{fill:var(--one);fill-opacity:.32}"
    ".drawing .edge{stroke:var(--one);stroke-linejoin:round}"
    ".drawing .ghost{fill:none;stroke:var(--quiet);stroke-dasharray:3 3;stroke-linejoin:round}"
    ".drawing .window{fill:none;stroke:var(--two);stroke-dasharray:5 3;stroke-linejoin:round}"
)


def drawing(width: float, height: float, title: str, parts: Iterable[Markup]) -> str:
    """Put parts on a card of paper, with the title as heading.

    Args:
        width: Of the card, units.
        height: Of the card, units.
        title: Stands at the top left, and is read out to those who cannot see the drawing.
        parts: SVG elements, escaped.

    Returns:
        A file's content; as an inline element it works as well.
    """
    head = Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" class="drawing" role="img" '
        'viewBox="0 0 {w:.0f} {h:.0f}" width="{w:.0f}" height="{h:.0f}"><title>{title}</title>'
    ).format(w=width, h=height, title=title)
    style = Markup(
        "<style>.drawing{{{}}}@media (prefers-color-scheme:dark){{.drawing{{{}}}}}{}</style>"
    ).format(Markup(_LIGHT), Markup(_DARK), Markup(_RULES))
    card = Markup('<rect class="paper" width="{:.0f}" height="{:.0f}"/>').format(width, height)
    heading = text((20, 30), title, "heading")
    return str(Markup("\n").join((head + style, card, heading, *parts, Markup("</svg>\n"))))


def text(at: tuple[float, float], words: str, look: str, anchor: str = "start") -> Markup:
    """Write words on a baseline.

    Args:
        at: x and y.
        words: What is written; escaped.
        look: CSS classes.
        anchor: ``start``, ``middle`` or ``end`` of the words stands at ``at``.
    """
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
        look, *at, anchor, words
    )


def text_width(words: str) -> float:
    """Roughly the width of small words in a sans-serif face, never less than it."""
    return len(words) * SMALL * _CHARACTER


def times(shape: Sequence[int]) -> str:
    """Sizes as ``96 × 96 × 80``; a last axis of one voxel is a slice and left out."""
    shown = shape[:-1] if shape[-1] == 1 else shape
    return " × ".join(map(str, shown))


def arrow(start: tuple[float, float], stop: tuple[float, float], look: str) -> Markup:
    """Draw an arrow along one axis.

    Args:
        start: x and y of its tail.
        stop: x and y of its point; shares x or y with ``start``.
        look: CSS classes of its colour.
    """
    (x, y), (u, v) = start, stop
    length = max(abs(u - x), abs(v - y)) or 1.0
    along = ((u - x) / length, (v - y) / length)
    back = (u - _HEAD * along[0], v - _HEAD * along[1])
    side = (0.7 * _HEAD * along[1], 0.7 * _HEAD * along[0])
    return Markup(
        '<path class="arrow {}" d="M{:.1f} {:.1f}L{:.1f} {:.1f}'
        'M{:.1f} {:.1f}L{:.1f} {:.1f}L{:.1f} {:.1f}"/>'
    ).format(
        look, x, y, u, v, back[0] + side[0], back[1] + side[1], u, v, back[0] - side[0],
        back[1] - side[1],
    )  # fmt: skip


def polygon(points: Iterable[tuple[float, float]], look: str) -> Markup:
    """Draw a closed outline through points."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return Markup('<polygon class="{}" points="{}"/>').format(look, path)
