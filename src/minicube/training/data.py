"""From a dataset on disk to stored cases, split by patient."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import numpy as np

from minicube._errors import InputError
from minicube.evaluation.splits import patient_of
from minicube.scans import CaseFiles, LabelScheme, check_complete, find_cases, load_case
from minicube.training.ranks import ALONE, Ranks
from minicube.volumes import (
    Origin,
    StoredCase,
    open_stored,
    origin_of,
    prepare,
    store_one,
    unlike,
)

__all__ = ["find_labelled_cases", "prepare_cases", "split_cases"]


def find_labelled_cases(folder: Path, *, incomplete: bool = False) -> list[CaseFiles]:
    """Return the cases of a dataset that have a reference.

    Args:
        folder: Of the dataset.
        incomplete: Whether cases are only learnt from: they may lack sequences, and one will do.

    Raises:
        InputError: There are none, or fewer than two where one is held out, or one lacks a
            sequence.
    """
    cases = [case for case in find_cases(folder) if case.reference is not None]
    if len(cases) < (1 if incomplete else 2):
        raise InputError(
            f"{folder} does not hold enough to learn from.",
            expected="a case with reference labels"
            if incomplete
            else "at least two cases with reference labels: one to learn from, one held out",
            found=f"{len(cases)} with a reference",
            hint=f"`minicube data list {folder}` shows what was recognised",
        )
    for case in cases if not incomplete else ():
        check_complete(case.identity, case.sequences, "to learn from and to be compared on")
    return cases


def split_cases(identities: Iterable[str], share: float, seed: int) -> tuple[list[str], list[str]]:
    """Split case names at random: the first list to learn from, the second held out.

    All visits of a patient are on one side.

    Args:
        identities: Names; their order does not matter.
        share: Of the patients to hold out, in (0, 1); at least one is held out and one kept.
        seed: Of the run.

    Raises:
        InputError: There is one patient only.
    """
    names = sorted(identities)
    patients = list(dict.fromkeys(patient_of(name) for name in names))
    if len(patients) < 2:
        raise InputError(
            "All cases are of one patient, so that none can be held out.",
            expected="at least two patients: one to learn from, one held out",
            found=", ".join(names),
        )
    order = np.random.default_rng((seed, len(patients))).permutation(len(patients))
    held_out = min(max(1, round(share * len(patients))), len(patients) - 1)
    chosen = {patients[i] for i in order[:held_out]}
    train = [name for name in names if patient_of(name) not in chosen]
    return train, [name for name in names if patient_of(name) in chosen]


def prepare_cases(
    cases: list[CaseFiles],
    folder: Path,
    *,
    labels: LabelScheme | None = None,
    denoise: bool = False,
    before: Mapping[str, Origin] | None = None,
    done: Callable[[int, int], None] = lambda count, of: None,
    ranks: Ranks = ALONE,
) -> list[StoredCase]:
    """Read, prepare and store cases, two at a time.

    Those that lie there whole, made from the same files in the same way, are left alone.

    Args:
        cases: From :func:`find_labelled_cases`.
        folder: Where to store them.
        labels: Scheme of the references, where their files do not say.
        denoise: Take Rician noise away first.
        before: What each case was made from when the run began; None for a run that begins.
        done: Called once a case of this rank is stored, with how many are and of how many.
        ranks: That share the cases; the folder is one that all of them see.

    Raises:
        InputError: A case cannot be used, or is not what it was when the run began.
    """

    mine = [cases[i] for i in ranks.share(len(cases))]
    ready = count(1)

    def one(files: CaseFiles) -> StoredCase:
        scheme = labels
        if scheme is None and before is not None:
            scheme = LabelScheme(before[files.identity]["scheme"])  # as it was settled then
        origin = origin_of(files, labels=scheme, denoise=denoise)
        if before is not None:
            _refuse_changed(files.identity, before[files.identity], origin)
        stored = open_stored(folder, files.identity, origin)
        if stored is None:
            case = load_case(files, labels=scheme)
            stored = store_one(prepare(case, denoise=denoise), folder, origin)
        done(next(ready), len(mine))
        return stored

    def all_mine() -> list[StoredCase]:
        with ThreadPoolExecutor(max_workers=2) as pool:
            return list(pool.map(one, mine))

    return [case for part in ranks.everyone(all_mine) for case in part]


def _refuse_changed(identity: str, before: Origin, now: Origin) -> None:
    changed = unlike(before, now)
    if changed:
        raise InputError(
            f"{identity} is not what it was when this run began.",
            found=f"changed: {', '.join(changed)}",
            hint="bring back what the run began with, or start a new one in another folder",
        )
