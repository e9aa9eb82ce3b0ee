"""The REST API. The page uses it and nothing else."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote, unquote

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi import Path as InPath
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from minicube._errors import require
from minicube._preparing import can_prepare
from minicube._version import __version__
from minicube.inference import DEFAULT_SCHEME
from minicube.reporting import as_hex
from minicube.scans import LabelScheme, Sequence, reads_dicom
from minicube.server.confirmation import confirmed
from minicube.server.corrections import keep_correction
from minicube.server.folders import IDENTITY, JobFolder
from minicube.server.jobs import Job, Phantom, Problem, Role, State
from minicube.server.jobs import Request as Wanted
from minicube.server.recognition import recognise
from minicube.server.refusals import Refused
from minicube.server.runner import Runner
from minicube.server.settings import Allowance, Settings
from minicube.server.store import AuditLine, Store
from minicube.server.uploads import arriving, receive, take_back, take_in

__all__ = ["Server", "router"]

NOTE: Final = "Research use only – not a medical device."
_UPLOADING: Final = (State.OPEN, State.RECOGNISED)
_LARGEST_CORRECTION: Final = 512 << 20
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".gz": "application/gzip",
    ".dcm": "application/dicom",
}


@dataclass(frozen=True)
class Server:
    """What the routes work with."""

    settings: Settings
    store: Store
    runner: Runner
    root: Path
    looking: CapacityLimiter

    def folder(self, job: Job) -> JobFolder:
        """Where a job's files lie."""
        return JobFolder(self.root, job.id)


def _server(request: Request) -> Server:
    found = request.app.state.server
    assert isinstance(found, Server)
    return found


def _who(request: Request) -> str:
    return str(request.state.who)


Here = Annotated[Server, Depends(_server)]
Who = Annotated[str, Depends(_who)]
Identity = Annotated[str, InPath(pattern=IDENTITY, description="Of a job.")]
FileName = Annotated[
    str | None,
    Header(alias="X-Filename", max_length=2000, description="The file's name, percent-encoded."),
]

_PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    code: {"model": Problem} for code in (400, 401, 403, 404, 409, 413, 415, 421, 422, 507)
}
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
router = APIRouter(prefix="/api", responses=_PROBLEMS)


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewJob(_Given):
    """A job to be opened."""

    title: str = Field("", max_length=200, description="Shown in the history, never logged.")


class Start(_Given):
    """Which volume is what."""

    roles: dict[str, Role] = Field(description="Key of a series to its role; the rest is left out.")
    reference_labels: LabelScheme | None = Field(
        None, description="What the reference's values mean, where its file does not say."
    )


class About(BaseModel):
    """What the server is and knows."""

    version: str
    note: str
    sequences: dict[str, str]
    label_schemes: dict[str, str]
    scheme: LabelScheme
    colours: dict[int, str]
    tissues: dict[int, str]
    keep_days: float
    most_bytes: int
    dicom: bool = Field(description="Whether what reads DICOM is installed.")
    prepares: bool = Field(description="Whether raw scans are registered and stripped here.")


@router.get("/about")
def about(here: Here) -> About:
    """What this server is: version, label schemes, colours, limits."""
    return About(
        version=__version__,
        note=NOTE,
        sequences={sequence.value: sequence.label for sequence in Sequence},
        label_schemes={scheme.value: scheme.legend() for scheme in LabelScheme},
        scheme=DEFAULT_SCHEME,
        colours={value: as_hex(tissue) for value, tissue in DEFAULT_SCHEME.tissues.items()},
        tissues={value: tissue.value for value, tissue in DEFAULT_SCHEME.tissues.items()},
        keep_days=here.settings.keep_days,
        most_bytes=here.settings.allowance.total,
        dicom=reads_dicom(),
        prepares=can_prepare(),
    )


@router.get("/jobs")
def list_jobs(here: Here, most: Annotated[int, Query(ge=1, le=10_000)] = 200) -> list[Job]:
    """Jobs; the one changed last comes first."""
    return [here.runner.describe(job) for job in here.store.jobs(most=most)]


@router.post("/jobs", status_code=201)
def open_job(here: Here, who: Who, given: NewJob) -> Job:
    """Open a job, to upload a case to."""
    return _begin(here, who, Job(title=given.title.strip(), **_fresh()))


@router.post("/phantoms", status_code=201)
def open_phantom(here: Here, who: Who, phantom: Phantom) -> Job:
    """Make a phantom – a made-up head – and segment it; no patient's scan is needed."""
    require("Making phantoms", "phantom", "scipy")
    title = f"Phantom {phantom.family.upper()}-{phantom.seed}"
    wanted = Wanted(phantom=phantom, memory=here.settings.memory)
    job = _begin(here, who, Job(title=title, request=wanted, state=State.QUEUED, **_fresh()))
    here.runner.wake()
    return job


@router.get("/jobs/{identity}")
def get_job(here: Here, identity: Identity) -> Job:
    """A job: where it stands, how far it is, what it found."""
    return here.runner.describe(here.store.get(identity))


@router.post("/jobs/{identity}/uploads", status_code=201, openapi_extra=_BODY)
async def upload(
    here: Here, who: Who, identity: Identity, request: Request, name: FileName = None
) -> Job:
    """Upload one file as it is, or a zip of several: the request's body is the file.

    NIfTI files, or images of a DICOM study, which may come one by one or packed, all or in parts.
    """
    job = await run_in_threadpool(here.store.get, identity)
    _check_uploading(job)
    with arriving(here.folder(job).uploads) as path:
        left = here.settings.allowance.total - job.bytes
        await receive(request.stream(), path, left)
        return await run_in_threadpool(_keep, here, who, identity, path, unquote(name or "file"))


