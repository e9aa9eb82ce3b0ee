"""A study's learning curves and confusion matrices (the report's Figures 5 and 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from minicube.reporting.chart import Series, line_chart
from minicube.reporting.study_results import CLASS_NAMES, Curve
from minicube.reporting.tables import percent, signed, whole

__all__ = ["Heat", "HeatCell", "heat_table", "learning_curves"]

_CLASSES: Final = len(CLASS_NAMES)


@dataclass(frozen=True)
class HeatCell:
    """One cell: its share of the column, in [0, 1], and its voxels in words."""

    share: float | None
    voxels: str

    @property
    def percent(self) -> str:
        """The share in words."""
        return percent(self.share, 1)

    @property
    def most(self) -> bool:
        """Whether it is more than half."""
        return self.share is not None and self.share > 0.5


@dataclass(frozen=True)
class Heat:
    """A confusion matrix: a row for each predicted class, a column for each of the reference."""

    names: tuple[str, ...]
    rows: tuple[tuple[HeatCell, ...], ...]


def heat_table(confusion: Sequence[Sequence[int | None]]) -> Heat | None:
    """Turn voxel counts into shares of what the reference says.

    Args:
        confusion: Voxels, predictions as rows and the reference as columns, background first.

    Returns:
        Shares that sum to 1 down each column; of a class the reference has nowhere, none. None
        where the counts are missing.
    """
    full = len(confusion) == _CLASSES and all(len(row) == _CLASSES for row in confusion)
    if not full or any(count is None for row in confusion for count in row):
        return None
    counts = np.array(confusion, np.float64)
    totals = counts.sum(axis=0)
    rows = tuple(
        tuple(
            HeatCell(float(count / total) if total else None, whole(count))
            for count, total in zip(row.tolist(), totals.tolist(), strict=True)
        )
        for row in counts
    )
    return Heat(tuple(CLASS_NAMES.values()), rows)


def learning_curves(curves: Sequence[Curve], title: str) -> tuple[Markup, str] | None:
    """Draw train and test loss and the gap between them, each a mean over trainings.

    Args:
        curves: One for each fold and seed. Means reach as far as the shortest, between its
            points by straight lines.
        title: What the chart shows.

    Returns:
        The chart, and a sentence with the gap at its end; None where nothing is logged.
    """
    train, test = _mean(curves, "train"), _mean(curves, "test")
    if train is None and test is None:
        return None
    gap, ends = _gap(curves)
    series = [_series("train", train), _series("test", test), _series("gap", gap)]
    count = sum(1 for curve in curves if curve.points)
    trainings = "one training" if count == 1 else f"mean of {count} trainings"
    words = f"{trainings}; no gap can be told"
    if ends:
        last = signed(float(np.mean(ends)))
        spread = f" ({signed(min(ends))} to {signed(max(ends))})" if len(ends) > 1 else ""
        words = f"{trainings}; test less train at the end {last}{spread}"
    return line_chart(series, title=title, x_title="step"), words


_Line = tuple[NDArray[np.float64], NDArray[np.float64]]


def _points(curve: Curve, which: str) -> _Line | None:
    """Steps and losses of a curve, in order of the steps."""
    pairs = sorted(
        (point.step, loss)
        for point in curve.points
        if point.step is not None
        and (loss := point.train if which == "train" else point.test) is not None
    )
    if not pairs:
        return None
    steps, losses = np.array(pairs, np.float64).T
    return steps, losses


def _mean(curves: Sequence[Curve], which: str) -> _Line | None:
    lines = [line for curve in curves if (line := _points(curve, which)) is not None]
    return _averaged(lines)


def _averaged(lines: Sequence[_Line]) -> _Line | None:
    """Mean of lines over the steps that all of them span."""
    if not lines:
        return None
    first, last = max(line[0][0] for line in lines), min(line[0][-1] for line in lines)
    steps = np.unique(np.concatenate([line[0] for line in lines]))
    steps = steps[(steps >= first) & (steps <= last)]
    if not steps.size:
        return None
    return steps, np.mean([np.interp(steps, *line) for line in lines], axis=0)


def _gap(curves: Sequence[Curve]) -> tuple[_Line | None, list[float]]:
    """Test less train: the mean, and at the end of each curve."""
    lines: list[_Line] = []
    for curve in curves:
        pair = [_points(curve, which) for which in ("train", "test")]
        if pair[0] is None or pair[1] is None:
            continue
        (steps, train), (tested, test) = pair[0], pair[1]
        shared = tested[(tested >= steps[0]) & (tested <= steps[-1])]
        if shared.size:
            at = np.isin(tested, shared)
            lines.append((shared, test[at] - np.interp(shared, steps, train)))
    return _averaged(lines), [float(line[1][-1]) for line in lines]


def _series(name: str, line: _Line | None) -> Series:
    if line is None:
        return Series(name, ())
    return Series(name, tuple(zip(line[0].tolist(), line[1].tolist(), strict=True)))
