"""What several verbs share: options, progress, JSON out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from minicube.scans import LabelScheme

__all__ = [
    "JsonOption",
    "PrecisionName",
    "SchemeName",
    "console",
    "emit_json",
    "measuring",
    "progress",
    "results",
    "scheme_called",
]

# Written out, since the type itself would pull numpy into `minicube --help`; a test compares.
SchemeName = Literal["decathlon", "brats2015", "brats2021", "brats2023", "brats2024"]

JsonOption = Annotated[
    str | None,
    typer.Option(
        "--json",
        metavar="[FILE.json]",
        help="Results as JSON: into the file, or to the terminal when no file follows.",
    ),
]


PrecisionName = Literal["auto", "fp32", "bf16", "int8"]


def scheme_called(name: str | None) -> LabelScheme | None:
    """The scheme of that name; None stays None."""
    from minicube.scans import LabelScheme

    return None if name is None else LabelScheme(name)


def emit_json(value: Any, target: str) -> None:
    """Write JSON to a file, whole or not at all, or to standard output for ``-``."""
    from minicube._files import write_json

    if target == "-":
        typer.echo(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False))
    else:
        write_json(Path(target), value)


def results() -> Console:
    """Standard output: what was asked for."""
    from rich.console import Console

    return Console(highlight=False, markup=False)  # names and paths are shown as they are


def console() -> Console:
    """Standard error: how it goes, so that standard output holds results alone."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, markup=False)


@contextmanager
def progress() -> Iterator[Progress]:
    """A progress display with time left; silent when nobody watches."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    screen = console()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeLeft(elapsed_when_finished=True),
        TextColumn("{task.fields[note]}", markup=False),  # names of cases
    )
    with Progress(*columns, console=screen, disable=not screen.is_terminal) as display:
        yield display


def measuring(display: Progress) -> Callable[[int, int], None]:
    """Shows how far an engine is measured, which happens once on a machine."""
    bars: list[TaskID] = []

    def told(done: int, of: int) -> None:
        if not bars:
            bars.append(display.add_task("measuring the engine", total=of, note="once, then kept"))
        display.update(bars[0], completed=done)

    return told
