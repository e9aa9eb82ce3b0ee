"""From a dataset on disk to stored cases, split by case."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from minicube._errors import InputError
from minicube.scans import CaseFiles, LabelScheme, find_cases, load_case
from minicube.volumes import StoredCase, open_stored, prepare, store_one

__all__ = ["find_labelled_cases", "prepare_cases", "split_cases"]


def find_labelled_cases(folder: Path) -> list[CaseFiles]:
    """Return the cases of a dataset that have a reference.

    Raises:
        InputError: There are fewer than two.
    """
    cases = [case for case in find_cases(folder) if case.reference is not None]
    if len(cases) < 2:
        raise InputError(
            f"{folder} does not hold enough to learn from.",
            expected="at least two cases with reference labels: one to learn from, one held out",
            found=f"{len(cases)} with a reference",
            hint=f"`minicube data list {folder}` shows what was recognised",
        )
    return cases


def split_cases(identities: Iterable[str], share: float, seed: int) -> tuple[list[str], list[str]]:
    """Split case names at random: the first list to learn from, the second held out.

    Args:
        identities: Names; their order does not matter.
        share: Of the cases to hold out, in (0, 1); at least one is held out and one kept.
        seed: Of the run.
    """
    names = sorted(identities)
    order = np.random.default_rng((seed, len(names))).permutation(len(names))
    held_out = min(max(1, round(share * len(names))), len(names) - 1)
    chosen = {names[i] for i in order[:held_out]}
    return [n for n in names if n not in chosen], [n for n in names if n in chosen]


def prepare_cases(
    cases: list[CaseFiles],
    folder: Path,
    *,
    labels: LabelScheme | None = None,
    denoise: bool = False,
    done: Callable[[str], None] = lambda identity: None,
) -> list[StoredCase]:
    """Read, prepare and store cases, two at a time; those that lie there are left alone.

    Args:
        cases: From :func:`find_labelled_cases`.
        folder: Where to store them.
        labels: Scheme of the references, where their files do not say.
        denoise: Take Rician noise away first.
        done: Called with each case's name once it is stored.
    """

    def one(files: CaseFiles) -> StoredCase:
        stored = open_stored(folder, files.identity)
        if stored is None:
            stored = store_one(prepare(load_case(files, labels=labels), denoise=denoise), folder)
        done(files.identity)
        return stored

    with ThreadPoolExecutor(max_workers=2) as pool:
        return list(pool.map(one, cases))
