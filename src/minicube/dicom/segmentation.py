"""Labels as a DICOM segmentation (SEG): one segment a tissue.

All three tissues are always described, so that none found differs from not looked for. A tissue
without a voxel has no frame. Where there is no tumour at all, each has one frame, the middle one,
with nothing in it: a segmentation must have a frame.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Final

import highdicom as hd
import numpy as np
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from minicube._errors import InputError
from minicube._files import replacing
from minicube._version import __version__
from minicube.dicom.findings import CODES, NOT_CLINICAL, Findings, MadeFrom
from minicube.dicom.frames import quietly, read_header

__all__ = ["made_from", "write_segmentation"]

_SERIES_NUMBER: Final = 9001  # behind what a scanner counts


def write_segmentation(
    findings: Findings, path: Path, *, overwrite: bool = True
) -> hd.seg.Segmentation:
    """Write a binary segmentation that lies on the source series' own images.

    Patient, study and frame of reference are those of the source. The same findings give the
    same identifiers.

    Args:
        findings: To write.
        path: The file.
        overwrite: False refuses to replace an existing file.

    Returns:
        What was written.

    Raises:
        InputError: The source cannot be read, or the file not be written.
    """
    frames = findings.source.frames
    array = np.moveaxis(findings.labels.array, 2, 0).transpose(0, 2, 1)  # image, row, column
    empty = not array.any()
    if empty:
        middle = len(frames) // 2
        frames, array = frames[middle : middle + 1], array[middle : middle + 1]
    first = frames[0]
    assert first.orientation is not None
    assert first.spacing is not None
    with quietly(first.path):
        segmentation = hd.seg.Segmentation(
            source_images=findings.source_headers,
            pixel_array=np.ascontiguousarray(array),
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=_segments(findings),
            series_instance_uid=findings.uid("segmentation series"),
            series_number=_SERIES_NUMBER,
            sop_instance_uid=findings.uid("segmentation"),
            instance_number=1,
            plane_positions=[
                hd.PlanePositionSequence("PATIENT", frame.position or ()) for frame in frames
            ],
            plane_orientation=hd.PlaneOrientationSequence("PATIENT", first.orientation),
            pixel_measures=_measures(findings, first.spacing),
            omit_empty_frames=not empty,
            content_label="TUMOUR",
            content_description=f"Brain tumour found by minicube. {NOT_CLINICAL}",
            series_description=f"minicube segmentation - {NOT_CLINICAL}",
            transfer_syntax_uid=ExplicitVRLittleEndian,
            **findings.equipment(),
        )
        with replacing(path, overwrite=overwrite) as temporary:
            segmentation.save_as(temporary, enforce_file_format=True)
    return segmentation


def made_from(path: Path) -> MadeFrom | None:
    """What a segmentation of ours says it was made from; None of any other object."""
    try:
        with quietly(path):
            first = read_header(path).SegmentSequence[0]
            (algorithm,) = first.SegmentationAlgorithmIdentificationSequence
            parts = str(algorithm.AlgorithmParameters).split(",")
            said = dict(part.split("=", 1) for part in parts)
            return MadeFrom(said["scans"], said.get("settings", ""))
    except InputError:
        return None


def _segments(findings: Findings) -> list[hd.seg.SegmentDescription]:
    algorithm = hd.AlgorithmIdentificationSequence(
        name=findings.model,
        family=codes.cid7162.ArtificialIntelligence,
        version=__version__,
        source="minicube",
        parameters=_parameters(findings.made_from),
    )
    return [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=tissue.value,
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=CODES[tissue],
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
            tracking_uid=findings.uid(f"segment {number}"),
            tracking_id=tissue.value,
            anatomic_regions=[codes.SCT.Brain],
            display_color=hd.color.CIELabColor.from_rgb(*findings.colours[tissue]),
        )
        for number, tissue in findings.labels.scheme.tissues.items()
    ]


def _parameters(known: MadeFrom | None) -> dict[str, str] | None:
    return None if known is None else {k: v for k, v in asdict(known).items() if v}


def _measures(findings: Findings, spacing: tuple[float, ...]) -> hd.PixelMeasuresSequence:
    grid = findings.source.geometry
    assert grid is not None
    between = float(grid.spacing[2])
    return hd.PixelMeasuresSequence(
        pixel_spacing=spacing, slice_thickness=between, spacing_between_slices=between
    )
