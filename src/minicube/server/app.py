"""The application: routes, page and gate put together, and the server that runs it."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import uvicorn
from anyio import CapacityLimiter
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from minicube._errors import InputError, wrong_values
from minicube._files import locked
from minicube._version import __version__
from minicube.server.api import NOTE, Server, router
from minicube.server.gate import Gate
from minicube.server.jobs import Problem
from minicube.server.refusals import Refused
from minicube.server.runner import Runner
from minicube.server.settings import Settings
from minicube.server.store import Store

__all__ = ["create_app", "serve"]

PAGE: Final = Path(__file__).parent / "page"
_DATABASE: Final = "minicube.sqlite"
_JOBS: Final = "jobs"


def create_app(settings: Settings) -> FastAPI:
    """Return the application; its jobs run while it is being served.

    Args:
        settings: Where its data lie, and for whom it is.
    """

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        with locked(settings.data):
            store = Store(settings.data / _DATABASE)
            root = settings.data / _JOBS
            runner = Runner(store, root, settings.keep_days)
            app.state.server = Server(settings, store, runner, root, CapacityLimiter(1))
            runner.start()
            try:
                yield
            finally:
                runner.stop()
                store.close()

    app = FastAPI(
        title="minicube",
        version=__version__,
        description=f"Brain-tumour segmentation in MRI. {NOTE}",
        docs_url=None,  # these load their scripts from elsewhere
        redoc_url=None,
        lifespan=life,
    )
    app.add_middleware(Gate, settings=settings)
    app.add_exception_handler(InputError, _answer_input_error)
    app.add_exception_handler(RequestValidationError, _answer_validation)
    app.add_exception_handler(HTTPException, _answer_http)
    app.include_router(router)
    _add_page(app)
    return app


def serve(settings: Settings, ready: Callable[[], None] = lambda: None) -> None:
    """Serve until stopped.

    Args:
        settings: How.
        ready: Called once the address is ours.

    Raises:
        InputError: The data folder or the address cannot be used, or another server uses it.
    """
    try:
        settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        jobs = settings.data / _JOBS
        jobs.mkdir(mode=0o700, exist_ok=True)
        jobs.chmod(0o700)  # scans are no other user's, wherever the folder lies
    except OSError as error:
        raise InputError(
            f"{settings.data} cannot be used as a folder.", found=error.strerror or str(error)
        ) from error
    with locked(settings.data):  # complain before uvicorn would, in plain words
        Store(settings.data / _DATABASE).close()
    listening = _listen(settings)
    ready()
    # No access log: the audit log says who did what.
    config = uvicorn.Config(
        create_app(settings), access_log=False, log_level="warning", server_header=False
    )
    uvicorn.Server(config).run(sockets=[listening])


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        raise InputError(
            f"{settings.host}, port {settings.port}, cannot be used.",
            found=error.strerror or str(error),
            hint="choose another --port or --host",
        ) from error


def _add_page(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    def index() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    @app.get("/docs", include_in_schema=False)
    def docs() -> FileResponse:
        return FileResponse(PAGE / "docs.html")

    app.mount("/page", StaticFiles(directory=PAGE), name="page")


def _problem(status: int, problem: Problem) -> JSONResponse:
    return JSONResponse(problem.model_dump(), status)


async def _answer_input_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, InputError)
    status = error.status if isinstance(error, Refused) else 422
    words = {name: getattr(error, name) for name in ("problem", "expected", "found", "hint")}
    return _problem(status, Problem(**words))


async def _answer_validation(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = json.dumps(wrong_values(error.errors()[:4]), ensure_ascii=False)
    return _problem(422, Problem(problem="The request is not as it should be.", found=found))


async def _answer_http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    headers = error.headers
    answer = Problem(problem=str(error.detail))
    return JSONResponse(answer.model_dump(), error.status_code, headers)
