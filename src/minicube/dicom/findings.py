"""What was found in a study, and what every object that says so has in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any, Final

from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import UID

from minicube._errors import InputError
from minicube._version import __version__
from minicube.dicom.frames import read_header
from minicube.dicom.series import Series
from minicube.dicom.uids import uid_of
from minicube.scans import NETWORK_SCHEME, Geometry, LabelMap, Region, Tissue, volumes_ml

__all__ = ["CODES", "NOT_CLINICAL", "Findings", "MadeFrom"]

NOT_CLINICAL: Final = "NOT FOR CLINICAL USE"

CODES: Final[Mapping[Tissue, Code]] = {
    Tissue.OEDEMA: codes.SCT.Edema,
    Tissue.CORE: codes.NCIt.NonEnhancingLesion,
    Tissue.ENHANCING: codes.NCIt.EnhancingLesion,
}
"""Reference: DICOM PS3.16, CID 7169, for labels that do not tell necrosis apart."""

# What may be empty but must be there, and what files in the wild leave out.
_TYPE_2: Final = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)


@dataclass(frozen=True)
class MadeFrom:
    """What labels were made from, as names that are the same for the same.

    Args:
        scans: All images that were looked at, each series for its sequence.
        settings: Models and options; empty where nobody said.
    """

    scans: str
    settings: str


@dataclass(frozen=True, eq=False)
class Findings:
    """Labels on the grid of a series.

    Args:
        labels: In the scheme of networks, whose values become the numbers of segments; indexed
            by column, row and image of ``source``.
        source: The series they are drawn on, T1 with contrast.
        model: What found them, in words.
        colours: Of tissues, red, green, blue in 0–255.
        made_from: Scans and settings, where they are known.
    """

    labels: LabelMap
    source: Series
    model: str
    colours: Mapping[Tissue, tuple[int, int, int]]
    made_from: MadeFrom | None = None

    @classmethod
    def on(
        cls,
        source: Series,
        labels: LabelMap,
        grid: Geometry,
        *,
        model: str,
        colours: Mapping[Tissue, tuple[int, int, int]],
        made_from: MadeFrom | None = None,
    ) -> Findings:
        """Bring labels from another file's order of axes to that of the series.

        Args:
            source: As for the class, like ``model``, ``colours`` and ``made_from``.
            labels: In the axis order of ``grid``, in any scheme without a cavity.
            grid: Their own; holds the same voxels as the series.
            model: See above.
            colours: See above.
            made_from: See above.

        Raises:
            InputError: The grids differ, or the labels have a tissue that has no segment.
        """
        own = source.geometry
        if own is None or not grid.ras_grid().matches(own.ras_grid()):
            raise InputError(
                f"The labels do not lie on the grid of series {source.number}.",
                expected=source.problem if own is None else own.in_words(),
                found=grid.in_words(),
            )
        array = own.from_ras(grid.to_ras(labels.to(NETWORK_SCHEME).array))
        return cls(LabelMap(array, NETWORK_SCHEME), source, model, colours, made_from)

    @cached_property
    def source_headers(self) -> list[Dataset]:
        """Headers of the series' files; nothing is filled in but empty values."""
        headers = [read_header(path) for path in self.source.files]
        for header in headers:
            for keyword in _TYPE_2:
                if keyword not in header:
                    setattr(header, keyword, None)
        return headers

    @cached_property
    def millilitres(self) -> Mapping[Tissue | Region, float]:
        """Volume of each tissue and of WT, TC and ET, ml."""
        assert self.source.geometry is not None
        found = volumes_ml(self.labels, self.source.geometry)
        return {part: round(ml, 3) for part, ml in found.items() if ml is not None}

    def uid(self, kind: str) -> UID:
        """An identifier that is the same for the same labels of the same series and model."""
        digest = sha256(self.labels.array.tobytes(order="F")).hexdigest()
        return uid_of(kind, self.source.uid, digest, self.model, __version__)

    def equipment(self) -> dict[str, Any]:
        """What made the object, in the words highdicom's classes take."""
        return {
            "manufacturer": "minicube",
            "manufacturer_model_name": "minicube",
            "software_versions": __version__,
            "device_serial_number": __version__,
        }
