"""Pictures, and one-file HTML reports of a case or a training run."""

from minicube.reporting.case_report import case_report
from minicube.reporting.colours import COLOURS
from minicube.reporting.html import write_report
from minicube.reporting.planes import Panel, contact_sheet, render_planes
from minicube.reporting.run_report import run_report

__all__ = [
    "COLOURS",
    "Panel",
    "case_report",
    "contact_sheet",
    "render_planes",
    "run_report",
    "write_report",
]