@router.post("/jobs/{identity}/recognise")
async def recognise_uploads(here: Here, who: Who, identity: Identity) -> Job:
    """Guess which file or series is which sequence; a person confirms it with ``start``."""
    # One at a time, and those that wait hold up nobody else.
    return await run_sync(_recognise, here, who, identity, limiter=here.looking)


@router.post("/jobs/{identity}/start", status_code=202)
def start(here: Here, who: Who, identity: Identity, given: Start) -> Job:
    """Confirm which volume is what, and queue the job."""
    with here.store.changing(identity, State.RECOGNISED) as job:
        uploads = here.folder(job).uploads
        job.request = confirmed(job.series, given.roles, given.reference_labels, uploads)
        job.request.memory = here.settings.memory
        job.state = State.QUEUED
    here.store.note(who, "started", identity)
    here.runner.wake()
    return here.runner.describe(job)


@router.post("/jobs/{identity}/cancel")
def cancel(here: Here, who: Who, identity: Identity) -> Job:
    """Stop a job that waits or runs. Its files stay until it is deleted."""
    with here.store.changing(identity, State.QUEUED, State.RUNNING) as job:
        job.state = State.CANCELLED
    here.store.note(who, "cancelled", identity)
    return here.runner.describe(job)


@router.delete("/jobs/{identity}", status_code=204)
def delete(here: Here, who: Who, identity: Identity) -> Response:
    """Delete a job with all its files; one that runs is stopped."""
    job = here.store.get(identity)
    here.store.remove(identity)
    here.folder(job).remove()
    here.store.note(who, "deleted", identity)
    return Response(status_code=204)


@router.get(
    "/jobs/{identity}/files/{name}",
    response_class=FileResponse,
    responses={200: {"content": {"application/octet-stream": {}}}},
)
def get_file(here: Here, who: Who, identity: Identity, name: str) -> FileResponse:
    """One of a job's ``files``: scans, labels, reference, differences, correction, report.

    Of a DICOM study also ``seg.dcm`` and ``report.dcm``, for the archive that it came from.
    """
    job = here.store.get(identity)
    path = here.folder(job).files(job).get(name)
    if path is None:
        raise Refused(404, "The job has no such file.")
    here.store.note(who, f"read {name}", identity)
    kind = _TYPES.get(path.suffix, "application/octet-stream")
    disposition = "inline" if path.suffix == ".html" else "attachment"
    shown = quote(f"{identity[:8]}-{name}")
    headers = {"Content-Disposition": f"{disposition}; filename={shown}"}
    return FileResponse(path, media_type=kind, headers=headers)


@router.put("/jobs/{identity}/correction", openapi_extra=_BODY)
async def correct(here: Here, who: Who, identity: Identity, request: Request) -> Job:
    """Keep a corrected label map (NIfTI, the job's scheme and grid) beside the one found."""
    job = await run_in_threadpool(here.store.get, identity)
    if job.state is not State.DONE:
        raise Refused(409, "Only labels that were found can be corrected.")
    with arriving(here.folder(job).uploads) as path:
        await receive(request.stream(), path, _LARGEST_CORRECTION)
        return await run_in_threadpool(_keep_correction, here, who, identity, path)


@router.get("/audit")
def audit(here: Here, most: Annotated[int, Query(ge=1, le=10_000)] = 200) -> list[AuditLine]:
    """Who did what and when, the newest first. No name of a file or a patient is in it."""
    return here.store.audit(most)


def _fresh() -> dict[str, Any]:
    now = datetime.now(UTC)
    return {"id": secrets.token_hex(16), "created": now, "changed": now}


def _begin(here: Server, who: str, job: Job) -> Job:
    here.folder(job).uploads.mkdir(parents=True)
    here.folder(job).outputs.mkdir()
    here.store.add(job)
    here.store.note(who, "opened", job.id)
    return here.runner.describe(job)


def _check_uploading(job: Job) -> None:
    if job.state not in _UPLOADING:
        raise Refused(409, "This job takes no more files.", hint="open a new one")


def _keep(here: Server, who: str, identity: str, path: Path, name: str) -> Job:
    allowance, folder = here.settings.allowance, path.parent
    job = here.store.get(identity)
    left = Allowance(allowance.total - job.bytes, allowance.files - job.file_count, allowance.ratio)
    taken = take_in(path, name, folder, left)
    try:
        with here.store.changing(identity, *_UPLOADING) as job:
            job.take(taken)
            if job.bytes > allowance.total or job.file_count > allowance.files:
                raise Refused(413, "This is more than a job may hold.")
            job.state, job.series, job.remarks = State.OPEN, [], []
    except Refused:
        take_back(folder, taken)
        raise
    here.store.note(who, "uploaded", identity)
    return here.runner.describe(job)


def _recognise(here: Server, who: str, identity: str) -> Job:
    before = here.store.get(identity)
    _check_uploading(before)
    folder = here.folder(before).uploads
    folder.mkdir(exist_ok=True)
    case = recognise(folder, before.uploads)
    with here.store.changing(identity, *_UPLOADING) as job:
        if job.uploads != before.uploads:
            raise Refused(409, "More files came in meanwhile.", hint="recognise once more")
        job.title = job.title or case.title
        job.state, job.series, job.remarks = State.RECOGNISED, case.series, case.remarks
    here.store.note(who, "recognised", identity)
    return here.runner.describe(job)


def _keep_correction(here: Server, who: str, identity: str, path: Path) -> Job:
    correction = keep_correction(here.folder(here.store.get(identity)), path)
    with here.store.changing(identity, State.DONE) as job:
        job.correction = correction
    here.store.note(who, "corrected", identity)
    return here.runner.describe(job)
