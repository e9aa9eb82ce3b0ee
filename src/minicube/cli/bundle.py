"""``minicube bundle``: an offline install for a PC without internet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from minicube.cli._shared import JsonOption, emit_json, progress, results

__all__ = ["bundle"]

# Written out, as in _shared; a test compares.
PlatformName = Literal["linux", "windows", "macos"]


def bundle(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder or .zip file to write.")],
    python: Annotated[
        str, typer.Option(metavar="3.12", help="Of the other PC; by default as here.")
    ] = "",
    platform: Annotated[
        PlatformName | None, typer.Option(help="Of the other PC; by default as here.")
    ] = None,
    no_clobber: Annotated[
        bool, typer.Option("--no-clobber", help="Refuse to replace a file that exists.")
    ] = False,
    json: JsonOption = None,
) -> None:
    """Make an offline install: minicube with its model, all it needs, and scripts that install it.

    This needs the internet: pip fetches the packages from where it is configured to.

    Example: minicube bundle minicube-for-windows.zip --python 3.12 --platform windows
    """
    from minicube._bundle import BundleRequest, make_bundle

    request = BundleRequest(out, python, platform, overwrite=not no_clobber)
    with progress() as display:
        display.add_task("fetching packages", total=None, note=f"for Python {request.version}")
        made = make_bundle(request)
    if json is not None:
        emit_json(
            {
                "output": str(made.path),
                "python": request.version,
                "platform": platform,
                "wheels": made.wheels,
                "bytes": made.size,
            },
            json,
        )
    if json != "-":
        megabytes = made.size / 2**20
        results().print(f"{made.path}: {len(made.wheels)} packages, {megabytes:.0f} MB")
