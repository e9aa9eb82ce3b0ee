"""Voxels counted: confusion matrix, true and false positives and negatives, ratios of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from minicube._errors import InputError
from minicube.scans import NETWORK_SCHEME, LabelMap, LabelScheme, Region, Tissue

__all__ = [
    "CLASSES",
    "Confusion",
    "Counts",
    "EmptyPolicy",
    "check_same_shape",
    "common_box",
    "confusion",
]

CLASSES: Final[Mapping[Tissue, str]] = {
    Tissue.BACKGROUND: "background",
    Tissue.OEDEMA: "oedema",
    Tissue.CORE: "non_enhancing",
    Tissue.ENHANCING: "enhancing",
}
"""The tissues that are told apart, and their names in JSON."""

_SIZE: Final = len(NETWORK_SCHEME.values)


@dataclass(frozen=True)
class Counts:
    """Voxels of one class or region, in one case or pooled over several.

    Ratios are None where they would be 0/0.

    Args:
        tp: In prediction and reference.
        fp: In the prediction only.
        fn: In the reference only.
        tn: In neither.
    """

    tp: int
    fp: int
    fn: int
    tn: int

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn
        )

    @property
    def reference(self) -> int:
        """Voxels of the reference."""
        return self.tp + self.fn

    @property
    def predicted(self) -> int:
        """Voxels of the prediction."""
        return self.tp + self.fp

    @property
    def precision(self) -> float | None:
        """Share of the prediction that is right, tp / (tp + fp)."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float | None:
        """Share of the reference that was found, tp / (tp + fn)."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def dice(self) -> float | None:
        """Dice coefficient, 2 tp / (2 tp + fp + fn), which is also F1.

        Reference: Dice, "Measures of the amount of ecologic association between species",
        Ecology 26 (1945) 297–302.
        """
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def iou(self) -> float | None:
        """Intersection over union (Jaccard index), tp / (tp + fp + fn)."""
        return _ratio(self.tp, self.tp + self.fp + self.fn)

    def to_dict(self) -> dict[str, int]:
        """Return plain values for JSON."""
        return {"tp": self.tp, "fp": self.fp, "fn": self.fn, "tn": self.tn}


@dataclass(frozen=True)
class EmptyPolicy:
    """How Dice and IoU are scored where the reference is empty; None leaves the case out.

    Args:
        both_empty: Score when the prediction is empty too, in [0, 1].
        false_alarm: Score when the prediction is not, in [0, 1].
    """

    both_empty: float | None = 1.0
    false_alarm: float | None = 0.0

    def settle(self, counts: Counts, ratio: float | None) -> float | None:
        """Return ``ratio``, or what the policy says when the reference is empty."""
        if counts.reference:
            return ratio
        return self.false_alarm if counts.predicted else self.both_empty

    def words(self) -> str:
        """Return the policy as a sentence, to be printed with every table."""
        both, alarm = (
            "left out" if value is None else f"{value:g}"
            for value in (self.both_empty, self.false_alarm)
        )
        return (
            "Dice where the reference has no such tissue: "
            f"{both} when the prediction has none either, {alarm} when it has some."
        )

    def to_dict(self) -> dict[str, float | None]:
        """Return plain values for JSON."""
        return {"both_empty": self.both_empty, "false_alarm": self.false_alarm}


@dataclass(frozen=True, eq=False)
class Confusion:
    """How often each predicted tissue met each tissue of the reference.

    Args:
        matrix: Voxels, ``(prediction, reference)`` int64, both axes in the order of
            :data:`CLASSES`.
        notes: What bringing the labels to these tissues lost, in words.
    """

    matrix: NDArray[np.int64]
    notes: tuple[str, ...] = ()

    def __add__(self, other: Confusion) -> Confusion:
        # A dictionary keeps the order and drops what was said before.
        notes = tuple(dict.fromkeys((*self.notes, *other.notes)))
        return Confusion(self.matrix + other.matrix, notes)

    def tissue(self, tissue: Tissue) -> Counts:
        """Return the counts of one of :data:`CLASSES`."""
        return self._counts((NETWORK_SCHEME.value_of(tissue),))

    def region(self, region: Region) -> Counts:
        """Return the counts of a region, its tissues taken together."""
        return self._counts(NETWORK_SCHEME.region_values(region))

    def _counts(self, values: tuple[int, ...]) -> Counts:
        inside = np.isin(np.arange(_SIZE), values)
        return Counts(
            tp=int(self.matrix[np.ix_(inside, inside)].sum()),
            fp=int(self.matrix[np.ix_(inside, ~inside)].sum()),
            fn=int(self.matrix[np.ix_(~inside, inside)].sum()),
            tn=int(self.matrix[np.ix_(~inside, ~inside)].sum()),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "rows": "prediction",
            "columns": "reference",
            "classes": list(CLASSES.values()),
            "voxels": self.matrix.tolist(),
        }


def confusion(prediction: LabelMap, reference: LabelMap) -> Confusion:
    """Count the pairs of tissues that prediction and reference give to each voxel.

    Args:
        prediction: Labels of any scheme, on the reference's grid.
        reference: Labels of any scheme, not necessarily the same.

    Raises:
        InputError: The two have different shapes.
    """
    check_same_shape(prediction, reference)
    notes = [
        f"{name}: {loss}"
        for name, labels in (("prediction", prediction), ("reference", reference))
        for loss in labels.losses(NETWORK_SCHEME)
    ]
    # Outside the box both say background, in every scheme.
    box = common_box(prediction.array, reference.array)
    found, truth = (
        network_values(labels.scheme)[labels.array[box]] for labels in (prediction, reference)
    )
    pairs = found * np.uint8(_SIZE) + truth
    counts = np.bincount(pairs.ravel(order="K"), minlength=_SIZE**2)
    matrix = counts.reshape(_SIZE, _SIZE).astype(np.int64)
    matrix[0, 0] += reference.array.size - found.size
    return Confusion(matrix, tuple(notes))


def network_values(scheme: LabelScheme) -> NDArray[np.uint8]:
    """Return what each value of a scheme is to the networks, ``(256,)``; other values 0.

    Tissues that the networks do not tell apart are merged, the cavity becomes background.
    """
    values = LabelMap(np.array(scheme.values, np.uint8), scheme)
    table = np.zeros(256, np.uint8)
    table[values.array] = values.to(NETWORK_SCHEME, lossy=True).array
    return table


def common_box(*arrays: NDArray[Any]) -> tuple[slice, ...]:
    """Return the smallest box outside which all arrays are 0; of no voxels when they all are.

    Args:
        arrays: Of one shape.
    """
    some = reduce(or_, (array != 0 for array in arrays))
    axes = range(some.ndim)
    # One line per axis: whether anything is there.
    lines = (some.any(axis=tuple(other for other in axes if other != axis)) for axis in axes)
    return tuple(
        slice(int(line.argmax()), int(line.size - line[::-1].argmax()) if line.any() else 0)
        for line in lines
    )


def check_same_shape(prediction: LabelMap, reference: LabelMap) -> None:
    """Refuse label maps that cannot be on one grid.

    Raises:
        InputError: The two have different shapes.
    """
    if prediction.array.shape != reference.array.shape:
        raise InputError(
            "Prediction and reference do not have the same number of voxels.",
            expected=f"the reference's {_times(reference.array.shape)}",
            found=f"{_times(prediction.array.shape)} in the prediction",
            hint="compare label maps on one grid; minicube writes them on the grid of the scan",
        )


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _times(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) + " voxels"
