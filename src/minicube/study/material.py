"""The cases of a study: real ones as they are found, phantoms as they are made."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Final

from minicube._errors import InputError
from minicube._files import write_json
from minicube.evaluation.splits import fold_of_each
from minicube.phantom import Family, PhantomSpec, make_phantom
from minicube.scans import (
    NETWORK_SCHEME,
    Case,
    CaseFiles,
    Geometry,
    LabelMap,
    LabelScheme,
    Region,
    load_case,
    read_labels,
    scheme_of_reference,
)
from minicube.study.setting import CaseFacts, Setting
from minicube.study.units import PHANTOM, REAL
from minicube.training import find_labelled_cases
from minicube.volumes import (
    NETWORK_SPACING,
    PREPARATION,
    Origin,
    StoredCase,
    open_stored,
    origin_of,
    prepare,
    store_one,
)

__all__ = ["Source", "collect_facts", "prepare_all", "read_in_ras", "stored"]

_SEED, _UNSEEN_SEED = 7001, 7002  # of the phantoms to learn from, and of those to test on
_B_SHARE: Final = 0.25  # of the phantoms to learn from; the unseen ones are half and half


@dataclass(frozen=True)
class Source:
    """Where each case comes from.

    Args:
        data: Folder of the real cases; None for a study on phantoms alone.
        labels: Scheme of their references, where the files do not say.
        setting: How many phantoms.
    """

    data: Path | None
    labels: LabelScheme | None
    setting: Setting

    @cached_property
    def real(self) -> Mapping[str, CaseFiles]:
        """The real cases by name; fewer than two are refused."""
        if self.data is None:
            return {}
        return {files.identity: files for files in find_labelled_cases(self.data)}

    def phantoms(self) -> Mapping[str, tuple[PhantomSpec, int]]:
        """The phantoms to learn from, by name."""
        return _named(_SEED, self.setting.phantoms, _B_SHARE)

    def unseen_phantoms(self) -> Mapping[str, tuple[PhantomSpec, int]]:
        """The phantoms to test on, by name."""
        return _named(_UNSEEN_SEED, self.setting.unseen_phantoms, 0.5)

    def load(self, identity: str) -> Case:
        """Read or make one case, its reference included.

        Raises:
            InputError: It is no longer there.
        """
        phantom = self._phantom(identity)
        if phantom is not None:
            return make_phantom(*phantom)
        return load_case(self._files(identity), labels=self.labels)

    def origin(self, identity: str) -> Origin:
        """What a case is prepared from: its files, or the phantom's specification.

        Raises:
            InputError: It is no longer there.
        """
        phantom = self._phantom(identity)
        if phantom is not None:
            spec, index = phantom
            return {**PREPARATION, "phantom": f"{spec} {index}"}
        return origin_of(self._files(identity), labels=self.labels, denoise=False)

    def reference(self, identity: str) -> tuple[LabelMap, Geometry]:
        """The reference of a case in RAS+, and its RAS+ grid; no scan is read.

        Raises:
            InputError: It is no longer there.
        """
        files = self.real.get(identity)
        if files is None or files.reference is None:
            case = self.load(identity)
            assert case.reference is not None  # a phantom has one
            return case.reference, case.geometry.ras_grid()
        scheme = scheme_of_reference(files, self.labels)
        return read_in_ras(files.reference, scheme)

    def _phantom(self, identity: str) -> tuple[PhantomSpec, int] | None:
        return {**self.phantoms(), **self.unseen_phantoms()}.get(identity)

    def _files(self, identity: str) -> CaseFiles:
        files = self.real.get(identity)
        if files is None:
            raise InputError(
                f"The study's case {identity} is no longer there.",
                expected=f"it in {self.data or 'a folder given as --data'}, with its reference",
            )
        return files


def read_in_ras(path: Path, scheme: LabelScheme) -> tuple[LabelMap, Geometry]:
    """Read a label map in RAS+, and its RAS+ grid."""
    found, geometry = read_labels(path, scheme)
    return LabelMap(geometry.to_ras(found.array), scheme), geometry.ras_grid()


def collect_facts(
    source: Source, prepared: Path, done: Callable[[int, int], None]
) -> list[CaseFacts]:
    """Prepare every case, describe it, and decide where it is tested.

    Args:
        source: Of the cases.
        prepared: Where prepared cases go.
        done: Called with cases done and cases in all.

    Returns:
        Real cases first, in order of name.
    """
    real = [*source.real]
    unseen, seen = [*source.unseen_phantoms()], [*source.phantoms()]
    found = prepare_all(source, [*real, *unseen, *seen], prepared, done)
    folds: dict[str, int | None] = dict.fromkeys(seen)
    tested = fold_of_each([_tumour(found[name]) for name in real], source.setting.folds)
    count = max((fold for fold in tested.values() if fold is not None), default=0) + 1
    folds |= tested | {name: i % count for i, name in enumerate(unseen)}
    group = dict.fromkeys(real, REAL) | dict.fromkeys((*unseen, *seen), PHANTOM)
    return [
        found[name].model_copy(update={"group": group[name], "fold": folds[name]})
        for name in (*real, *unseen, *seen)
    ]


def prepare_all(
    source: Source, names: list[str], prepared: Path, done: Callable[[int, int], None]
) -> dict[str, CaseFacts]:
    """Prepare and store cases, two at a time.

    What lies there already, made from the same, is left alone.
    """
    found: dict[str, CaseFacts] = {}
    with ThreadPoolExecutor(max_workers=2) as pool:
        try:
            work = [pool.submit(_prepare_one, source, name, prepared) for name in names]
            for one in as_completed(work):
                facts = one.result()
                found[facts.case] = facts
                done(len(found), len(names))
        finally:  # after Ctrl-C as well, nothing more is begun
            pool.shutdown(cancel_futures=True)
    return found


def stored(prepared: Path, name: str) -> StoredCase:
    """One of the prepared cases.

    Raises:
        InputError: It was deleted or damaged.
    """
    case = open_stored(prepared, name)
    if case is None:
        raise InputError(
            f"The prepared case {prepared / name} is gone or damaged.",
            hint="run the study again: it prepares what is missing",
        )
    return case


def _prepare_one(source: Source, name: str, folder: Path) -> CaseFacts:
    described = folder / name / "facts.json"
    origin = source.origin(name)
    checksum = sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest()
    if open_stored(folder, name, origin) is not None and described.exists():
        known = CaseFacts.model_validate_json(described.read_text(encoding="utf-8"))
        if known.origin == checksum:
            return known
    case = source.load(name)
    if case.reference is None:
        raise InputError(f"{name} has no reference.")
    ready = prepare(case)
    store_one(ready, folder, origin)
    truth = case.reference.to(NETWORK_SCHEME, lossy=True)
    counts = truth.counts()
    oedema, core, enhancing = (counts[tissue] for tissue in NETWORK_SCHEME.tissues.values())
    background = truth.array.size - counts[Region.WT]
    facts = CaseFacts(
        case=name,
        group=REAL,
        fold=None,
        voxels=(background, oedema, core, enhancing),
        box_start=ready.frame.box.start,
        box_stop=ready.frame.box.stop,
        millimetre=all(abs(s - NETWORK_SPACING) < 0.01 for s in case.spacing),
        origin=checksum,
    )
    write_json(described, facts.model_dump(mode="json"))
    return facts


def _tumour(facts: CaseFacts) -> tuple[str, bool, int]:
    *_, enhancing = facts.voxels
    return facts.case, enhancing > 0, sum(facts.voxels[1:])


def _named(seed: int, count: int, b_share: float) -> dict[str, tuple[PhantomSpec, int]]:
    of_b = round(count * b_share)
    wanted = [(Family.A, count - of_b), (Family.B, of_b)]
    return {
        f"phantom-{family.value}-{seed:05d}-{index:05d}": (PhantomSpec(seed, family), index)
        for family, number in wanted
        for index in range(number)
    }
