"""A case written as a DICOM study: for tests, demonstrations and trying a way to an archive."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from pydicom.valuerep import DSfloat

from minicube._errors import InputError
from minicube._files import replacing
from minicube._version import __version__
from minicube.dicom.stack import LPS_TO_RAS
from minicube.dicom.uids import uid_of
from minicube.scans import Case, Geometry, Sequence

__all__ = ["write_study"]

_MOST: Final = (1 << 16) - 1
_RIGHT_ANGLES: Final = 1e-4
_DATE: Final = "20000101"  # no day on which anything was scanned


@dataclass(frozen=True)
class _Protocol:
    """How a sequence is usually taken; times in ms."""

    description: str
    scanning: tuple[str, ...]
    variant: str
    repetition: float
    echo: float
    inversion: float | None
    flip: float
    agent: bool = False


_PROTOCOLS: Final = {
    Sequence.T1N: _Protocol("T1 MPRAGE", ("GR", "IR"), "MP", 1900, 2.5, 900, 9),
    Sequence.T2W: _Protocol("T2 TSE", ("SE",), "SK", 5000, 100, None, 120),
    Sequence.T2F: _Protocol("T2 FLAIR", ("SE", "IR"), "SK", 9000, 120, 2500, 120),
    Sequence.T1C: _Protocol(
        "T1 MPRAGE post contrast", ("GR", "IR"), "MP", 1900, 2.5, 900, 9, agent=True
    ),
}


def write_study(case: Case, folder: Path) -> list[Path]:
    """Write each sequence there is as a series of classic MR images, one a file.

    The tags are those of a usual protocol; patient's name and number are the case's name, and
    every description says that no scanner made this. The same case gives the same identifiers.

    Args:
        case: Its intensities are written as they are where they are whole numbers from 0 to
            65535, else scaled to such.
        folder: Made when missing; a folder a series goes into it.

    Returns:
        The files written.

    Raises:
        InputError: The case's axes are not at right angles, or the folder cannot be written to.
    """
    written = []
    for number, (sequence, protocol) in enumerate(_PROTOCOLS.items(), start=1):
        if sequence not in case.images:
            continue
        stored, slope, intercept = _stored(case.geometry.from_ras(case.images[sequence]))
        series = _series(case, sequence, protocol, number)
        if (slope, intercept) != (1, 0):
            series.RescaleSlope, series.RescaleIntercept = _decimal(slope), _decimal(intercept)
        for index in range(stored.shape[2]):
            image = _image(series, case.geometry, index)
            image.PixelData = np.ascontiguousarray(stored[:, :, index].T).astype("<u2").tobytes()
            path = folder / f"{number}_{sequence.value}" / f"{index + 1:04d}.dcm"
            with replacing(path) as temporary:
                image.save_as(temporary, enforce_file_format=True)
            written.append(path)
    return written


def _stored(values: NDArray[np.float32]) -> tuple[NDArray[np.uint16], float, float]:
    """Stored values, slope and intercept."""
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= _MOST and bool((values == np.rint(values)).all()):
        return values.astype(np.uint16), 1.0, 0.0
    slope = (high - low) / _MOST or 1.0
    return np.rint((values - low) / slope).astype(np.uint16), slope, low


def _series(case: Case, sequence: Sequence, protocol: _Protocol, number: int) -> Dataset:
    """All that the images of a series have in common."""
    ds = Dataset()
    _patient_and_study(ds, case)
    ds.SeriesInstanceUID = uid_of("series", case.identity, sequence.value)
    ds.SeriesNumber = number
    ds.SeriesDescription = f"{protocol.description} (made by minicube)"
    ds.Modality = "MR"
    ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = _DATE
    ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = f"12{number:02d}00"
    ds.FrameOfReferenceUID = uid_of("frame of reference", case.identity)
    ds.PositionReferenceIndicator = None
    ds.PatientPosition = "HFS"
    ds.Manufacturer = ds.ManufacturerModelName = "minicube"
    ds.SoftwareVersions = __version__
    ds.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    ds.DerivationDescription = "Made by minicube from a volume; no scanner took this"
    ds.BodyPartExamined = "BRAIN"
    ds.ScanningSequence = list(protocol.scanning)
    ds.SequenceVariant = protocol.variant
    ds.ScanOptions = None
    ds.MRAcquisitionType = "3D" if "GR" in protocol.scanning else "2D"
    ds.RepetitionTime = protocol.repetition
    ds.EchoTime = protocol.echo
    ds.EchoTrainLength = 1
    if protocol.inversion is not None:
        ds.InversionTime = protocol.inversion
    ds.FlipAngle = protocol.flip
    ds.MagneticFieldStrength = 3
    if protocol.agent:
        ds.ContrastBolusAgent = "Gadolinium"
    ds.AcquisitionNumber = number
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelRepresentation = 0
    return ds


def _patient_and_study(ds: Dataset, case: Case) -> None:
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientName, ds.PatientID = f"minicube^{case.identity}", case.identity
    ds.PatientBirthDate = ds.PatientSex = None
    ds.StudyInstanceUID = uid_of("study", case.identity)
    ds.StudyDate, ds.StudyTime = _DATE, "120000"
    ds.StudyID = "1"
    ds.StudyDescription = "made by minicube"
    ds.AccessionNumber = ds.ReferringPhysicianName = None


def _image(series: Dataset, geometry: Geometry, index: int) -> Dataset:
    """One slice along the file's third axis, its pixels apart."""
    affine = LPS_TO_RAS @ geometry.affine
    spacing = geometry.spacing
    directions = affine[:3, :3] / spacing
    if np.abs(directions.T @ directions - np.eye(3)).max() > _RIGHT_ANGLES:
        raise InputError(
            "The case's axes are not at right angles, which DICOM cannot say.",
            found=geometry.in_words(),
        )
    ds = Dataset()
    ds.update(series)
    ds.SOPClassUID = MRImageStorage
    ds.SOPInstanceUID = uid_of("image", series.SeriesInstanceUID, index)
    ds.InstanceNumber = index + 1
    ds.Columns, ds.Rows = geometry.shape[:2]
    ds.PixelSpacing = [_decimal(spacing[1]), _decimal(spacing[0])]
    ds.SliceThickness = ds.SpacingBetweenSlices = _decimal(spacing[2])
    ds.ImageOrientationPatient = [_decimal(v) for v in (*directions[:, 0], *directions[:, 1])]
    place = affine[:3, 3] + index * affine[:3, 2]
    ds.ImagePositionPatient = [_decimal(v) for v in place]
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    return ds


def _decimal(value: float) -> DSfloat:
    """A number in the sixteen characters that DICOM has for one."""
    return DSfloat(float(value) + 0.0, auto_format=True)
