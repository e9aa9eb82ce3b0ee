"""The door to an archive of images (PACS): DICOMweb and DIMSE behind one interface.

Needs the extra ``pacs``. Nothing here computes: what a watch does with a study is handed to it.
"""

from minicube.pacs.access import Access, open_archive
from minicube.pacs.archive import Archive, Broken, Sent, SeriesEntry, Unreachable
from minicube.pacs.intake import Intake, IntakeLimits
from minicube.pacs.record import Entry, Record, State
from minicube.pacs.transfer import Pulled, pull, push
from minicube.pacs.watch import Pace, Segmenting, Watch, watching

__all__ = [
    "Access",
    "Archive",
    "Broken",
    "Entry",
    "Intake",
    "IntakeLimits",
    "Pace",
    "Pulled",
    "Record",
    "Segmenting",
    "Sent",
    "SeriesEntry",
    "State",
    "Unreachable",
    "Watch",
    "open_archive",
    "pull",
    "push",
    "watching",
]
