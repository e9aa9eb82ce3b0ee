"""From files to a Case in RAS+."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minicube._errors import InputError, NotPrepared
from minicube.scans._brain import brain_mask
from minicube.scans._case_files import CaseFiles
from minicube.scans._checks import ValueCheck, check_same_grid, check_skull_off
from minicube.scans.absence import check_enough, remarks_on_absence
from minicube.scans.case import Case, Sequence
from minicube.scans.geometry import Geometry
from minicube.scans.label_files import read_labels, stated_scheme
from minicube.scans.labels import LabelMap, LabelScheme
from minicube.scans.layouts import find_cases
from minicube.scans.on_disk import ImagesOnDisk

__all__ = ["load_case", "load_reference", "orientation_remark", "scheme_of_reference"]

_READERS = 4  # one a sequence; unpacking and numpy let go of the interpreter


def load_case(
    source: Path | str | CaseFiles | Mapping[Sequence, Path],
    *,
    labels: LabelScheme | None = None,
    with_reference: bool = True,
    on_disk: bool = False,
) -> Case:
    """Read one case, check it, and turn it to RAS+.

    A sequence that is not there is a warning; one that is there and cannot be used an error.

    Args:
        source: A case's folder, a 4-D file, one entry of :func:`find_cases`, or a file for
            each sequence.
        labels: Label scheme of the reference. Overrides what the files say.
        with_reference: False leaves an expert's labels alone, whatever state they are in.
        on_disk: Leave the images on disk, to be read again, slab by slab, when they are used.

    Returns:
        The case, its arrays in RAS+ and in Fortran memory order, whatever the files had.

    Raises:
        InputError: No sequence is there that a tumour can be seen on, a file is damaged or
            empty, grids differ, the skull is on, or the label scheme of the reference is not
            known.
    """
    files = _one_case(source)
    check_enough(files.identity, files.sequences)
    # Before the slow part: whether the labels can be understood at all.
    scheme = scheme_of_reference(files, labels) if with_reference and files.reference else None
    images, first, brain = _read(files, on_disk=on_disk)
    check_skull_off(files.identity, brain, first)
    reference = None
    if scheme is not None:
        place = next(iter(files.in_order.values()))
        reference = load_reference(files, first, str(place), scheme)
    remarks = remarks_on_absence(files.sequences)
    warnings = (*files.remarks, *remarks, *orientation_remark(first))
    return Case(files.identity, images, first, brain, reference, warnings)


def load_reference(
    files: CaseFiles, grid: Geometry, place: str, labels: LabelScheme | None
) -> LabelMap:
    """Read the reference of a case that has one, in RAS+.

    Args:
        files: Of the case.
        grid: That it must lie on.
        place: Whose grid that is, for the message when it does not.
        labels: Its label scheme; None: as the files say.

    Raises:
        InputError: It is damaged, lies elsewhere, or its label scheme is not known.
    """
    assert files.reference is not None
    scheme = scheme_of_reference(files, labels)
    found, own = read_labels(files.reference, scheme)
    try:
        check_same_grid({place: grid, str(files.reference): own})
    except NotPrepared as error:  # which the scans may well be
        raise InputError(
            error.problem,
            expected=error.expected,
            found=error.found,
            hint="bring the reference onto that grid, with nearest-neighbour interpolation",
        ) from error
    return LabelMap(np.asfortranarray(own.to_ras(found.array)), scheme)


_Read = tuple[Mapping[Sequence, NDArray[np.float32]], Geometry, NDArray[np.bool_]]


def _read(files: CaseFiles, *, on_disk: bool) -> _Read:
    """The images, the grid of the first, and the brain."""
    left = ImagesOnDisk.of(files.in_order)
    check_same_grid({str(left.places[s]): grid for s, grid in left.geometries.items()})
    first = next(iter(left.geometries.values()))
    if on_disk:
        return left, first, brain_mask(_look_at(left, s, {}) for s in left.by_file())
    # One memory order for all, whichever way round a scan was stored.
    images = {s: np.empty(first.ras_shape, np.float32, order="F") for s in left}
    with ThreadPoolExecutor(_READERS) as pool:
        seen = pool.map(lambda sequences: _look_at(left, sequences, images), left.by_file())
        return images, first, brain_mask(seen)


def _look_at(
    left: ImagesOnDisk,
    sequences: tuple[Sequence, ...],
    images: Mapping[Sequence, NDArray[np.float32]],
) -> NDArray[np.bool_]:
    """Look at every value in a file, and keep those there are arrays for.

    Returns:
        Where any of its sequences shows something, ``(x, y, z)`` in RAS+.
    """
    mask = np.zeros(left.geometries[sequences[0]].ras_shape, np.bool_, order="F")
    values = {s: ValueCheck(f"{s.label} ({left.places[s]})") for s in sequences}
    for sequence, where, slab in left.slabs(sequences):
        mask[where] |= values[sequence].look_at(slab)
        if sequence in images:
            images[sequence][where] = slab
    for check in values.values():
        check.finish()
    return mask


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


def orientation_remark(geometry: Geometry) -> tuple[str, ...]:
    """Say of a file that does not state which side is left what it was taken for."""
    if geometry.qform_code or geometry.sform_code:
        return ()
    return (
        "the scan does not say which side is left (q/sform codes 0); "
        f"its axes are taken to be {geometry.axis_codes}",
    )
