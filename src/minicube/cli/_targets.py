"""The cases that ``minicube segment`` was given, and where the results of each go."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Final

from minicube._errors import InputError

if TYPE_CHECKING:
    from minicube.scans import CaseFiles

__all__ = [
    "Places",
    "Target",
    "cases_of",
    "is_a_file",
    "refuse_existing",
    "refuse_impossible",
    "targets_of",
]


_PAGES: Final = (".html", ".htm")
_MAPS: Final = (".nii", ".nii.gz")
_FILES: Final = (
    *(".nii", ".gz", ".mha", ".mhd", ".nrrd", ".nhdr", ".mgz", ".mgh", ".img", ".hdr", ".dcm"),
    *(".html", ".htm", ".json", ".csv", ".tsv", ".txt", ".pdf", ".png", ".jpg", ".zip", ".tar"),
)
"""What nobody calls a folder."""


@dataclass(frozen=True)
class Places:
    """Where the results of one case or of several go.

    Args:
        out: Label map, or folder of them.
        report: HTML page, or folder of them, if any.
        probabilities: Folder of probability maps, if any.
        uncertainty: Map of uncertainty, or folder of them, if any.
        json: One file for all cases, if any.
    """

    out: Path
    report: Path | None = None
    probabilities: Path | None = None
    uncertainty: Path | None = None
    json: Path | None = None

    def of_case(self, name: str, *, one: bool) -> Places:
        """Files for a case, in the folders or, of one case alone, as they are named.

        Args:
            name: Of the case.
            one: Whether it is the only one.

        Raises:
            InputError: What was given is no name for a file, or for a folder.
        """
        if self.probabilities is not None and is_a_file(self.probabilities):
            raise InputError(
                f"There are several maps, but {self.probabilities} is one file.",
                hint="name a folder",
            )
        out = _place(self.out, f"{name}_seg.nii.gz", _MAPS, one=one)
        assert out is not None  # as it was given
        report = _place(self.report, f"{name}.html", _PAGES, one=one)
        doubt = _place(self.uncertainty, f"{name}_uncertainty.nii.gz", _MAPS, one=one)
        return replace(self, out=out, report=report, uncertainty=doubt)

    @property
    def absolute(self) -> Places:
        """The same for a process in another folder."""
        rest = (self.report, self.probabilities, self.uncertainty, self.json)
        return Places(
            self.out.absolute(), *(None if path is None else path.absolute() for path in rest)
        )


@dataclass(frozen=True)
class Target:
    """A case and where its results go.

    Args:
        case: Its files.
        places: Files, but for the folder of probability maps.
    """

    case: CaseFiles
    places: Places

    @property
    def out(self) -> Path:
        """Its label map."""
        return self.places.out

    @property
    def outputs(self) -> list[Path]:
        """Every file that is written, but for the one beside the label map."""
        from minicube.inference import probability_files

        places, case = self.places, self.case
        paths = [p for p in (places.out, places.report, places.uncertainty) if p is not None]
        if places.probabilities is not None:
            paths += probability_files(places.probabilities, case.identity, case.sequences).values()
        return paths

    @property
    def files(self) -> list[Path]:
        """Every file that is written."""
        from minicube.scans.nifti import sidecar_of

        more = [] if self.places.json is None else [self.places.json]
        return [*self.outputs, sidecar_of(self.places.out), *more]


def cases_of(source: Path | None, named: dict[str, Path]) -> list[CaseFiles]:
    """The cases in a folder, or the one that single files make, by sequence.

    Raises:
        InputError: Neither or both were given, one file twice, or nothing is recognised.
    """
    from minicube.scans import CaseFiles, Sequence, find_cases

    if source is not None and named:
        raise InputError(
            "Both a folder and single files were given.",
            hint="give either INPUT, or --t1 --t1ce --t2 --flair",
        )
    if source is not None:
        return find_cases(source)
    if not named:
        raise InputError(
            "What to segment is missing.",
            hint="give a case folder, or --t1 --t1ce --t2 --flair",
        )
    for (one, path), (other, same) in combinations(named.items(), 2):
        if path.exists() and same.exists() and path.samefile(same):
            raise InputError(
                f"{path} was given as {Sequence(one).label} and as {Sequence(other).label}.",
                hint="give each sequence its own file, and leave out what is missing",
            )
    return [CaseFiles.of_files({Sequence(name): path for name, path in named.items()})]


def targets_of(cases: Sequence[CaseFiles], places: Places) -> list[Target]:
    """Where each case's results go: ``out`` itself for one case, inside it for several.

    So do ``report`` and ``uncertainty``, but that of one case, where it is named as a file, is
    one wherever ``out`` is; ``probabilities`` is a folder always.

    Raises:
        InputError: Several cases were to go into one file, two results of one into the same, or
            one where a folder is; or a file of a case would be replaced.
    """
    one = len(cases) == 1
    targets = [Target(case, places.of_case(case.identity, one=one)) for case in cases]
    taken: dict[str, str] = {}
    for target in targets:
        refuse_impossible(target)
        _refuse_own_files(target)
        key = str(target.out).lower()  # not every file system tells capitals apart
        if key in taken:
            raise InputError(
                f"The results of {taken[key]} and {target.case.identity} would have one name.",
                found=str(target.out),
                hint="rename one of the cases, or segment them into two folders",
            )
        taken[key] = target.case.identity
    return targets


def _place(given: Path | None, name: str, endings: tuple[str, ...], *, one: bool) -> Path | None:
    """The file that was named for one case, or one of this name inside the folder."""
    if given is None or (one and given.name.endswith(endings)):
        return given
    if is_a_file(given):
        if not one:
            raise InputError(
                f"Several cases were found, but {given} is one file.", hint="name a folder"
            )
        raise InputError(
            f"{given} is neither a folder nor a file that can be written there.",
            expected=f"a name that ends in {' or '.join(endings)}, or a folder",
        )
    return given / name


def is_a_file(path: Path) -> bool:
    """Whether this is no folder, or would not be meant for one."""
    return path.is_file() or (path.suffix.lower() in _FILES and not path.is_dir())


def refuse_impossible(target: Target) -> None:
    """Refuse what would be found out only when everything was computed.

    Raises:
        InputError: Two results were to go into one file, one where a folder is, or one where
            nothing can be written.
    """
    paths = [path.resolve() for path in target.files]
    if len({*paths}) < len(paths):
        raise InputError(
            "Two results were to go into one file.",
            found=", ".join(sorted({str(path) for path in paths if paths.count(path) > 1})),
            hint="give each output a name of its own",
        )
    for path in paths:
        if path.is_dir():
            raise InputError(
                f"{path} is a folder, and a file was to be written there.",
                hint="choose another output",
            )
        home = next(folder for folder in path.parents if folder.exists())
        if not home.is_dir() or not os.access(home, os.W_OK | os.X_OK):
            raise InputError(
                f"{path} cannot be written.",
                found=f"{home} is " + ("not yours to write to" if home.is_dir() else "a file"),
                hint="choose another output",
            )


def _refuse_own_files(target: Target) -> None:
    """Refuse to replace a scan, or labels of an expert that bear the name of those to write.

    What is written beside the scans must not pass for one of them the next time, either.
    """
    from minicube.scans import names_a_sequence

    there = [path for path in target.files if path.is_file()]
    for own in target.case.paths if there else ():
        replaced = own.is_file() and any(own.samefile(path) for path in there)
        if replaced and not (own == target.case.reference and _segmented(own)):
            raise InputError(
                f"{own} is a file of the case and would be replaced by what is found in it.",
                hint="choose another output",
            )
    homes = {own.parent.resolve() for own in target.case.paths}
    for path in (p for p in target.outputs if p.name.endswith(_MAPS)):
        if path.parent.resolve() in homes and names_a_sequence(path):
            raise InputError(
                f"{path} would be taken for a scan of the case the next time.",
                hint="choose another output, such as seg.nii.gz",
            )


def _segmented(labels: Path) -> bool:
    """Whether a label map was written by an earlier segmentation, and so may be written anew."""
    from minicube._files import read_json
    from minicube.scans.nifti import sidecar_of

    try:
        return "absent_sequences" in read_json(sidecar_of(labels))
    except (InputError, TypeError):
        return False


def refuse_existing(paths: Sequence[Path]) -> None:
    """Refuse to go on when one of these files exists.

    Raises:
        InputError: One does.
    """
    taken = [path for path in paths if path.exists()]
    if taken:
        raise InputError(
            "Files that --no-clobber protects are already there.",
            found=", ".join(map(str, taken)),
        )
