"""The cases that ``minicube segment`` was given, and where the results of each go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from minicube._errors import InputError

if TYPE_CHECKING:
    from minicube.scans import CaseFiles

__all__ = [
    "Places",
    "Target",
    "cases_of",
    "refuse_existing",
    "refuse_impossible",
    "targets_of",
]


@dataclass(frozen=True)
class Places:
    """Where the results of one case or of several go.

    Args:
        out: Label map, or folder of them.
        report: HTML page, or folder of them, if any.
        probabilities: Folder of probability maps, if any.
        uncertainty: Map of uncertainty, or folder of them, if any.
    """

    out: Path
    report: Path | None = None
    probabilities: Path | None = None
    uncertainty: Path | None = None

    @property
    def absolute(self) -> Places:
        """The same for a process in another folder."""
        rest = (self.report, self.probabilities, self.uncertainty)
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

        return [*self.outputs, sidecar_of(self.places.out)]


def cases_of(source: Path | None, named: dict[str, Path]) -> list[CaseFiles]:
    """The cases in a folder, or the one that single files make, by sequence.

    Raises:
        InputError: Neither or both were given, or nothing is recognised.
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
    return [CaseFiles.of_files({Sequence(name): path for name, path in named.items()})]


def targets_of(cases: Sequence[CaseFiles], places: Places) -> list[Target]:
    """Where each case's results go: ``out`` itself for one case, inside it for several.

    So do ``report`` and ``uncertainty``, but that of one case, where it is named as a file, is
    one wherever ``out`` is; ``probabilities`` is a folder always.

    Raises:
        InputError: Several cases were to go into one file, two results of one into the same, or
            one where a folder is; or a file of a case would be replaced.
    """
    targets = _targets(cases, places)
    for target in targets:
        refuse_impossible(target)
        _refuse_own_files(target)
    return targets


def _targets(cases: Sequence[CaseFiles], places: Places) -> list[Target]:
    out, report, uncertainty = places.out, places.report, places.uncertainty
    one_file = len(cases) == 1 and out.name.endswith((".nii", ".nii.gz"))
    if not one_file and (out.is_file() or out.suffix in (".nii", ".gz")):
        raise InputError(
            f"{len(cases)} cases were found, but {out} is one file.",
            hint="give -o a folder",
        )

    def inside(given: Path | None, name: str) -> Path | None:
        if given is None or (len(cases) == 1 and given.suffix in (".html", ".htm", ".nii", ".gz")):
            return given
        return given / name

    return [
        Target(
            case,
            Places(
                out if one_file else out / f"{case.identity}_seg.nii.gz",
                inside(report, f"{case.identity}.html"),
                places.probabilities,
                inside(uncertainty, f"{case.identity}_uncertainty.nii.gz"),
            ),
        )
        for case in cases
    ]


def refuse_impossible(target: Target) -> None:
    """Refuse what would be found out only when everything was computed.

    Raises:
        InputError: Two results were to go into one file, or one where a folder is.
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


def _refuse_own_files(target: Target) -> None:
    """Refuse to replace a scan, or labels of an expert that bear the name of those to write."""
    there = [path for path in target.outputs if path.is_file()]
    for own in target.case.paths if there else ():
        replaced = own.is_file() and any(own.samefile(path) for path in there)
        if replaced and not (own == target.case.reference and _segmented(own)):
            raise InputError(
                f"{own} is a file of the case and would be replaced by what is found in it.",
                hint="choose another output",
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
