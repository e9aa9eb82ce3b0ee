"""Pictures, drawings, and one-file HTML reports of a case, a training run or a study."""

from minicube.reporting.case_report import case_report, score_notes
from minicube.reporting.colours import COLOURS, as_hex
from minicube.reporting.html import write_report
from minicube.reporting.network_figure import draw_network
from minicube.reporting.partition_figure import draw_partition
from minicube.reporting.planes import Panel, contact_sheet, render_planes
from minicube.reporting.preparation_figure import Preparation
from minicube.reporting.run_report import run_report
from minicube.reporting.search_report import search_report
from minicube.reporting.study_figures import (
    PredictionRow,
    composite_picture,
    prediction_sheet,
    sweep,
)
from minicube.reporting.study_report import study_report

__all__ = [
    "COLOURS",
    "Panel",
    "PredictionRow",
    "Preparation",
    "as_hex",
    "case_report",
    "composite_picture",
    "contact_sheet",
    "draw_network",
    "draw_partition",
    "prediction_sheet",
    "render_planes",
    "run_report",
    "score_notes",
    "search_report",
    "study_report",
    "sweep",
    "write_report",
]
