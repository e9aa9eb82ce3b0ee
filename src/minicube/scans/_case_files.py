"""Where the parts of a case lie on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from minicube._errors import InputError
from minicube.scans.case import Sequence
from minicube.scans.labels import LabelScheme
from minicube.scans.nifti import stem_of

__all__ = ["CaseFiles", "Layout", "VolumeInFile", "place", "sequence_files"]


class Layout(StrEnum):
    """How a data set arranges and names its files; docs/layouts.md shows each."""

    BRATS2021 = "brats2021"  # 2017 to 2021
    BRATS2023 = "brats2023"  # 2023 and 2024
    PLAIN = "plain"
    DECATHLON = "decathlon"
    NNUNET = "nnunet"
    BIDS = "bids"


@dataclass(frozen=True)
class VolumeInFile:
    """One volume of a 4-D file.

    Args:
        path: The file.
        index: Which volume, from 0.
        count: How many the file must hold.
    """

    path: Path
    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.path}[{self.index}]"


@dataclass(frozen=True)
class CaseFiles:
    """The files of one case; nothing of them has been read yet.

    Args:
        identity: Name of the case.
        layout: How it was recognised.
        sequences: Where each sequence lies; some may be missing.
        reference: The expert's label map, when there is one.
        scheme: Its label scheme, when the file or the layout says it.
        remarks: What a user should know about how the files were read.
    """

    identity: str
    layout: Layout
    sequences: Mapping[Sequence, Path | VolumeInFile]
    reference: Path | None = None
    scheme: LabelScheme | None = None
    remarks: tuple[str, ...] = ()

    @classmethod
    def of_files(cls, files: Mapping[Sequence, Path]) -> CaseFiles:
        """Return a case made of single files, named after their folder.

        Raises:
            InputError: No file is given.
        """
        if not files:
            raise InputError("A case without files was given.", expected="one file a sequence")
        first = next(iter(files.values()))  # which may be a link: its own folder counts
        identity = first.parent.resolve().name or stem_of(first)
        return cls(identity, Layout.PLAIN, dict(files))

    @property
    def in_order(self) -> dict[Sequence, Path | VolumeInFile]:
        """The sequences that are there, in channel order."""
        return {s: self.sequences[s] for s in Sequence if s in self.sequences}

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every file of the case, each once."""
        images = [v.path if isinstance(v, VolumeInFile) else v for v in self.sequences.values()]
        references = [] if self.reference is None else [self.reference]
        return tuple(dict.fromkeys([*images, *references]))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "case": self.identity,
            "layout": self.layout.value,
            "sequences": {s.value: str(where) for s, where in self.sequences.items()},
            "reference": None if self.reference is None else str(self.reference),
            "label_scheme": None if self.scheme is None else self.scheme.value,
            "remarks": list(self.remarks),
        }


def place(parts: dict[Any, Path], key: Any, path: Path) -> None:
    """Put a file in its place.

    Raises:
        InputError: The place is taken.
    """
    if key in parts:
        raise InputError(
            f"Two files in {path.parent} could be the {key} of one case.",
            found=f"{parts[key].name} and {path.name}",
            hint="move one of them away",
        )
    parts[key] = path


def sequence_files(parts: Mapping[Any, Path]) -> dict[Sequence, Path]:
    """Return the sequences among the parts, in channel order."""
    return {sequence: parts[sequence] for sequence in Sequence if sequence in parts}
