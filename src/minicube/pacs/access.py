"""How an archive is named and reached."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from minicube._errors import InputError
from minicube.pacs.archive import Archive

__all__ = ["Access", "open_archive"]

_FROM_ENVIRONMENT: Final = "env:"
_BEARER: Final = "Bearer "
_LONGEST_SECRET: Final = 64 << 10
_TITLE: Final = re.compile(r"[\x21-\x5b\x5d-\x7e]{1,16}")  # PS3.5, 6.2: AE
_PLACE: Final = re.compile(r"(?:(?P<host>\[[0-9a-fA-F:.]+\]|[^\s:\[\]]+):)?(?P<port>\d{1,5})")


@dataclass(frozen=True)
class Access:
    """How to reach an archive, beside its name.

    Args:
        title: Our own application entity title, DIMSE.
        listen: Where we let the archive send to, ``[ADDRESS:]PORT``: what C-MOVE needs; without
            an address, that from which we reach the archive. None: C-GET, which sends over the
            connection that we opened.
        secret: A file that holds ``user:password`` or ``Bearer token``, or ``env:NAME``;
            DICOMweb.
        authority: PEM file of whoever signed the archive's certificate, where the computer does
            not know them.
        timeout: Seconds without any answer after which an archive is given up.
        tls: Whether DIMSE is encrypted; DICOMweb is where its address begins with https.
        certificate: PEM file of our own certificate and its key, where the archive asks for one.
    """

    title: str = "MINICUBE"
    listen: str | None = None
    secret: str | None = None
    authority: Path | None = None
    timeout: float = 60.0
    tls: bool = False
    certificate: Path | None = None


@contextmanager
def open_archive(name: str, access: Access | None = None) -> Iterator[Archive]:
    """Yield an archive; nothing is sent to it yet.

    Args:
        name: ``http://`` or ``https://`` and where its DICOMweb begins, or ``AET@host:port``.
        access: Beside it.

    Raises:
        InputError: The name is neither, or something given does not fit it.
    """
    access = access or Access()
    archive = _web(name, access) if "://" in name else _dimse(name, access)
    try:
        yield archive
    finally:
        archive.close()


def _web(name: str, access: Access) -> Archive:
    from minicube.pacs.dicomweb import WebArchive

    try:
        parts = urlsplit(name)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment:
        raise InputError(
            "The archive's address cannot be used.",
            expected="where its DICOMweb begins, such as https://pacs.example.org/dicom-web",
        )
    if "@" in parts.netloc:  # else it would be seen by all who list processes
        raise InputError(
            "A password does not belong into an address on the command line.",
            hint="put user:password into a file, and give --auth FILE",
        )
    _refuse(access.listen, "--listen", "DICOMweb")
    _refuse(access.tls or None, "--tls", "DICOMweb")
    given = access.authority is not None or access.certificate is not None
    context = _trusting(access) if given else None
    return WebArchive(name.rstrip("/"), _authorization(access.secret), context, access.timeout)


def _dimse(name: str, access: Access) -> Archive:
    from minicube.pacs.dimse import DimseArchive

    title, _, place = name.rpartition("@")
    called = _PLACE.fullmatch(place)
    if not (_TITLE.fullmatch(title) and called and called["host"]):
        raise InputError(
            f"{name} names no archive.",
            expected="AET@host:port, or an address that begins with https:// or http://",
        )
    if not _TITLE.fullmatch(access.title):
        raise InputError(
            f"{access.title} is no application entity title.",
            expected="1 to 16 letters, digits and signs",
        )
    _refuse(access.secret, "--auth", "DIMSE")
    if not access.tls:
        _refuse(access.authority, "--ca", "DIMSE without --tls")
        _refuse(access.certificate, "--cert", "DIMSE without --tls")
    elif access.listen is not None:
        # Whoever connects and then says nothing would hold up pynetdicom (3.0.4) for ever.
        raise InputError(
            "C-MOVE is not done encrypted.",
            hint="leave out --listen, which uses C-GET; or --tls, and use a tunnel",
        )
    context = _trusting(access) if access.tls else None
    listen = _listening(access)
    return DimseArchive(
        title, _address(called), access.title, listen, access.timeout, encrypted=context
    )


def _refuse(given: object, option: str, language: str) -> None:
    if given is not None:
        raise InputError(f"{option} means nothing to {language}.", hint="leave it out")


def _address(place: re.Match[str]) -> tuple[str, int]:
    port = int(place["port"])
    if not 0 < port < 1 << 16:
        raise InputError(f"{port} is no port.", expected="1 to 65535")
    return (place["host"] or "").strip("[]"), port


def _listening(access: Access) -> tuple[str, int] | None:
    if access.listen is None:
        return None
    place = _PLACE.fullmatch(access.listen)
    if place is None:
        raise InputError(
            f"{access.listen} is no place to listen at.", expected="PORT or ADDRESS:PORT"
        )
    return _address(place)


def _trusting(access: Access) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=access.authority)
    except OSError as error:  # an SSLError is one
        raise InputError(
            f"{access.authority} cannot be read as certificates.", expected="a PEM file"
        ) from error
    if access.certificate is not None:
        try:
            context.load_cert_chain(access.certificate, password="")  # else it would ask for one
        except OSError as error:
            raise InputError(
                f"{access.certificate} cannot be read as a certificate with its key.",
                expected="a PEM file of both, not encrypted",
            ) from error
    return context


def _authorization(secret: str | None) -> str | tuple[str, str] | None:
    """A header's value, or user and password."""
    if secret is None:
        return None
    text = _secret(secret).strip()
    if text.startswith(_BEARER) and text.isascii() and text.isprintable():
        return text
    user, colon, password = text.partition(":")
    if not colon or not text.isprintable():  # which a second line is not
        raise InputError(
            "What --auth names holds no credentials.",
            expected="one line: user:password, or Bearer and a token",
        )
    return user, password


def _secret(source: str) -> str:
    if source.startswith(_FROM_ENVIRONMENT):
        name = source.removeprefix(_FROM_ENVIRONMENT)
        text = os.environ.get(name)
        if text is None:
            raise InputError(f"There is no environment variable {name}.")
        return text
    try:
        with Path(source).open(encoding="utf-8") as file:
            return file.read(_LONGEST_SECRET)
    except FileNotFoundError as error:
        # Not named: who gave the password itself should not find it in a log.
        raise InputError(
            "The file that --auth names does not exist.",
            expected="a file with user:password or Bearer and a token, or env:NAME",
        ) from error
    except (OSError, ValueError) as error:
        raise InputError("The file that --auth names cannot be read.") from error
