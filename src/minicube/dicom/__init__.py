"""DICOM in and out: studies to cases, label maps to segmentations and reports.

Needs the extra ``dicom``; whether something is DICOM at all, ``minicube.scans`` knows without it.
"""

from minicube.dicom.choice import Assignment, choose
from minicube.dicom.conversion import OBJECTS, Converted, convert
from minicube.dicom.findings import CODES, Findings, MadeFrom
from minicube.dicom.recognition import Recognised
from minicube.dicom.report import write_report
from minicube.dicom.segmentation import made_from, write_segmentation
from minicube.dicom.series import Series, read_series, read_volume
from minicube.dicom.study import (
    NotRecognised,
    Study,
    open_studies,
    open_study,
    require_clear,
    write_case_files,
)
from minicube.dicom.unpacking import unpacked
from minicube.dicom.writing import write_study

__all__ = [
    "CODES",
    "OBJECTS",
    "Assignment",
    "Converted",
    "Findings",
    "MadeFrom",
    "NotRecognised",
    "Recognised",
    "Series",
    "Study",
    "choose",
    "convert",
    "made_from",
    "open_studies",
    "open_study",
    "read_series",
    "read_volume",
    "require_clear",
    "unpacked",
    "write_case_files",
    "write_report",
    "write_segmentation",
    "write_study",
]
