"""Case-level splits that give every part its share of large, small and enhancing tumours."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

__all__ = ["fold_of_each", "patient_of"]

REPORT_TEST_SHARE = 84 / 484
_ENOUGH_FOR_ONE_SPLIT = 60

# BraTS since 2023: challenge, patient, visit. BIDS: subject, session.
_VISIT = re.compile(r"(BraTS-[A-Za-z]+-\d{5})-\d{3}|(sub-[^_]+)_ses-.+")


def patient_of(case: str) -> str:
    """Name of a case without its visit, where its data set names visits; else the case's own."""
    visit = _VISIT.fullmatch(case)
    return visit[1] or visit[2] if visit else case


def fold_of_each(
    tumours: Sequence[tuple[str, bool, int]], folds: int, *, always: bool = False
) -> dict[str, int | None]:
    """Decide where each case is tested; all cases of a patient are tested together.

    Patients are dealt one by one, of each kind the smallest tumour first: to the fold with the
    fewest of that kind, then the fewest in all, then the most tumour so far. Each fold so gets
    as many patients, and as many of each kind, as the others, give or take one.

    Args:
        tumours: Of each case its name, whether it enhances, and its volume in voxels.
        folds: At least 2; fewer patients than that are a fold each.
        always: Deal folds however many patients there are.

    Returns:
        For each name its fold from 0. From 60 patients on there is one split as in the report –
        84 of 484 are tested – and None marks a case to learn from only; with ``always`` there is
        none of either.
    """
    visits: dict[str, list[tuple[str, bool, int]]] = defaultdict(list)
    for tumour in tumours:
        visits[patient_of(tumour[0])].append(tumour)
    patients = [
        (p, any(v[1] for v in found), sum(v[2] for v in found)) for p, found in visits.items()
    ]
    ordered = sorted(patients, key=lambda t: (t[1], t[2], t[0]))
    one_split = len(ordered) >= _ENOUGH_FOR_ONE_SPLIT and not always
    dealt = _split_once(ordered) if one_split else _deal(ordered, folds)
    return {name: dealt[patient_of(name)] for name, _, _ in tumours}


def _split_once(ordered: Sequence[tuple[str, bool, int]]) -> dict[str, int | None]:
    tested = round(REPORT_TEST_SHARE * len(ordered))
    step = len(ordered) / tested
    chosen = {int(step * (i + 0.5)) for i in range(tested)}
    return {name: 0 if i in chosen else None for i, (name, _, _) in enumerate(ordered)}


def _deal(ordered: Sequence[tuple[str, bool, int]], folds: int) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    kinds = [[0, 0] for _ in range(folds)]
    voxels = [0] * folds
    for name, enhances, volume in ordered:
        fold = min(range(folds), key=lambda f: (kinds[f][enhances], sum(kinds[f]), -voxels[f], f))
        found[name] = fold
        kinds[fold][enhances] += 1
        voxels[fold] += volume
    return found
