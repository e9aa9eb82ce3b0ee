"""What a prepared case was made from: enough to notice that it would come out otherwise now."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from minicube._files import checksum
from minicube.scans import CaseFiles, LabelScheme, VolumeInFile, scheme_of_reference

__all__ = ["PREPARATION", "Origin", "origin_of", "unlike"]

Origin = Mapping[str, str]

# To be counted up whenever `prepare` gives other arrays for the same case: what was prepared
# before is then prepared anew.
PREPARATION: Final = {"preparation": "1"}


def origin_of(files: CaseFiles, *, labels: LabelScheme | None, denoise: bool) -> Origin:
    """Describe what a case is prepared from, and how.

    Files count by what is in them: not by place, name or date, which change when a dataset is
    copied, and not by size alone, which stays when labels are corrected. They are read once, at
    a small part of what preparation costs.

    Args:
        files: Of the case.
        labels: Scheme of the reference, where its files do not say.
        denoise: Whether Rician noise is taken away first.

    Returns:
        A word for each thing that the prepared case depends on.

    Raises:
        InputError: A file cannot be read, or the scheme of the reference is not known.
    """
    seen: dict[Path, str] = {}

    def content(path: Path) -> str:
        if path not in seen:
            seen[path] = checksum(path)
        return seen[path]

    described = {**PREPARATION, "denoise": "yes" if denoise else "no"}
    for sequence, place in files.sequences.items():
        if isinstance(place, VolumeInFile):
            part = f"{content(place.path)} volume {place.index} of {place.count}"
            described[sequence.value] = part
        else:
            described[sequence.value] = content(place)
    if files.reference is not None:
        described["reference"] = content(files.reference)
        described["scheme"] = scheme_of_reference(files, labels).value
    return described


def unlike(one: Origin, other: Origin) -> list[str]:
    """Names of what differs, in order of name; empty when nothing does."""
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
