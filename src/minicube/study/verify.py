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

__all__ = ["verify_study"]

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
    kept = read_json(folder.results)
    found = compute_results(folder, Plan.read(folder.path), source)
    for name in _MAY_DIFFER:
        kept.pop(name, None)
        found.pop(name, None)
    return list(_differences("", kept, found))


def _differences(place: str, kept: Any, found: Any) -> list[str]:
    if isinstance(kept, dict) and isinstance(found, dict):
        return [
            line
            for key in sorted(kept.keys() | found.keys())
            for line in _differences(
                f"{place}.{key}" if place else str(key), kept.get(key), found.get(key)
            )
        ]
    if isinstance(kept, list) and isinstance(found, list) and len(kept) == len(found):
        return [
            line
            for i, (a, b) in enumerate(zip(kept, found, strict=True))
            for line in _differences(f"{place}[{i}]", a, b)
        ]
    if _is_number(kept) and _is_number(found):
        close = math.isclose(kept, found, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
        return [] if close else [f"{place}: kept {kept}, recomputed {found}"]
    return [] if kept == found else [f"{place}: kept {kept}, recomputed {found}"]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
