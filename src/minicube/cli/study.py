"""``minicube study``: the report's comparison, from data to tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minicube._errors import InputError, require
from minicube.cli._shared import SchemeName, progress, results, scheme_called

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["study"]


def study(
    out: Annotated[
        Path | None, typer.Option(help="Study folder; goes on when it has begun.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Labelled real cases, in any layout; none: phantoms alone.")
    ] = None,
    minutes: Annotated[
        float, typer.Option(min=0.001, help="Training of each system, for each fold.")
    ] = 40.0,
    as_reported: Annotated[
        bool, typer.Option(help="Each also in the report's own setting, for as long.")
    ] = True,
    ablation_minutes: Annotated[
        float | None,
        typer.Option(min=0, help="Training of each row of the ablation; by default a fifth."),
    ] = None,
    phantoms: Annotated[int, typer.Option(min=0, help="Phantoms to learn from.")] = 96,
    unseen_phantoms: Annotated[int, typer.Option(min=0, help="Phantoms to test on.")] = 6,
    folds: Annotated[int, typer.Option(min=2, help="Parts the cases are split into.")] = 3,
    system: Annotated[
        list[str] | None, typer.Option(help="Compare only this one; may be given several times.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Of each training.")] = 1,
    jobs: Annotated[int, typer.Option(min=1, help="Trainings at once.")] = 1,
    memory: Annotated[
        str | None, typer.Option(help="Most that each training's process may hold, such as 3GB.")
    ] = None,
    labels: Annotated[
        SchemeName | None, typer.Option(help="Label scheme of the references, if not stated.")
    ] = None,
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Train nothing; write what there is so far.")
    ] = False,
    verify: Annotated[
        Path | None, typer.Option(help="Recompute this study's tables from its predictions.")
    ] = None,
) -> None:
    """Compare the report's systems on the same cases, and find out what made them learn.

    Stopped at any point, the same command goes on. Minutes are processor minutes of each training.

    Example: minicube study --data cases/ --out study/ --minutes 40 --jobs 2
    """
    require("A study", "train", "torch", "lightning_fabric", "monai")
    if verify is not None:
        _verify(verify, data, labels)
        return
    if out is None:
        raise InputError("A study needs a folder.", hint="name it with --out")
    from minicube.planning import parse_memory
    from minicube.study import Setting, StudyRequest, run_study

    setting = Setting.checked(
        minutes=minutes,
        as_reported=as_reported,
        ablation_minutes=minutes / 5 if ablation_minutes is None else ablation_minutes,
        folds=folds,
        phantoms=phantoms,
        unseen_phantoms=unseen_phantoms,
        threads=threads,
        memory=None if memory is None else parse_memory(memory),
        **({"systems": system} if system else {}),
    )
    request = StudyRequest(data, out, setting, scheme_called(labels), jobs, not report_only)
    with progress() as display:
        folder = run_study(request, _Display(display))
    results().print(f"report: {folder.report}\ntables: {folder.results}")


def _verify(folder: Path, data: Path | None, labels: SchemeName | None) -> None:
    from minicube.study import Plan, Source, StudyFolder, verify_study

    source = Source(data, scheme_called(labels), Plan.read(folder).setting)
    differences = verify_study(StudyFolder(folder), source)
    for line in differences:
        results().print(line)
    if differences:
        raise InputError(
            f"{folder / 'results.json'} is not what its predictions give.",
            found=f"{len(differences)} values differ",
        )
    results().print("every value of results.json is what the kept predictions give")


class _Display:
    """Shows the whole study and each training under way."""

    def __init__(self, display: Progress) -> None:
        self._display = display
        self._bars: dict[str, TaskID] = {}

    def _show(self, name: str, done: int, total: int) -> None:
        if name not in self._bars:
            self._bars[name] = self._display.add_task(name, total=total, note="")
        self._display.update(self._bars[name], completed=done, total=total)

    def preparing(self, done: int, total: int) -> None:
        self._show("preparing cases", done, total)

    def timing(self, done: int, total: int) -> None:
        self._show("timing a step", done, total)

    def planned(self, units: int, done: int) -> None:
        self._show("study", done, units)
        self._display.console.print(f"{units} trainings, {done} of them made before")

    def training(self, unit: str, step: int, steps: int) -> None:
        self._show(unit, step, steps)

    def finished(self, unit: str) -> None:
        if unit in self._bars:
            self._display.remove_task(self._bars.pop(unit))
        self._display.advance(self._bars["study"])
        self._display.console.print(f"done: {unit}")

    def writing(self) -> None:
        self._display.console.print("writing tables and pictures")
