"""``minicube tune``: a search for settings that learn well."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from minicube._errors import require
from minicube.cli._shared import (
    JsonOption,
    SchemeName,
    emit_json,
    progress,
    results,
    scheme_called,
)

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from minicube.training import Listener, Scores, TrainingConfig, TrainingPlan
    from minicube.tuning import Found

__all__ = ["tune"]


def tune(
    data: Annotated[Path, typer.Option(help="Labelled cases, in any layout.")],
    out: Annotated[Path, typer.Option(help="Search folder; goes on when it has begun.")],
    space: Annotated[
        str | None,
        typer.Option(help="What may be tried: TOML, or `default` or `focal-tversky`."),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="How many in all, in place of the space's number.")
    ] = None,
    held_out: Annotated[
        Path | None,
        typer.Option(help="Labelled cases that judge; by default a share of --data."),
    ] = None,
    labels: Annotated[
        SchemeName | None, typer.Option(help="Label scheme of the references, if not stated.")
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Database that several machines reach; by default a file in --out."
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="Of the search in that database.")] = "search",
    device: Annotated[
        Literal["cpu", "cuda"], typer.Option(help="Where to compute. Not verified on a card.")
    ] = "cpu",
    json: JsonOption = None,
) -> None:
    """Search for settings that learn well: trainings that differ, judged on cases held out.

    Stopped at any point, the same command goes on. Given again while it runs, it joins: two
    processes share the trials that are left.

    Example: minicube tune --data phantoms/ --out tuning/ --space focal-tversky --trials 30

    Example: minicube tune --data cases/ --out here/ --storage postgresql+psycopg://lab@server/tuning
    """
    require("A search", "train,tune", "torch", "lightning_fabric", "monai", "optuna")
    from minicube._files import read_json
    from minicube.training import Device
    from minicube.tuning import SearchRequest, Space, run_search

    request = SearchRequest(
        data=data,
        out=out,
        space=None if space is None else Space.read(space),
        trials=trials,
        held_out=held_out,
        labels=scheme_called(labels),
        storage=storage,
        name=name,
        device=Device(device),
    )
    with progress() as display:
        folder = run_search(request, _Display(display))
    found = read_json(folder.results)
    if json is not None:
        emit_json(found, json)
    if json != "-":
        best = next((t for t in found["trials"] if t["number"] == found["best"]), None)
        if best is not None:
            words = f"{_in_words(best['values'])}: mean Dice {best['dice']:.3f}"
            results().print(f"best: trial {best['number']}: {words}", soft_wrap=True)
        results().print(f"report: {folder.report}\ntrials: {folder.results}")


def _in_words(values: dict[str, object]) -> str:
    return ", ".join(
        f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in values.items()
    )


class _Display:
    """Shows the whole search and the training under way; a line for each trial that ended."""

    def __init__(self, display: Progress) -> None:
        self._display = display
        self._bars: dict[str, TaskID] = {}

    def show(self, name: str, done: int, total: int, note: str = "") -> None:
        if name not in self._bars:
            self._bars[name] = self._display.add_task(name, total=total, note=note)
        self._display.update(self._bars[name], completed=done, total=total, note=note)

    def preparing(self, done: int, total: int) -> None:
        self.show("preparing cases", done, total)

    def counted(self, done: int, total: int) -> None:
        self.show("trials", done, total)

    def beginning(self, number: int) -> Listener:
        if "training" in self._bars:
            self._display.remove_task(self._bars.pop("training"))
        return _Training(self, number)

    def ended(self, trial: Found, best: Found | None) -> None:
        score = "" if trial.dice is None else f", mean Dice {trial.dice:.3f}"
        why = f" ({trial.reason})" if trial.reason else ""
        record = "" if best is None else f"; best {best.dice:.3f}, trial {best.number}"
        words = f"{trial.state}{why}{score}: {_in_words(dict(trial.values))}{record}"
        self.tell(f"trial {trial.number} {words}")

    def tell(self, words: str) -> None:
        self._display.console.print(words, soft_wrap=True)


class _Training:
    """Shows one trial's training."""

    def __init__(self, display: _Display, number: int) -> None:
        self._display, self._number, self._steps = display, number, 1

    def preparing(self, done: int, total: int) -> None:
        """Nothing: cases are prepared before."""

    def planned(self, plan: TrainingPlan) -> None:
        """Nothing: trials have no budget."""

    def starting(self, config: TrainingConfig, step: int) -> None:
        self._steps = config.steps
        self._display.show("training", step, self._steps, f"trial {self._number}")

    def stepped(self, step: int, loss: float) -> None:
        self._display.show("training", step, self._steps, f"trial {self._number}, loss {loss:.3f}")

    def validated(self, step: int, scores: Scores) -> None:
        """Nothing: the trial's line says what came of it."""

    def warned(self, words: str) -> None:
        self._display.tell(f"trial {self._number}: {words}")
