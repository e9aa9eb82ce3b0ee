"""Whether raw scans are prepared here, and what has to be carried back when they were."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

from minicube._errors import InputError, NotPrepared, require

if TYPE_CHECKING:
    from minicube.inference import Segmentation
    from minicube.preparation import PreparedScan
    from minicube.scans import Case, CaseFiles

__all__ = ["PrepareName", "carried_back", "read"]

PrepareName = Literal["auto", "always", "never"]


def read(
    files: CaseFiles, prepare: PrepareName, *, frugal: bool
) -> tuple[Case, PreparedScan | None]:
    """Read a case; of raw scans, if that is wanted, make one.

    Args:
        files: Of the case.
        prepare: ``auto`` prepares what would be refused for its grids or its skull.
        frugal: Leave images on disk, within a budget of memory.

    Raises:
        InputError: The scans are damaged, or raw and not to be prepared, or SimpleITK is missing.
    """
    from minicube.scans import load_case

    if prepare != "always":
        try:
            return load_case(files, with_reference=False, on_disk=frugal), None
        except NotPrepared as error:
            if prepare == "never":
                raise
            if find_spec("SimpleITK") is None:
                raise InputError(
                    error.problem,
                    expected=error.expected,
                    found=error.found,
                    hint="pip install 'minicube[raw]', which prepares such scans; or, with other "
                    f"software, {error.hint}",
                ) from error
    require("Preparing raw scans", "raw", "SimpleITK")
    prepared = _prepared(files, frugal=frugal)
    return prepared.case, prepared


def _prepared(files: CaseFiles, *, frugal: bool) -> PreparedScan:
    from minicube.preparation import prepare_scan
    from minicube.scans import load_raw

    if frugal:
        raise InputError(
            f"{files.identity}: the scans are raw, and preparing them cannot be kept to a budget.",
            hint="leave out --memory, or prepare them with other software",
        )
    return prepare_scan(load_raw(files))


def carried_back(result: Segmentation, prepared: PreparedScan) -> Segmentation:
    """What was found in prepared scans, on the grid of the series that it is drawn on."""
    from dataclasses import replace

    added = [warning for warning in result.case.warnings if warning not in prepared.case.warnings]
    original = prepared.original
    return result.carried(
        replace(original, warnings=(*original.warnings, *added)),
        prepared.labels_back(result.labels),
        prepared.map_back,
    )
