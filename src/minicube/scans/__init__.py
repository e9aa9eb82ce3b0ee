"""What is on disk, and back: scans, layouts, label schemes, geometry."""

from minicube.scans._named_files import names_a_sequence
from minicube.scans._names import sequence_named
from minicube.scans.absence import (
    check_complete,
    check_enough,
    remarks_on_scores,
    undeterminable,
    volumes_ml,
    without_enhancement,
)
from minicube.scans.case import Case, Croppable, Sequence, absent_from
from minicube.scans.components import components, enclosed
from minicube.scans.conversion import ConversionReport, convert_dataset
from minicube.scans.dicom_files import (
    CONVERTED,
    MAGIC_END,
    holds_dicom,
    is_dicom_start,
    reads_dicom,
    require_dicom,
)
from minicube.scans.geometry import Geometry, StoredForm
from minicube.scans.label_files import read_labels, stated_scheme, write_label_map
from minicube.scans.labels import NETWORK_SCHEME, LabelMap, LabelScheme, Region, Tissue
from minicube.scans.layouts import CaseFiles, Layout, VolumeInFile, find_cases
from minicube.scans.nifti import (
    read_header,
    read_volume,
    read_volumes_4d,
    write_volume,
    write_volumes_4d,
)
from minicube.scans.probability import write_probability_map
from minicube.scans.raw import RawScan, load_raw
from minicube.scans.reading import load_case, load_reference, scheme_of_reference
from minicube.scans.writing import describe_dataset, write_case

__all__ = [
    "CONVERTED",
    "MAGIC_END",
    "NETWORK_SCHEME",
    "Case",
    "CaseFiles",
    "ConversionReport",
    "Croppable",
    "Geometry",
    "LabelMap",
    "LabelScheme",
    "Layout",
    "RawScan",
    "Region",
    "Sequence",
    "StoredForm",
    "Tissue",
    "VolumeInFile",
    "absent_from",
    "check_complete",
    "check_enough",
    "components",
    "convert_dataset",
    "describe_dataset",
    "enclosed",
    "find_cases",
    "holds_dicom",
    "is_dicom_start",
    "load_case",
    "load_raw",
    "load_reference",
    "names_a_sequence",
    "read_header",
    "read_labels",
    "read_volume",
    "read_volumes_4d",
    "reads_dicom",
    "remarks_on_scores",
    "require_dicom",
    "scheme_of_reference",
    "sequence_named",
    "stated_scheme",
    "undeterminable",
    "volumes_ml",
    "without_enhancement",
    "write_case",
    "write_label_map",
    "write_probability_map",
    "write_volume",
    "write_volumes_4d",
]
