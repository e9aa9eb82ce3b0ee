"""``minicube plan``: what fits into how much memory, before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minicube._errors import InputError, MissingExtra
from minicube.cli._shared import JsonOption, emit_json, measuring, progress, results

if TYPE_CHECKING:
    from minicube.engines.calibration import Calibration
    from minicube.inference import Needs

__all__ = ["BRAIN", "plan"]

_BUDGETS = ("512MB", "1GB", "2GB", "3GB", "6GB", "12GB")
BRAIN = (160, 192, 144)  # an adult's brain box at 1 mm


def plan(
    network: Annotated[
        list[str] | None,
        typer.Option(help="A model inside, default or tiny, or a preset; again for more."),
    ] = None,
    memory: Annotated[
        list[str] | None, typer.Option(help="A budget, such as 1GB; may be given several times.")
    ] = None,
    shape: Annotated[
        tuple[int, int, int], typer.Option(min=1, help="Voxels of the brain's box at 1 mm.")
    ] = BRAIN,
    json: JsonOption = None,
) -> None:
    """Show how a volume would be segmented within a budget: cut, peak and time.

    Times are rough, from a measurement of this machine made once.

    Example: minicube plan --network default --memory 1GB --shape 160 192 144
    """
    from minicube.planning import parse_memory

    budgets = {words: parse_memory(words) for words in memory or _BUDGETS}
    with progress() as display:
        networks = _networks(network, measuring(display))
    rows = [
        {"network": name, "memory": words, **_planned(needs, shape, size, takes)}
        for name, (needs, takes) in networks.items()
        for words, size in budgets.items()
    ]
    if json is not None:
        emit_json({"shape": list(shape), "plans": rows}, json)
    if json != "-":
        _tell(rows, shape)


def _networks(
    names: list[str] | None, told: Callable[[int, int], None]
) -> dict[str, tuple[Needs, Calibration]]:
    """Networks, and what runs them takes: the engine of models inside, torch for the others."""
    from importlib.util import find_spec

    from minicube.engines.calibration import calibrated
    from minicube.inference import Needs, shipped_model, shipped_names

    found, inside = {}, shipped_names()
    for name in inside if names is None else [name for name in inside if name in names]:
        model = shipped_model(name)
        takes = calibrated(model, measuring=told)
        found[name] = (Needs(model.cost, model.description.cut, 4), takes)
    others = [name for name in names or () if name not in inside]
    if find_spec("torch") is None:
        if others:
            raise MissingExtra("Planning for networks that are not trained yet", "train")
        return found
    from minicube.networks import cost_of
    from minicube.training import TrainingConfig, preset_names

    known = [n for n in preset_names() if not n.endswith("-as-reported")]
    unknown = [name for name in others if name not in preset_names()]
    if unknown:
        raise InputError(
            f"There is no network {unknown[0]}.", expected=f"one of {', '.join([*inside, *known])}"
        )
    for name in known if names is None else others:
        config = TrainingConfig.read(name)
        takes = calibrated(measuring=told)
        found[name] = (Needs(cost_of(config.network_config), config.cut, 4), takes)
    return found


def _planned(
    needs: Needs, shape: tuple[int, int, int], budget: int, takes: Calibration
) -> dict[str, Any]:
    from minicube.inference import plan_ahead

    try:
        return plan_ahead(needs, shape, budget, takes).to_dict()
    except InputError as error:
        return {"cut": None, "budget_bytes": budget, "least": error.expected}


def _tell(rows: list[dict[str, Any]], shape: tuple[int, int, int]) -> None:
    from rich.table import Table
    from rich.text import Text

    from minicube.planning import in_words

    table = Table(title=f"{' × '.join(map(str, shape))} voxels, four sequences, fp32")
    for heading in ("network", "memory", "how", "peak", "work", "seconds"):
        table.add_column(heading, overflow="fold")
    last = None
    for row in rows:
        name = "" if row["network"] == last else row["network"]
        last = row["network"]
        if row["cut"] is None:
            too_little = Text(f"too little: {row['least']}", "yellow")
            table.add_row(name, row["memory"], too_little, "", "", "")
            continue
        table.add_row(
            name,
            row["memory"],
            row["cut"],
            in_words(row["predicted_bytes"]),
            f"{row['overhead']:.2f} ×",
            f"{row['predicted_seconds']:.0f}",
        )
    results().print(table)
