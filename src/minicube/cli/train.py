"""``minicube train``: a network from labelled cases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from minicube._errors import InputError, require
from minicube.cli._shared import SchemeName, progress, results, scheme_called
from minicube.cli._training import TrainingDisplay

if TYPE_CHECKING:
    from minicube.engines import Model
    from minicube.training import TrainingConfig

__all__ = ["train"]

# Written out, since the type itself would pull torch into `minicube --help`; a test compares.
NetworkWord = Literal[
    "segnet", "unet2d", "unet3d-report", "unet3d-context", "vnet", "unet3d", "unet3d-fast"
]


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
    init: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Go on from a model: a run, an exported file, or `default`, the one inside.",
        ),
    ] = None,
    replay: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Share of windows of made-up cases; with --init usually 0.3."
        ),
    ] = None,
    memory: Annotated[
        str | None, typer.Option(help="Most that this process may hold, such as 3GB; or auto.")
    ] = None,
    device: Annotated[
        Literal["cpu", "cuda"],
        typer.Option(help="Where to compute; --memory is then of the card. Not verified on one."),
    ] = "cpu",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    mlflow: Annotated[
        str | None,
        typer.Option(
            metavar="STORE",
            help="Tell MLflow as well: an SQLite file, or a server's http(s)://.",
        ),
    ] = None,
) -> None:
    """Train a network on labelled cases.

    Example: minicube train --data phantoms/ --out runs/first --minutes 20

    Example: minicube train --data mine/ --out runs/mine --init default --minutes 20

    Presets, for --config: segnet, unet2d, unet3d-report, unet3d-context and vnet are the systems
    of the report with the repairs; each with -as-reported behind it is as the report had it.
    unet3d-fast is the network for processors without a GPU. Without --config and --init it is
    unet3d; without --minutes and --steps it makes the config's steps, 1000 by default.

    Several processes that torchrun or srun start train together: docs/distributed.md.
    """
    require("Training", "train", "torch", "lightning_fabric", "monai")
    if minutes is not None and steps is not None:
        raise InputError("--minutes and --steps contradict each other.", hint="give one of them")
    from minicube.engines import load_model
    from minicube.inference import model_place
    from minicube.planning import parse_memory
    from minicube.reporting import run_report, write_report
    from minicube.training import Device, MlflowStore, TrainingRequest, rank_here
    from minicube.training import train as run_training
    from minicube.training.device import spare_on_card

    place = Device(device)
    spare = spare_on_card() if place is Device.CUDA else None
    given = {"network": network, "steps": steps, "seed": seed, "simulated": replay}
    given = {key: value for key, value in given.items() if value is not None}
    if resume:
        _refuse_other_settings(out, config, given)
        if init is not None or minutes is not None:
            raise InputError(
                "--init and --minutes say how a run begins; with --resume it has begun.",
                hint="leave them out, or begin in another folder",
            )
    model = None
    if init is not None:
        model = load_model(model_place(init))
    request = TrainingRequest(
        data=data,
        out=out,
        config=_config(config, model, given),
        minutes=minutes,
        resume=resume,
        labels=scheme_called(labels),
        start=None if model is None else model.place,
        memory=None if memory is None else parse_memory(memory, spare),
        device=place,
        mlflow=None if mlflow is None else MlflowStore.called(mlflow),
    )
    with progress() as display:
        run = run_training(request, TrainingDisplay(display))
    if rank_here():
        return  # the first process says and draws it
    page = run.path / "report.html"
    write_report(page, run_report(run.path))
    results().print(f"trained: {run.path}\nreport: {page}")


def _refuse_other_settings(out: Path, config: str | None, given: Mapping[str, Any]) -> None:
    """A run goes on with the settings it began with; what says otherwise is not ignored."""
    from minicube.training import RunFolder, TrainingConfig

    if not (run := RunFolder(out)).is_started():
        return  # which is refused later
    begun = run.read_config().model_dump(mode="json")
    read = {} if config is None else TrainingConfig.read(config).model_dump(mode="json")
    settled = run.settled()
    asked = {key: value for key, value in read.items() if key not in settled} | dict(given)
    if other := list(_differences(asked, begun)):
        raise InputError(
            f"The run in {out} was begun with other settings.",
            found="; ".join(other),
            hint="leave out --config, --network, --steps, --seed and --replay, or begin in another "
            "folder",
        )


def _differences(
    asked: Mapping[str, Any], begun: Mapping[str, Any], table: str = ""
) -> Iterator[str]:
    """What is asked for otherwise, key by key; inner ones with a dot."""
    for key, value in asked.items():
        if isinstance(value, Mapping):
            yield from _differences(value, begun[key], f"{table}{key}.")
        elif value != begun[key]:
            yield f"{table}{key} {value}, not {begun[key]}"


def _config(source: str | None, model: Model | None, given: Mapping[str, Any]) -> TrainingConfig:
    """The settings asked for, or those of the model to go on from, changed by what else was given.

    Raises:
        InputError: They do not fit together; for a network alone the way out is its preset.
    """
    from minicube.training import TrainingConfig, config_to_go_on, preset_names

    if source is not None:
        settings = TrainingConfig.read(source)
    else:
        settings = TrainingConfig() if model is None else config_to_go_on(model)
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
