"""Volumes as a structured report: TID 1500, a group for each tissue and each region."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import highdicom as hd
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from minicube._files import replacing
from minicube._version import __version__
from minicube.dicom.findings import CODES, NOT_CLINICAL, Findings
from minicube.dicom.frames import quietly
from minicube.dicom.uids import uid_of
from minicube.scans import Region, Tissue

__all__ = ["write_report"]

_SERIES_NUMBER: Final = 9002
_MILLILITRE: Final = Code("mL", "UCUM", "milliliter")
_REGIONS: Final[Mapping[Region, Code]] = {
    Region.WT: codes.SCT.Lesion,  # oedema is no neoplasm
    Region.TC: codes.SCT.Neoplasm,
    Region.ET: codes.NCIt.EnhancingLesion,
}


def write_report(
    findings: Findings, segmentation: Dataset, path: Path, *, overwrite: bool = True
) -> hd.sr.ComprehensiveSR:
    """Write how many millilitres each tissue and each region have, 0 where there is none.

    Args:
        findings: To report.
        segmentation: Written of the same findings; the tissues refer to its segments.
        path: The file.
        overwrite: False refuses to replace an existing file.

    Returns:
        What was written.

    Raises:
        InputError: The source cannot be read, or the file not be written.
    """
    source = findings.source
    with quietly(source.files[0]):
        content = hd.sr.MeasurementReport(
            observation_context=_observer(),
            procedure_reported=codes.LN.MRIUnspecifiedBodyRegion,
            imaging_measurements=[*_tissues(findings, segmentation), *_regions(findings)],
            title=codes.cid7021.ImagingMeasurementReport,
        )
        report = hd.sr.ComprehensiveSR(
            evidence=[segmentation, *findings.source_headers],
            content=content[0],
            series_instance_uid=findings.uid("report series"),
            series_number=_SERIES_NUMBER,
            sop_instance_uid=findings.uid("report"),
            instance_number=1,
            is_complete=True,
            series_description=f"minicube volumes - {NOT_CLINICAL}",
            **findings.equipment(),
        )
        with replacing(path, overwrite=overwrite) as temporary:
            report.save_as(temporary, enforce_file_format=True)
    return report


def _observer() -> hd.sr.ObservationContext:
    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=uid_of("device", __version__), name="minicube", model_name=f"minicube {__version__}"
    )
    context = hd.sr.ObserverContext(
        observer_type=codes.DCM.Device, observer_identifying_attributes=device
    )
    return hd.sr.ObservationContext(observer_device_context=context)


def _tissues(
    findings: Findings, segmentation: Dataset
) -> list[hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations]:
    return [
        hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=hd.sr.TrackingIdentifier(
                uid=findings.uid(f"segment {number}"), identifier=tissue.value
            ),
            referenced_segment=hd.sr.ReferencedSegment(
                sop_class_uid=segmentation.SOPClassUID,
                sop_instance_uid=segmentation.SOPInstanceUID,
                segment_number=number,
                source_series=hd.sr.SourceSeriesForSegmentation(findings.source.uid),
            ),
            finding_type=CODES[tissue],
            finding_sites=[hd.sr.FindingSite(codes.SCT.Brain)],
            measurements=_volume(findings, tissue),
        )
        for number, tissue in findings.labels.scheme.tissues.items()
    ]


def _regions(findings: Findings) -> list[hd.sr.MeasurementsAndQualitativeEvaluations]:
    return [
        hd.sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=hd.sr.TrackingIdentifier(
                uid=findings.uid(region.value), identifier=f"{region.title} ({region.value})"
            ),
            finding_type=code,
            finding_sites=[hd.sr.FindingSite(codes.SCT.Brain)],
            measurements=_volume(findings, region),
        )
        for region, code in _REGIONS.items()
    ]


def _volume(findings: Findings, part: Tissue | Region) -> list[hd.sr.Measurement]:
    return [
        hd.sr.Measurement(
            name=codes.SCT.Volume,
            value=findings.millilitres[part],
            unit=_MILLILITRE,
            algorithm_id=hd.sr.AlgorithmIdentification(
                name=findings.model,
                version=__version__,
                family=codes.cid7162.ArtificialIntelligence,
                manufacturer="minicube",
            ),
        )
    ]
