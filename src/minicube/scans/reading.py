"""From files to a Case in RAS+."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minicube._errors import InputError
from minicube.scans._brain import brain_mask
from minicube.scans._case_files import CaseFiles, VolumeInFile
from minicube.scans._checks import (
    ValueCheck,
    check_complete,
    check_same_grid,
    check_skull_off,
    check_values,
)
from minicube.scans.case import Case, Sequence
from minicube.scans.geometry import Geometry
from minicube.scans.labels import LabelMap, LabelScheme
from minicube.scans.layouts import find_cases
from minicube.scans.nifti import read_labels, read_volume, read_volumes_4d, stated_scheme
from minicube.scans.on_disk import ImagesOnDisk

__all__ = ["load_case", "read_sequences", "scheme_of_reference"]

_READERS = 4  # one a sequence; unpacking and numpy let go of the interpreter
_TURNERS = 2  # each holds a second copy of its volume for a moment


def load_case(
    source: Path | str | CaseFiles | Mapping[Sequence, Path],
    *,
    labels: LabelScheme | None = None,
    with_reference: bool = True,
    on_disk: bool = False,
) -> Case:
    """Read one case, check it, and turn it to RAS+.

    Args:
        source: A case's folder, a 4-D file, one entry of :func:`find_cases`, or a file for
            each sequence.
        labels: Label scheme of the reference. Overrides what the files say.
        with_reference: False leaves an expert's labels alone, whatever state they are in.
        on_disk: Leave the images on disk, to be read again, slab by slab, when they are used.

    Returns:
        The case, its arrays in RAS+ and in Fortran memory order, whatever the files had.

    Raises:
        InputError: A file is missing, damaged or empty, grids differ, the skull is on, or
            the label scheme of the reference is not known.
    """
    files = _one_case(source)
    check_complete(files.identity, files.sequences)
    # Before the slow part: whether the labels can be understood at all.
    scheme = scheme_of_reference(files, labels) if with_reference and files.reference else None
    images, first, brain = _left_on_disk(files) if on_disk else _read_whole(files)
    check_skull_off(files.identity, brain, first)
    reference = None
    if scheme is not None and files.reference is not None:
        found, grid = read_labels(files.reference, scheme)
        check_same_grid({str(files.sequences[Sequence.T1N]): first, str(files.reference): grid})
        array = np.asfortranarray(grid.to_ras(found.array))
        reference = LabelMap(array, scheme)
    warnings = (*files.remarks, *_orientation_remark(first))
    return Case(files.identity, images, first, brain, reference, warnings)


_Read = tuple[Mapping[Sequence, NDArray[np.float32]], Geometry, NDArray[np.bool_]]


def _read_whole(files: CaseFiles) -> _Read:
    volumes = read_sequences(files)
    check_same_grid({str(files.sequences[s]): grid for s, (_, grid) in volumes.items()})
    first = volumes[Sequence.T1N][1]
    images = _to_ras(files, volumes)
    return images, first, brain_mask(image != 0 for image in images.values())


def _left_on_disk(files: CaseFiles) -> _Read:
    images = ImagesOnDisk.of({s: files.sequences[s] for s in Sequence})
    check_same_grid({str(files.sequences[s]): grid for s, grid in images.geometries.items()})
    seen = (_seen(files, images, sequence) for sequence in Sequence)
    return images, images.geometries[Sequence.T1N], brain_mask(seen)


def _seen(files: CaseFiles, images: ImagesOnDisk, sequence: Sequence) -> NDArray[np.bool_]:
    """Where a sequence shows something; every value is looked at."""
    mask = np.zeros(images.geometries[sequence].ras_shape, np.bool_, order="F")
    values = ValueCheck(f"{sequence.label} ({files.sequences[sequence]})")
    for where, slab in images.slabs(sequence):
        values.look_at(slab)
        mask[where] = slab != 0
    values.finish()
    return mask


def read_sequences(files: CaseFiles) -> dict[Sequence, tuple[NDArray[np.float32], Geometry]]:
    """Read every sequence in its file's axis order, several files at a time."""
    places = {s: files.sequences[s] for s in Sequence if s in files.sequences}
    stacks = {p.path: p.count for p in places.values() if isinstance(p, VolumeInFile)}
    whole = {path: read_volumes_4d(path, count) for path, count in stacks.items()}

    def read(place: Path | VolumeInFile) -> tuple[NDArray[np.float32], Geometry]:
        if isinstance(place, VolumeInFile):
            arrays, geometry = whole[place.path]
            return arrays[place.index], geometry
        return read_volume(place)

    with ThreadPoolExecutor(_READERS) as pool:
        return dict(zip(places, pool.map(read, places.values()), strict=True))


def scheme_of_reference(files: CaseFiles, given: LabelScheme | None) -> LabelScheme:
    """Return the scheme of a case's reference: given, stated by the file, or by the layout.

    Raises:
        InputError: Nothing says it.
    """
    stated = None if given or files.reference is None else stated_scheme(files.reference)
    scheme = given or stated or files.scheme
    if scheme is None:
        raise InputError(
            f"{files.identity}: nothing says which label scheme {files.reference} uses.",
            expected="one of " + ", ".join(LabelScheme),
            hint="name it with --labels; the same numbers mean different tissues in each",
        )
    return scheme


def _one_case(source: Path | str | CaseFiles | Mapping[Sequence, Path]) -> CaseFiles:
    if isinstance(source, CaseFiles):
        return source
    if isinstance(source, Mapping):
        return CaseFiles.of_files(source)
    cases = find_cases(Path(source))
    if len(cases) > 1:
        names = ", ".join(case.identity for case in cases[:3])
        raise InputError(
            f"{source} holds more than one case.",
            expected="one case",
            found=f"{len(cases)} cases: {names}" + ", …" * (len(cases) > 3),
            hint="give one case's folder",
        )
    return cases[0]


def _to_ras(
    files: CaseFiles, volumes: dict[Sequence, tuple[NDArray[np.float32], Geometry]]
) -> dict[Sequence, NDArray[np.float32]]:
    """Check and turn the volumes; ``volumes`` is emptied, so that no two copies of all exist."""

    def turn(sequence: Sequence) -> NDArray[np.float32]:
        array, geometry = volumes.pop(sequence)
        check_values(f"{sequence.label} ({files.sequences[sequence]})", array)
        # One memory order for all, so that sums come out the same to the last bit whichever
        # way round a scan was stored.
        return np.asfortranarray(geometry.to_ras(array))

    order = tuple(volumes)
    with ThreadPoolExecutor(_TURNERS) as pool:
        return dict(zip(order, pool.map(turn, order), strict=True))


def _orientation_remark(geometry: Geometry) -> tuple[str, ...]:
    if geometry.qform_code or geometry.sform_code:
        return ()
    return (
        "the scan does not say which side is left (q/sform codes 0); "
        f"its axes are taken to be {geometry.axis_codes}",
    )
