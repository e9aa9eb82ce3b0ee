"""``minicube serve``: the web application."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from minicube._errors import require
from minicube.cli._shared import console

__all__ = ["serve"]


def serve(
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of TCP.")] = 8000,
    data: Annotated[
        Path | None, typer.Option(help="Folder of all that is kept; by default the user's own.")
    ] = None,
    api_key_file: Annotated[
        Path | None,
        typer.Option(help="API keys, one a line. Needed where others can reach the address."),
    ] = None,
    allow_name: Annotated[
        list[str] | None, typer.Option(help="Name by which the server may be called, too.")
    ] = None,
    memory: Annotated[
        str | None, typer.Option(help="Most that a job may hold, such as 1GB; or auto.")
    ] = None,
    keep_days: Annotated[
        float, typer.Option(min=0, help="Days after which an idle job is deleted; 0: never.")
    ] = 30,
) -> None:
    """Serve a page in the browser, and a REST API that does the same.

    Example: minicube serve --port 8000
    """
    require("Serving", "serve", "fastapi", "uvicorn", "filelock")
    from platformdirs import user_data_path

    from minicube.server.app import serve as run
    from minicube.server.settings import Settings, read_keys

    settings = Settings(
        data=data or user_data_path("minicube") / "serve",
        host=host,
        port=port,
        keys=frozenset() if api_key_file is None else read_keys(api_key_file),
        names=frozenset(allow_name or ()),
        memory=memory,
        keep_days=keep_days,
    )

    def ready() -> None:
        shown = f"[{host}]" if ":" in host else host
        console().print(f"minicube: http://{shown}:{port} – stop with Ctrl+C")
        console().print("Research use only – not a medical device.")

    run(settings, ready)
