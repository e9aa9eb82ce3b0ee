"""``minicube report``: one HTML file of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from minicube.cli._shared import results

__all__ = ["report"]


def report(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="HTML file; RUN/report.html by default.")
    ] = None,
) -> None:
    """Write the story of a training run as one HTML file.

    Example: minicube report runs/first
    """
    from minicube.reporting import run_report, write_report

    target = out or run / "report.html"
    write_report(target, run_report(run))
    results().print(f"report: {target}")
