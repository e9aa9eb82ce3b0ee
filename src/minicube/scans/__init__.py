"""What is on disk, and back: scans, layouts, label schemes, geometry."""

from minicube.scans.case import Case, Sequence
from minicube.scans.geometry import Geometry
from minicube.scans.labels import NETWORK_SCHEME, LabelMap, LabelScheme, Region, Tissue

__all__ = [
    "NETWORK_SCHEME",
    "Case",
    "Geometry",
    "LabelMap",
    "LabelScheme",
    "Region",
    "Sequence",
    "Tissue",
]
