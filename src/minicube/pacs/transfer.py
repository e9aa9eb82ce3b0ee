"""A study fetched to disk, and objects sent to an archive."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from minicube._errors import InputError
from minicube._files import filling
from minicube.pacs.archive import Archive, Sent, SeriesEntry, is_uid
from minicube.pacs.intake import Intake, IntakeLimits
from minicube.pacs.objects import objects_in

__all__ = ["MODALITY", "Pulled", "pull", "pull_series", "push"]

MODALITY = "MR"
"""What is segmented."""


@dataclass(frozen=True)
class Pulled:
    """What was fetched.

    Args:
        series: How many series.
        objects: How many objects of them, each a file.
        left_out: How many were sent that had not been announced, or twice.
    """

    series: int
    objects: int
    left_out: int


def pull(
    archive: Archive,
    study: str,
    folder: Path,
    *,
    everything: bool = False,
    limits: IntakeLimits | None = None,
) -> Pulled:
    """Fetch a study, whole or not at all.

    Args:
        archive: Open.
        study: Its StudyInstanceUID.
        folder: For its files, ``000001.dcm`` and on; made, and must be new or empty.
        everything: All series, not those of MR alone.
        limits: Of bytes.

    Raises:
        InputError: The archive does not have it, cannot be reached or sends something else, or
            the folder cannot be written.
    """
    if not is_uid(study):
        raise InputError(
            "This identifies no study.", expected="a StudyInstanceUID: digits and points"
        )
    series = archive.series(study)
    if not series:
        raise InputError(
            "The archive does not have this study.",
            hint="give its StudyInstanceUID (0020,000D), which the archive's viewer shows",
        )
    wanted = [one for one in series if everything or one.modality == MODALITY]
    if not wanted:
        raise InputError(
            "No series of this study is MR.",
            found=", ".join(sorted({one.modality for one in series})),
            hint="give --all to fetch it nonetheless",
        )
    return pull_series(archive, study, wanted, folder, limits)


def pull_series(
    archive: Archive,
    study: str,
    series: Sequence[SeriesEntry],
    folder: Path,
    limits: IntakeLimits | None = None,
) -> Pulled:
    """Fetch some series of a study, as :func:`pull` does."""
    announced = {one.uid: archive.instances(study, one.uid) for one in series}
    with filling(folder) as temporary:
        intake = Intake(temporary, study, set().union(*announced.values()), limits)
        for one in series:
            if announced[one.uid]:
                archive.fetch(study, one.uid, intake)
        intake.check_complete()
    return Pulled(len(series), intake.taken, intake.left_out)


def push(
    archive: Archive, sources: Iterable[Path], told: Callable[[Sent], None] | None = None
) -> int:
    """Store DICOM objects in an archive.

    Args:
        archive: Open.
        sources: Files, and folders of files at any depth.
        told: What became of each, as it is known.

    Returns:
        How many were stored.

    Raises:
        InputError: The archive refused some – the rest is stored –, cannot be reached or broke
            off; or a source is no DICOM.
    """
    paths = objects_in(sources)
    refused = []
    for sent in archive.store(paths):
        if told is not None:
            told(sent)
        if sent.refused:
            refused.append(sent)
    if refused:
        raise InputError(
            f"The archive refused {len(refused)} of {len(paths)} objects.",
            found="; ".join(f"{sent.path}: {sent.refused}" for sent in refused[:20])
            + (" …" if len(refused) > 20 else ""),
            hint="ask whoever looks after the archive what it takes, and from whom",
        )
    return len(paths)
