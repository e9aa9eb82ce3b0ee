"""Raw clinical scans to a case that networks know, and labels back onto the scans' own grids."""

from minicube.preparation.registration import displacement
from minicube.preparation.scan import PreparedScan, Step, prepare_scan

__all__ = ["PreparedScan", "Step", "displacement", "prepare_scan"]
