"""A finished study recomputed from the predictions that were kept."""

from __future__ import annotations

import math
from typing import Any

from minicube._errors import InputError
from minicube._files import read_json
from minicube.study.folder import StudyFolder
from minicube.study.material import Source
from minicube.study.results import compute_results
from minicube.study.setting import Plan

__all__ = ["differences", "verify_study"]

_TOLERANCE = 1e-9
_MAY_DIFFER = ("minicube", "commit")  # of the code that recomputes


def verify_study(folder: StudyFolder, source: Source) -> list[str]:
    """Compute every table anew and hold it against ``results.json``.

    Args:
        folder: Of a study, with its predictions.
        source: Of the references.

    Returns:
        What differs, a line each; empty when the results are what the predictions give.

    Raises:
        InputError: There are no results, or a prediction or reference is missing.
    """
    if not folder.results.is_file():
        raise InputError(f"{folder.path} holds no results.", expected=str(folder.results))
    if not folder.predictions.is_dir():
        raise InputError(
            f"{folder.path} holds results, but not the predictions that they are of.",
            expected=str(folder.predictions),
            hint="give the folder that the study was made in",
        )
    kept = read_json(folder.results)
    found = compute_results(folder, Plan.read(folder.path), source)
    for name in _MAY_DIFFER:
        kept.pop(name, None)
        found.pop(name, None)
    return list(differences("", kept, found))


def differences(place: str, kept: Any, found: Any) -> list[str]:
    """Return what differs between two trees of plain values, a line each.

    Args:
        place: Of both in the whole; empty for the whole itself.
        kept: As it was read.
        found: As it was recomputed. Numbers may differ by rounding.
    """
    if isinstance(kept, dict) and isinstance(found, dict):
        places = {key: f"{place}.{key}" if place else str(key) for key in kept | found}
        return [
            line
            for key in sorted(places)
            for line in (
                differences(places[key], kept[key], found[key])
                if key in kept and key in found
                else [_lonely(places[key], key in kept)]
            )
        ]
    if isinstance(kept, list) and isinstance(found, list) and len(kept) == len(found):
        return [
            line
            for i, (a, b) in enumerate(zip(kept, found, strict=True))
            for line in differences(f"{place}[{i}]", a, b)
        ]
    if _is_number(kept) and _is_number(found):
        close = math.isclose(kept, found, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
        return [] if close else [f"{place}: kept {kept}, recomputed {found}"]
    return [] if kept == found else [f"{place}: kept {kept}, recomputed {found}"]


def _lonely(place: str, is_kept: bool) -> str:
    """A key that one side lacks; null would say that the value is not defined."""
    return f"{place}: {'kept, not recomputed' if is_kept else 'recomputed, not kept'}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
