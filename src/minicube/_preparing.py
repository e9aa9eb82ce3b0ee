"""Whether raw scans are prepared here, and what has to be carried back when they were."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

from minicube._errors import NotPrepared, require

if TYPE_CHECKING:
    from minicube.inference import Segmentation
    from minicube.preparation import PreparedScan
    from minicube.reporting import Preparation
    from minicube.scans import Case, CaseFiles, LabelScheme

__all__ = ["PrepareName", "can_prepare", "carried_back", "pictured", "read"]

PrepareName = Literal["auto", "always", "never"]


def can_prepare() -> bool:
    """Whether the packages are installed."""
    return find_spec("SimpleITK") is not None


def read(
    files: CaseFiles,
    prepare: PrepareName,
    *,
    frugal: bool,
    with_reference: bool = False,
    labels: LabelScheme | None = None,
    preparing: Callable[[], None] = lambda: None,
) -> tuple[Case, PreparedScan | None]:
    """Read a case; of raw scans, if that is wanted, make one.

    Args:
        files: Of the case.
        prepare: ``auto`` prepares what would be refused for its grids or its skull.
        frugal: Leave images on disk, within a budget of memory.
        with_reference: Read the reference too, if there is one. That of raw scans lies on the
            grid of the series results are drawn on, and is on the ``original`` alone.
        labels: Label scheme of the reference, as for :func:`minicube.load_case`.
        preparing: Called before raw scans are prepared.

    Raises:
        InputError: The scans are damaged, or raw and not to be prepared, or SimpleITK is missing.
    """
    from minicube.scans import load_case

    if prepare != "always":
        try:
            case = load_case(files, labels=labels, with_reference=with_reference, on_disk=frugal)
        except NotPrepared as error:
            if prepare == "never":
                raise
            if not can_prepare():
                raise NotPrepared(
                    error.problem,
                    expected=error.expected,
                    found=error.found,
                    hint="pip install 'minicube[raw]', which prepares such scans; or, with other "
                    f"software, {error.hint}",
                ) from error
        else:
            return case, None
    require("Preparing raw scans", "raw", "SimpleITK")
    if frugal:
        raise NotPrepared(
            f"{files.identity}: the scans are raw, and preparing them cannot be kept to a budget.",
            hint="leave out --memory, or prepare them with other software",
        )
    preparing()
    from minicube.preparation import prepare_scan
    from minicube.scans import load_raw

    prepared = prepare_scan(load_raw(files))
    if with_reference and files.reference is not None:
        prepared = _with_reference(prepared, files, labels)
    return prepared.case, prepared


def _with_reference(
    prepared: PreparedScan, files: CaseFiles, labels: LabelScheme | None
) -> PreparedScan:
    from minicube.scans import load_reference

    original = prepared.original
    drawn_on = files.sequences[prepared.drawn_on]
    reference = load_reference(files, original.geometry, str(drawn_on), labels)
    return replace(prepared, original=replace(original, reference=reference))


def carried_back(result: Segmentation, prepared: PreparedScan) -> Segmentation:
    """What was found in prepared scans, on the grid of the series that it is drawn on."""
    added = [warning for warning in result.case.warnings if warning not in prepared.case.warnings]
    original = prepared.original
    return result.carried(
        replace(original, warnings=(*original.warnings, *added)),
        prepared.labels_back(result.labels),
        prepared.map_back,
    )


def pictured(prepared: PreparedScan) -> Preparation:
    """What the report of a case shows of how its scans were prepared."""
    from minicube.reporting import Preparation

    steps = {step.name: step.words for step in prepared.steps}
    return Preparation(prepared.head, prepared.drawn_on, steps)
