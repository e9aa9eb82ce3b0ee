"""``minicube doctor``: what this machine has, for a user and for a bug report."""

from __future__ import annotations

import typer

from minicube.cli._shared import JsonOption, emit_json, results

__all__ = ["doctor"]


def doctor(json: JsonOption = None) -> None:
    """Print versions, processor features, memory, and what is installed or missing.

    Example: minicube doctor --json
    """
    from minicube._machine import describe_machine

    found = describe_machine()
    if json is not None:
        emit_json(found, json)
        return
    from rich.table import Table
    from rich.text import Text

    for title, rows in found.items():
        table = Table(title=title, title_justify="left", show_header=False, min_width=60)
        for name, value in rows.items():
            missing = value is None
            table.add_row(name, Text("not installed", "yellow") if missing else str(value))
        results().print(table)
    if found["to train"]["torch"] is None:
        typer.echo("To train: pip install 'minicube[train]'", err=True)
