"""``minicube pacs``: studies from an archive, objects into it, and an archive watched."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minicube.cli._segmenting import Request, limits_of
from minicube.cli._shared import JsonOption, PrecisionName, console, emit_json, results
from minicube.cli.segment import (
    SOME_FAILED,
    DropBelowOption,
    EngineOption,
    EvenOption,
    FillHolesOption,
    LargestOption,
    LeastEnhancingOption,
    MemoryOption,
    ModelOption,
    PrepareOption,
    TtaOption,
)

if TYPE_CHECKING:
    from minicube.dicom import Study
    from minicube.pacs import Access, Segmenting, Sent

__all__ = ["app"]

app = typer.Typer(
    help="Fetch studies from an archive of images (PACS), store objects in it, watch it.\n\n"
    "Example: minicube pacs watch https://pacs.example.org/dicom-web -o watched/",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

ArchiveArgument = Annotated[
    str,
    typer.Argument(
        metavar="ARCHIVE", help="Where its DICOMweb begins, https://…; or AET@host:port."
    ),
]
TitleOption = Annotated[str, typer.Option("--aet", help="Our own title; DIMSE.")]
ListenOption = Annotated[
    str | None,
    typer.Option(
        metavar="[ADDRESS:]PORT",
        help="Have the archive send to us here (C-MOVE); without, C-GET. DIMSE.",
    ),
]
AuthOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Holds user:password or Bearer and a token; or env:NAME, a variable. DICOMweb.",
    ),
]
AuthorityOption = Annotated[
    Path | None,
    typer.Option("--ca", metavar="FILE", help="Who signed its certificate (PEM)."),
]
TlsOption = Annotated[bool, typer.Option("--tls", help="Encrypted. DIMSE; else say https://.")]
CertificateOption = Annotated[
    Path | None,
    typer.Option(
        "--cert", metavar="FILE", help="Our certificate and its key (PEM), where one is asked for."
    ),
]
TimeoutOption = Annotated[
    float, typer.Option(min=1, metavar="SECONDS", help="Without an answer, until it is given up.")
]


@app.command("pull")
def pull(
    archive: ArchiveArgument,
    study: Annotated[str, typer.Argument(metavar="STUDY-UID", help="Its StudyInstanceUID.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to make.")],
    everything: Annotated[
        bool, typer.Option("--all", help="All series, not those of MR alone.")
    ] = False,
    aet: TitleOption = "MINICUBE",
    listen: ListenOption = None,
    auth: AuthOption = None,
    tls: TlsOption = False,
    ca: AuthorityOption = None,
    cert: CertificateOption = None,
    timeout: TimeoutOption = 60.0,
    json: JsonOption = None,
) -> None:
    """Fetch a study into a folder, whole or not at all.

    `minicube segment` takes the folder as it is.

    Example: minicube pacs pull https://pacs.example.org/dicom-web 1.2.840.1 -o study/

    Example: minicube pacs pull ARCHIVE@10.0.0.7:104 1.2.840.1 -o study/ --listen 11112
    """
    access = _access(aet, listen, auth, timeout, tls, ca, cert)
    from minicube.pacs import open_archive
    from minicube.pacs import pull as fetch

    with open_archive(archive, access) as opened:
        opened.echo()  # else an address that is wrong looks like a study that is not there
        pulled = fetch(opened, study, out, everything=everything)
    if json is not None:
        emit_json({"study": study, "folder": str(out), **asdict(pulled)}, json)
        return
    results().print(f"{pulled.objects} objects of {pulled.series} series in {out}")
    if pulled.left_out:
        console().print(f"{pulled.left_out} more were sent that had not been announced; left out")


@app.command("push")
def push(
    archive: ArchiveArgument,
    sources: Annotated[
        list[Path], typer.Argument(metavar="FILES", help="DICOM files, or folders of them.")
    ],
    aet: TitleOption = "MINICUBE",
    auth: AuthOption = None,
    tls: TlsOption = False,
    ca: AuthorityOption = None,
    cert: CertificateOption = None,
    timeout: TimeoutOption = 60.0,
    json: JsonOption = None,
) -> None:
    """Store DICOM objects, and say what became of each.

    Example: minicube pacs push https://pacs.example.org/dicom-web results/seg.dcm
    """
    access = _access(aet, None, auth, timeout, tls, ca, cert)
    from minicube.pacs import open_archive
    from minicube.pacs import push as store

    screen, rows = results(), []

    def tell(sent: Sent) -> None:
        became = f"refused: {sent.refused}" if sent.refused else "stored"
        rows.append({"file": str(sent.path), "stored": not sent.refused, "refused": sent.refused})
        if json is None:
            screen.print(f"{sent.path}: {became}", soft_wrap=True)

    with open_archive(archive, access) as opened:
        try:
            store(opened, sources, tell)
        finally:  # where some were refused, too
            if json is not None:
                emit_json(rows, json)


@app.command("watch")
def watch(
    archive: ArchiveArgument,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for results and the record of studies.")
    ],
    every: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="Between two looks.")
    ] = 60.0,
    settle: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="A study is complete that did not grow.")
    ] = 300.0,
    since: Annotated[
        int, typer.Option(min=0, metavar="DAYS", help="Studies made before are left alone.")
    ] = 7,
    once: Annotated[bool, typer.Option("--once", help="Do what there is to do, and end.")] = False,
    model: ModelOption = None,
    tta: TtaOption = False,
    even: EvenOption = False,
    largest: LargestOption = False,
    drop_below: DropBelowOption = 0.0,
    fill_holes: FillHolesOption = False,
    least_enhancing: LeastEnhancingOption = None,
    memory: MemoryOption = None,
    precision: Annotated[PrecisionName, typer.Option(help="Of the network's arithmetic.")] = "auto",
    engine: EngineOption = "auto",
    prepare: PrepareOption = "auto",
    aet: TitleOption = "MINICUBE",
    listen: ListenOption = None,
    auth: AuthOption = None,
    tls: TlsOption = False,
    ca: AuthorityOption = None,
    cert: CertificateOption = None,
    timeout: TimeoutOption = 60.0,
) -> None:
    """Segment complete studies, and store the results.

    A study with T1, T1 with contrast, T2 and FLAIR is fetched, segmented as `minicube segment`
    does, and gets a segmentation and a report, never twice. Others are skipped. Ctrl-C or SIGTERM
    ends it.

    Example: minicube pacs watch https://pacs.example.org/dicom-web -o watched/

    Example: minicube pacs watch ARCHIVE@10.0.0.7:104 -o watched/ --since 1 --once
    """
    access = _access(aet, listen, auth, timeout, tls, ca, cert)
    from minicube.inference import DEFAULT_SCHEME, PostProcessing, Refinements, model_place
    from minicube.pacs import Pace, open_archive, watching

    request = Request(
        models=[*map(model_place, model or ())],
        scheme=DEFAULT_SCHEME,
        limits=limits_of(memory, precision, engine),
        refinements=Refinements(
            mirror=tta,
            even=even,
            post=PostProcessing(largest, drop_below, fill_holes, least_enhancing),
        ),
        jobs=1,
        overwrite=True,
        prepare=prepare,
    )
    with open_archive(archive, access) as opened:
        opened.echo()
        segmenting = _segmenting(request)
        pace = Pace(every, settle, since)
        with watching(opened, out, segmenting, pace, _say) as watcher:
            if not once:
                watcher.run()
            watcher.once()
    if watcher.failed:
        raise typer.Exit(SOME_FAILED)


def _access(
    title: str,
    listen: str | None,
    secret: str | None,
    timeout: float,
    tls: bool,
    authority: Path | None,
    certificate: Path | None,
) -> Access:
    from minicube._errors import require

    require("An archive", "pacs", "pydicom", "highdicom", "gdcm", "pynetdicom", "httpx2")
    from minicube.pacs import Access

    return Access(title, listen, secret, authority, timeout, tls, certificate)


def _segmenting(request: Request) -> Segmenting:
    """What `minicube segment` does, with an engine that is made ready once."""
    from minicube.cli._dicom_study import converted
    from minicube.cli._segmenting import Work
    from minicube.pacs import Segmenting

    work = Work(request, request.load_models(), lambda *_: None, lambda *_: None)

    def segment(study: Study, out: Path) -> None:
        given = converted(study, {}, out)
        found = work.compute(work.read(given.target))
        given.write_objects(work.write(given.target, found))

    return Segmenting(work.settings, segment)


def _say(sentence: str) -> None:
    console().print(f"{datetime.now():%Y-%m-%d %H:%M:%S}  {sentence}", soft_wrap=True)
