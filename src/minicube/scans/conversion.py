"""A data set in another layout and label scheme, voxels and affines unchanged."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicube._errors import InputError
from minicube._files import filling
from minicube.scans._case_files import CaseFiles, Layout, VolumeInFile
from minicube.scans._checks import check_same_grid
from minicube.scans._dataset_json import DECATHLON_ORDER
from minicube.scans._header import LABEL_INTENT, Header
from minicube.scans.absence import check_complete
from minicube.scans.case import Sequence
from minicube.scans.geometry import Geometry
from minicube.scans.label_files import read_labels
from minicube.scans.labels import LabelMap, LabelScheme
from minicube.scans.layouts import find_cases
from minicube.scans.nifti import read_header, read_volume, read_volumes_4d, sidecar_of
from minicube.scans.reading import scheme_of_reference
from minicube.scans.writing import FileCase, bids_label, describe_dataset, write_files

__all__ = ["ConversionReport", "convert_dataset"]

_SHOWN = 20
_READERS = 4
_EXACT_IN_FLOAT32 = 1 << 24  # larger whole numbers are rounded
_DESCRIBED = (Layout.DECATHLON, Layout.NNUNET)  # one label scheme for the whole data set


@dataclass(frozen=True)
class ConversionReport:
    """What a conversion wrote, and what it could not carry over.

    Args:
        layout: Written.
        cases: Names in the source, in order.
        schemes: Label schemes of the references written.
        not_carried: In words, case by case where it concerns one.
    """

    layout: Layout
    cases: tuple[str, ...]
    schemes: tuple[LabelScheme, ...]
    not_carried: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "layout": self.layout.value,
            "cases": list(self.cases),
            "label_schemes": [scheme.value for scheme in self.schemes],
            "not_carried_over": list(self.not_carried),
        }

    def text(self) -> str:
        """Return the report in words."""
        labels = ", ".join(scheme.value for scheme in self.schemes) or "no references"
        count = len(self.cases)
        lines = [f"{count} case{'s' * (count != 1)} written as {self.layout.value} ({labels})"]
        if not self.not_carried:
            return f"{lines[0]}; everything was carried over"
        lines.append("not carried over:")
        lines += [f"  {note}" for note in self.not_carried[:_SHOWN]]
        if len(self.not_carried) > _SHOWN:
            lines.append(f"  … and {len(self.not_carried) - _SHOWN} more; --json lists all")
        return "\n".join(lines)


def convert_dataset(
    source: Path,
    target: Path,
    layout: Layout,
    scheme: LabelScheme | None = None,
    *,
    labels: LabelScheme | None = None,
    lossy: bool = False,
    done: Callable[[int, int], None] = lambda count, total: None,
) -> ConversionReport:
    """Write every case of a data set in another layout.

    Voxel values and affines come back equal. The target appears when all of it is there, or not
    at all. Nothing is judged but what a layout needs: a scan with its skull on can be converted.

    Args:
        source: As for :func:`find_cases`.
        target: A folder that is new or empty.
        layout: To write.
        scheme: Label scheme to write; each reference's own when None.
        labels: Label scheme of the source's references, where they do not say.
        lossy: Accept that the scheme merges or drops tissues.
        done: Called with the number of cases written so far and of all.

    Raises:
        InputError: The target is in use, a case cannot be read, cases cannot share the layout,
            or labels would be lost without ``lossy``.
    """
    _check_target(source, target)
    cases = find_cases(source)
    _check_names(cases, layout)
    losses = _losses_of_labels(cases, labels, scheme, lossy=lossy)
    notes: list[str] = []
    schemes: list[LabelScheme] = []
    with filling(target) as draft:
        for count, files in enumerate(cases, start=1):
            case = _read(files, labels)
            if case.reference is not None:
                found, grid = case.reference
                wanted = found.to(scheme or found.scheme, lossy=lossy)
                case = FileCase(case.identity, case.volumes, (wanted, grid))
                schemes.append(wanted.scheme)
            notes += [f"{files.identity}: {note}" for note in _notes_on(files, case, layout)]
            write_files(case, draft, layout)
            done(count, len(cases))
        written = tuple(dict.fromkeys(schemes))
        _check_one_scheme(layout, written)
        name = target.resolve().name
        describe_dataset(draft, layout, written[0] if written else None, name)
    rest = _other_files(source, cases)
    names = tuple(case.identity for case in cases)
    return ConversionReport(layout, names, written, (*losses, *notes, *rest))


def _check_target(source: Path, target: Path) -> None:
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise InputError(
            f"{target} is already there.", expected="a folder that is new or empty, to write to"
        )
    if source.resolve() in (target.resolve(), *target.resolve().parents):
        raise InputError(
            f"{target} lies inside {source}.", hint="choose a target outside of the source"
        )


def _check_names(cases: Iterable[CaseFiles], layout: Layout) -> None:
    """Refuse cases that the layout would write over each other."""
    taken: dict[str, str] = {}
    for case in cases:
        name = bids_label(case.identity) if layout is Layout.BIDS else case.identity
        # Not every file system tells capitals apart.
        there = name.lower() in taken
        other = taken.setdefault(name.lower(), case.identity)
        if there or not name:
            raise InputError(
                f"{other} and {case.identity} would have the same name as {layout.value}.",
                found=name,
                hint="rename one of them",
            )


def _losses_of_labels(
    cases: Iterable[CaseFiles],
    given: LabelScheme | None,
    scheme: LabelScheme | None,
    *,
    lossy: bool,
) -> list[str]:
    """What the label scheme will lose; refused before anything is written unless accepted."""
    losses = []
    for files in cases:
        if files.reference is None or scheme is None:
            continue
        found, _ = read_labels(files.reference, scheme_of_reference(files, given))
        found.to(scheme, lossy=lossy)
        losses += [f"{files.identity}: {loss}" for loss in found.losses(scheme)]
    return losses


def _read(files: CaseFiles, given: LabelScheme | None) -> FileCase:
    check_complete(files.identity, files.sequences, "to be converted")
    reference: tuple[LabelMap, Geometry] | None = None
    if files.reference is not None:
        reference = read_labels(files.reference, scheme_of_reference(files, given))
    return FileCase(files.identity, _read_sequences(files), reference)


def _read_sequences(files: CaseFiles) -> dict[Sequence, tuple[NDArray[np.float32], Geometry]]:
    """Every sequence in its file's axis order; several files are read at a time."""
    places = files.in_order
    stacks = {p.path: p.count for p in places.values() if isinstance(p, VolumeInFile)}
    whole = {path: read_volumes_4d(path, count) for path, count in stacks.items()}

    def read(place: Path | VolumeInFile) -> tuple[NDArray[np.float32], Geometry]:
        if isinstance(place, VolumeInFile):
            arrays, geometry = whole[place.path]
            return arrays[place.index], geometry
        return read_volume(place)

    with ThreadPoolExecutor(_READERS) as pool:
        return dict(zip(places, pool.map(read, places.values()), strict=True))


