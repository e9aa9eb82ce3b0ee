"""``minicube train``: a network from labelled cases."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from minicube._errors import InputError, require
from minicube.cli._shared import SchemeName, progress, results, scheme_called

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from minicube.training import Scores, TrainingConfig, TrainingPlan

__all__ = ["train"]

# Written out, since the type itself would pull torch into `minicube --help`; a test compares.
NetworkWord = Literal["segnet", "unet2d", "unet3d-report", "unet3d-context", "vnet", "unet3d"]


def train(
    data: Annotated[Path, typer.Option(help="Labelled cases, in any layout.")],
    out: Annotated[Path, typer.Option(help="Run folder.")],
    network: Annotated[NetworkWord | None, typer.Option(help="Which network.")] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.1, help="Train about this long (set once, in steps).")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Train this many steps.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of weights, split and samples.")] = None,
    config: Annotated[
        str | None,
        typer.Option(help="Settings: TOML, a run's `config.json`, or a preset by its name."),
    ] = None,
    labels: Annotated[
        SchemeName | None, typer.Option(help="Label scheme of the references, if not stated.")
    ] = None,
    start: Annotated[
        Path | None, typer.Option(help="Begin with the weights of this model.")
    ] = None,
    memory: Annotated[
        str | None, typer.Option(help="Most that this process may hold, such as 3GB; or auto.")
    ] = None,
    device: Annotated[
        Literal["cpu", "cuda"],
        typer.Option(help="Where to compute; --memory is then of the card. Not verified on one."),
    ] = "cpu",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
) -> None:
    """Train a network on labelled cases.

    Example: minicube train --data phantoms/ --out runs/first --minutes 20

    Presets, for --config: segnet, unet2d, unet3d-report, unet3d-context and vnet are the systems
    of the report with the repairs; each with -as-reported behind it is as the report had it.
    """
    require("Training", "train", "torch", "lightning_fabric", "monai")
    if minutes is not None and steps is not None:
        raise InputError("--minutes and --steps contradict each other.", hint="give one of them")
    from minicube.planning import parse_memory
    from minicube.reporting import run_report, write_report
    from minicube.training import Device, TrainingRequest
    from minicube.training import train as run_training
    from minicube.training.device import spare_on_card

    place = Device(device)
    spare = spare_on_card() if place is Device.CUDA else None
    given = {"network": network, "steps": steps, "seed": seed}
    request = TrainingRequest(
        data=data,
        out=out,
        config=_config(config, {key: v for key, v in given.items() if v is not None}),
        minutes=minutes,
        resume=resume,
        labels=scheme_called(labels),
        start=start,
        memory=None if memory is None else parse_memory(memory, spare),
        device=place,
    )
    with progress() as display:
        run = run_training(request, _Display(display))
    page = run.path / "report.html"
    write_report(page, run_report(run.path))
    results().print(f"trained: {run.path}\nreport: {page}")


def _config(source: str | None, given: Mapping[str, Any]) -> TrainingConfig:
    """The settings asked for, changed by what else was given.

    Raises:
        InputError: They do not fit together; for a network alone the way out is its preset.
    """
    from minicube.training import TrainingConfig, preset_names

    settings = TrainingConfig() if source is None else TrainingConfig.read(source)
    try:
        return TrainingConfig.checked(settings.model_dump() | dict(given), "command line")
    except InputError as error:
        network = given.get("network")
        if source is not None or network not in preset_names():
            raise
        raise InputError(
            f"The default settings do not fit the network {network}.",
            found=error.found,
            hint=f"--config {network} in place of --network {network}",
        ) from error


class _Display:
    """Shows a training as it goes; prints the milestones when nobody watches the bar."""

    def __init__(self, display: Progress) -> None:
        self._display = display
        self._bar: TaskID | None = None
        self._smooth: float | None = None

    def preparing(self, done: int, total: int) -> None:
        if self._bar is None:
            self._bar = self._display.add_task("preparing", total=total, note="")
        self._display.update(self._bar, completed=done)

    def planned(self, plan: TrainingPlan) -> None:
        self._display.console.print(f"memory: {plan.in_words()}")

    def starting(self, config: TrainingConfig, step: int) -> None:
        self._display.console.print(
            f"{config.network} {'-'.join(map(str, config.widths))}, {config.steps} steps"
            + (f", going on at step {step}" if step else "")
        )
        self._bar = self._display.add_task("training", total=config.steps, completed=step, note="")

    def stepped(self, step: int, loss: float) -> None:
        self._smooth = loss if self._smooth is None else 0.95 * self._smooth + 0.05 * loss
        if self._bar is not None:
            self._display.update(self._bar, completed=step, note=f"loss {self._smooth:.3f}")

    def validated(self, step: int, scores: Scores) -> None:
        dice = "  ".join(
            f"{name} {'–' if value is None else f'{value:.3f}'}"
            for name, value in scores.dice.items()
        )
        self._display.console.print(
            f"step {step}: held-out loss {scores.loss:.3f}, mean Dice over "
            f"{scores.cases} case{'s' * (scores.cases != 1)}: {dice}"
        )
