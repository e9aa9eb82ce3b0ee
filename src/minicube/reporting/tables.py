"""Tables and numbers as words, for templates that only lay them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "MISSING",
    "Column",
    "Row",
    "Table",
    "gigabytes",
    "interval",
    "p_value",
    "percent",
    "ratio",
    "seconds",
    "signed",
    "whole",
]

MISSING = "–"
"""Stands where there is no number."""


@dataclass(frozen=True)
class Column:
    """A column's heading.

    Args:
        name: Of the column.
        group: Stands above all neighbours that share it.
        number: Right-aligned.
    """

    name: str
    group: str = ""
    number: bool = True


@dataclass(frozen=True)
class Row:
    """One line.

    Args:
        cells: As many as columns; the first is the row's heading. What follows a line end is
            printed small below.
        strong: Printed bold.
        first: Begins a new block, with a rule above.
    """

    cells: tuple[str, ...]
    strong: bool = False
    first: bool = False


@dataclass(frozen=True)
class Table:
    """Columns, rows, and what stands below.

    Args:
        columns: Headings; the first column names the rows.
        rows: Lines.
        notes: Sentences.
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Headings above the columns and how many columns each spans; empty when there are none."""
        spans: list[tuple[str, int]] = []
        for column in self.columns:
            if spans and spans[-1][0] == column.group:
                spans[-1] = column.group, spans[-1][1] + 1
            else:
                spans.append((column.group, 1))
        return spans if any(name for name, _ in spans) else []


def ratio(value: float | None, digits: int = 3) -> str:
    """Return a number with that many decimals."""
    return MISSING if value is None else f"{value:.{digits}f}"


def signed(value: float | None) -> str:
    """Return a difference with its sign; a minus, not a hyphen."""
    if value is None:
        return MISSING
    return f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")


def whole(value: float | None) -> str:
    """Return an integer with thousands apart."""
    return MISSING if value is None else f"{value:,.0f}".replace(",", "\N{NO-BREAK SPACE}")


def interval(value: Sequence[float | None] | None, digits: int = 3) -> str:
    """Return both ends of an interval in brackets."""
    if value is None or None in value:
        return MISSING
    low, high = (ratio(end, digits).replace("-", "\N{MINUS SIGN}") for end in value)
    return f"[{low}, {high}]"


def p_value(value: float | None) -> str:
    """Return a p value, to three decimals or as less than 0.001."""
    if value is None:
        return MISSING
    return "<\N{NO-BREAK SPACE}0.001" if value < 0.001 else f"{value:.3f}"


def percent(value: float | None, digits: int = 2) -> str:
    """Return a share of 1 as a percentage."""
    return MISSING if value is None else f"{100 * value:.{digits}f}\N{NO-BREAK SPACE}%"


def seconds(value: float | None) -> str:
    """Return a time in the unit that suits it."""
    if value is None:
        return MISSING
    if value < 10:
        return f"{value:.2f} s"
    if value < 120:
        return f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 5400 else f"{value / 3600:.1f} h"


def gigabytes(value: float | None) -> str:
    """Return bytes in GB of 2³⁰."""
    return MISSING if value is None else f"{value / 2**30:.2f} GB"
