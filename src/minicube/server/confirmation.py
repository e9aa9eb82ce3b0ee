"""What a person said which volume is, made a request that can be done."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from minicube._errors import InputError
from minicube._preparing import can_prepare
from minicube.scans import LabelScheme, Sequence, check_enough, stated_scheme
from minicube.server.jobs import Request, Role, Series
from minicube.server.refusals import Refused

__all__ = ["confirmed"]

_BE_CLEAR: Final = "upload one of them to this job, or say which file it is"


def confirmed(
    series: list[Series], roles: Mapping[str, Role], scheme: LabelScheme | None, uploads: Path
) -> Request:
    """Return what is to be segmented.

    Args:
        series: That were recognised.
        roles: Key of a series to its role; the rest is left out.
        scheme: What the values of the reference mean; None where its file says it.
        uploads: The folder that the files lie in.

    Raises:
        Refused: The roles make no case, or nothing says what the reference means.
    """
    by_key = {one.key: one for one in series}
    chosen: dict[Role, Series] = {}
    for key, role in roles.items():
        if key not in by_key:
            raise Refused(422, "There is no such series.", found=key[:40])
        if role in chosen:
            raise Refused(422, "Two volumes were given the same role.", found=role.value)
        chosen[role] = by_key[key]
    if any(one.dicom for one in chosen.values()):
        _check_study(chosen)
    else:
        _check_files(chosen)
    if scheme is None and Role.REFERENCE in chosen:
        _check_stated(uploads / chosen[Role.REFERENCE].stored)
    return Request(
        reference_scheme=scheme,
        files={role: one.stored for role, one in chosen.items() if one.dicom is None},
        series={role: one.stored for role, one in chosen.items() if one.dicom is not None},
    )


def _check_stated(reference: Path) -> None:
    try:
        stated = stated_scheme(reference)
    except InputError as error:
        raise Refused(422, error.problem, found=error.found, hint=error.hint) from error
    if stated is None:
        raise Refused(
            422,
            "Nothing in the reference says what its numbers mean.",
            hint=f"choose one of {', '.join(LabelScheme)}; the same number is oedema in one data "
            "set and enhancing tumour in another",
        )


def _check_files(chosen: Mapping[Role, Series]) -> None:
    try:
        check_enough("These files", [s for s in Sequence if Role(s.value) in chosen])
    except InputError as error:
        hint = f"{error.expected}: {_BE_CLEAR}"
        raise Refused(422, error.problem, found=error.found, hint=hint) from error


def _check_study(chosen: Mapping[Role, Series]) -> None:
    reference = chosen.get(Role.REFERENCE)
    if reference is not None and reference.dicom is not None:
        raise Refused(
            422,
            "A series of a DICOM study is no reference.",
            hint="upload the reference as a NIfTI file",
        )
    taken = {s: chosen[Role(s.value)] for s in Sequence if Role(s.value) in chosen}
    if any(one.dicom is None for one in taken.values()):
        raise Refused(
            422,
            "Sequences are taken from a DICOM study and from files.",
            hint="take all of them from one or the other",
        )
    known = {s: one.dicom for s, one in taken.items() if one.dicom is not None}
    for one in known.values():
        if not one.is_volume:
            raise Refused(422, f"Series {one.number} cannot be used.", found=one.rejected)
    missing = [s.label for s in Sequence if s not in known]
    if missing:
        raise Refused(
            422,
            "Of a DICOM study all four sequences are needed.",
            found=f"no {', no '.join(missing)}",
            hint="say which series it is, or upload it to this job",
        )
    if len({one.grid_number for one in known.values()}) > 1 and not can_prepare():
        raise Refused(
            422,
            "These series lie on different grids, and this server does not register them.",
            found="; ".join(f"{s.label}: {one.grid}" for s, one in taken.items()),
            hint="register the scans to the T1 with contrast and take the skull off with "
            "other software, then upload NIfTI files",
        )
