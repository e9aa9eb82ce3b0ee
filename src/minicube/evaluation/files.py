"""Label maps on disk against references on disk."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType

from minicube._errors import InputError
from minicube.evaluation.counts import EmptyPolicy
from minicube.evaluation.lesions import LesionRule
from minicube.evaluation.scores import CaseScores, evaluate_case
from minicube.evaluation.summary import Summary, summarise
from minicube.evaluation.surface import BRATS_SURFACES, SurfacePolicy
from minicube.evaluation.tables import (
    case_table,
    cases_table,
    confusion_table,
    distances_table,
    lesions_table,
    regions_table,
    summary_table,
    surfaces_table,
)
from minicube.scans import (
    Geometry,
    LabelMap,
    LabelScheme,
    find_cases,
    read_labels,
    stated_scheme,
)

__all__ = ["Evaluation", "check_same_grid", "evaluate_files"]

_NIFTI = (".nii", ".nii.gz")
_ROLE = re.compile(r"[-_](d?seg|pred|prediction|label|labels|mask)$", re.IGNORECASE)
_SHOWN = 12


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores of one case or of many.

    Args:
        cases: At least one, in order of name.
    """

    cases: tuple[CaseScores, ...]

    @cached_property
    def summary(self) -> Summary:
        """All cases together."""
        return summarise(self.cases)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; what does not exist is None, never NaN."""
        return {
            "cases": [case.to_dict() for case in self.cases],
            "summary": self.summary.to_dict(),
        }

    def table(self) -> RenderableType:
        """Return what a terminal should show: the case in full, or all cases and the summary."""
        first = self.cases[0]
        measured = bool(first.surfaces or first.lesions)
        if len(self.cases) == 1:
            surfaces = [surfaces_table(first)] if measured else []
            return Group(case_table(first), *surfaces, confusion_table(first.confusion))
        tables = [cases_table(self.cases)]
        tables += [distances_table(self.cases)] if first.surfaces else []
        tables += [summary_table(self.summary), regions_table(self.summary)]
        tables += [lesions_table(self.summary)] if first.lesions else []
        return Group(*tables, confusion_table(self.summary.confusion))


@dataclass(frozen=True)
class _LabelFile:
    """A file and what is known of its scheme without opening it."""

    path: Path
    scheme: LabelScheme | None


def evaluate_files(
    prediction: Path,
    reference: Path,
    prediction_labels: LabelScheme | None = None,
    reference_labels: LabelScheme | None = None,
    *,
    policy: EmptyPolicy | None = None,
    surfaces: SurfacePolicy | None = BRATS_SURFACES,
    lesions: LesionRule | None = None,
) -> Evaluation:
    """Score a label map against its reference, or a folder of them against another.

    Two folders are matched by name. A folder that holds NIfTI files is taken as label maps, named
    by file: without ``.nii`` or ``.nii.gz`` and without a last ``_seg``, ``-seg``, ``_dseg``,
    ``_pred``, ``_prediction``, ``_label``, ``_labels`` or ``_mask``. Any other folder is read as a
    dataset, in any layout that minicube knows, and its references are named by case.

    Args:
        prediction: A NIfTI file or a folder.
        reference: Likewise.
        prediction_labels: Scheme of the predictions; by default what the files or the dataset say.
        reference_labels: Likewise for the references.
        policy: For classes and regions that a reference does not have.
        surfaces: Measure HD95 and surface Dice with this policy; None does not.
        lesions: Score the regions lesion by lesion with this rule, too.

    Returns:
        Scores in order of name. Grids that differ in the order or direction of their axes alone
        are compared in RAS+.

    Raises:
        InputError: A file cannot be read, has no counterpart, lies on another grid or does not say
            its scheme.
    """
    pairs = _pairs(prediction, reference)
    cases = []
    for identity, (found, truth) in pairs.items():
        predicted, grid = _read(found, prediction_labels, "--prediction-labels")
        expert, expert_grid = _read(truth, reference_labels, "--reference-labels")
        check_same_grid(found.path, grid, truth.path, expert_grid)
        scores = evaluate_case(
            predicted,
            expert,
            identity=identity,
            policy=policy or EmptyPolicy(),
            spacing=expert_grid.ras_spacing,
            surfaces=surfaces,
            lesions=lesions,
        )
        cases.append(scores)
    return Evaluation(tuple(cases))


def _pairs(prediction: Path, reference: Path) -> dict[str, tuple[_LabelFile, _LabelFile]]:
    for path in (prediction, reference):
        if not path.exists():
            raise InputError(f"{path} does not exist.")
    if prediction.is_dir() != reference.is_dir():
        raise InputError(
            "Prediction and reference must be two files or two folders.",
            found=f"{prediction} is a {_kind(prediction)}, {reference} is a {_kind(reference)}",
        )
    if not prediction.is_dir():
        pair = _LabelFile(prediction, None), _LabelFile(reference, None)
        return {_identity(prediction): pair}
    found, truth = _label_files(prediction), _label_files(reference)
    _check_counterparts(prediction, found, reference, truth)
    return {identity: (found[identity], truth[identity]) for identity in sorted(found)}


def _label_files(folder: Path) -> dict[str, _LabelFile]:
    try:
        inside = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder} cannot be read.", found=error.strerror or str(error)) from error
    files = [
        path
        for path in inside
        if path.name.endswith(_NIFTI) and not path.name.startswith(".") and path.is_file()
    ]
    if not files:
        return {
            case.identity: _LabelFile(case.reference, case.scheme)
            for case in find_cases(folder)
            if case.reference is not None
        }
    named: dict[str, _LabelFile] = {}
    for path in files:
        identity = _identity(path)
        if identity in named:
            raise InputError(
                f"Two label maps in {folder} have the name {identity}.",
                found=f"{named[identity].path.name} and {path.name}",
                hint="leave one of them out",
            )
        named[identity] = _LabelFile(path, None)
    return named


def _identity(path: Path) -> str:
    stem = path.name.removesuffix(".gz").removesuffix(".nii")
    return _ROLE.sub("", stem)


def _check_counterparts(
    prediction: Path,
    found: Mapping[str, _LabelFile],
    reference: Path,
    truth: Mapping[str, _LabelFile],
) -> None:
    lonely = [
        f"in {folder} alone: {_some(sorted(here.keys() - there.keys()))}"
        for folder, here, there in ((prediction, found, truth), (reference, truth, found))
        if here.keys() - there.keys()
    ]
    if lonely or not found:
        raise InputError(
            "Predictions and references do not pair up by name.",
            expected="for each prediction a reference of the same name, and the other way round",
            found="; ".join(lonely) or "no label maps in either folder",
            hint="rename the files, or put those to be compared into folders of their own",
        )


def _read(file: _LabelFile, given: LabelScheme | None, flag: str) -> tuple[LabelMap, Geometry]:
    """Labels in RAS+ order, and their RAS+ grid."""
    scheme = given or stated_scheme(file.path) or file.scheme
    if scheme is None:
        raise InputError(
            f"{file.path} does not say which label scheme it uses.",
            expected=f"one of {', '.join(LabelScheme)}",
            hint=f"name it with {flag}; the same numbers mean different tissues in each",
        )
    labels, geometry = read_labels(file.path, scheme)
    return LabelMap(geometry.to_ras(labels.array), scheme), geometry.ras_grid()


def check_same_grid(
    prediction: Path, grid: Geometry, reference: Path | str, other: Geometry
) -> None:
    """Refuse a prediction that lies on another grid than its reference.

    Args:
        prediction: Its file, for the message.
        grid: RAS+ grid of the prediction.
        reference: Its file or its name, likewise.
        other: RAS+ grid of the reference.

    Raises:
        InputError: The grids do not hold the same voxels.
    """
    if not grid.matches(other):
        raise InputError(
            "Prediction and reference lie on different grids.",
            expected=f"{_describe(other)} as {reference}",
            found=f"{_describe(grid)} in {prediction}",
            hint="compare label maps on one grid; minicube writes them on the grid of the scan",
        )


def _describe(grid: Geometry) -> str:
    shape = " × ".join(map(str, grid.shape))
    spacing = " × ".join(f"{mm:.3g}" for mm in grid.ras_spacing)
    rows = "; ".join(" ".join(f"{v:.4g}" for v in row) for row in grid.affine[:3])
    return f"{shape} voxels of {spacing} mm, affine in RAS+ order [{rows}]"


def _kind(path: Path) -> str:
    return "folder" if path.is_dir() else "file"


def _some(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