def _notes_on(files: CaseFiles, case: FileCase, layout: Layout) -> list[str]:
    """What becomes of one case that a reader of the new files cannot see."""
    headers = {s: read_header(_path(files.sequences[s])) for s in files.sequences}
    notes = [note for s, header in headers.items() for note in _notes_on_header(s.value, header)]
    if files.reference is not None:
        header = read_header(files.reference)
        if header.intent[1] != LABEL_INTENT:
            notes += _notes_on_header("reference", header)
    for sequence, (array, _) in case.volumes.items():
        header = headers[sequence]
        if header.dtype.kind == "f" and header.dtype.itemsize > 4:
            notes.append(f"{sequence.value}: 64-bit decimals are kept as 32-bit")
        elif header.dtype.itemsize > 2 and np.abs(array).max(initial=0) > _EXACT_IN_FLOAT32:
            notes.append(f"{sequence.value}: values above 2^24 are rounded")
    if layout is Layout.DECATHLON:
        notes += _notes_on_joining(case)
    if layout is Layout.BIDS and bids_label(case.identity) != case.identity:
        notes.append(f"the name; it is sub-{bids_label(case.identity)} now")
    return notes


def _notes_on_header(name: str, header: Header) -> list[str]:
    notes = []
    if header.description and not header.description.startswith("minicube"):
        notes.append(f"{name}: the header's text {header.description!r}")
    if header.offset > header.size + 4:
        notes.append(f"{name}: {header.offset - header.size - 4} bytes of header extensions")
    if header.slope != 1 or header.inter != 0:
        notes.append(f"{name}: the intensity scale (values are written as scaled)")
    return notes


def _notes_on_joining(case: FileCase) -> list[str]:
    """One 4-D file has one grid, that of its first volume."""
    first = next(s for s in DECATHLON_ORDER if s in case.volumes)
    grid = case.volumes[first][1]
    notes = []
    for sequence, (_, other) in case.volumes.items():
        if other.shape != grid.shape or not grid.matches(other):
            check_same_grid({first.value: grid, sequence.value: other})
            raise InputError(
                f"{case.identity}: {first.value} and {sequence.value} have their axes in "
                "different order and cannot share a 4-D file.",
                found=f"{grid.axis_codes} and {other.axis_codes}",
                hint="write another layout, or re-orient one of them",
            )
        codes = (other.qform_code, other.sform_code), (grid.qform_code, grid.sform_code)
        if codes[0] != codes[1]:
            notes.append(
                f"{sequence.value}: q/sform codes {codes[0]} become {codes[1]}, those of "
                f"{first.value}"
            )
        apart = float(np.abs(other.affine - grid.affine).max())
        if apart > 0:
            notes.append(
                f"{sequence.value}: its affine, which differs by up to {apart:.2g} from that "
                f"of {first.value}"
            )
    return notes


def _check_one_scheme(layout: Layout, schemes: tuple[LabelScheme, ...]) -> None:
    if layout in _DESCRIBED and len(schemes) > 1:
        raise InputError(
            f"A {layout.value} data set has one label scheme, but the references have several.",
            found=", ".join(scheme.value for scheme in schemes),
            hint="name the scheme to write with --scheme",
        )


def _other_files(source: Path, cases: Iterable[CaseFiles]) -> list[str]:
    """Files of the source that belong to no case."""
    if not source.is_dir():
        return []
    used = {path.resolve() for case in cases for path in case.paths}
    used |= {sidecar_of(c.reference).resolve() for c in cases if c.reference is not None}
    read = ("dataset.json", "dataset_description.json", "dseg.tsv")
    return [
        f"the file {path.relative_to(source).as_posix()}"
        for path in sorted(source.rglob("*"))
        if path.is_file() and not path.name.endswith(read) and path.resolve() not in used
    ]


def _path(place: Path | VolumeInFile) -> Path:
    return place.path if isinstance(place, VolumeInFile) else place
