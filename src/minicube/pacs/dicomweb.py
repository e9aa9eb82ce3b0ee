"""DICOMweb: QIDO-RS to ask, WADO-RS to fetch, STOW-RS to store (PS3.18, 10)."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any, Final

import httpx2

from minicube._errors import InputError
from minicube.pacs.archive import (
    MOST_ANSWERS,
    Broken,
    Sent,
    SeriesEntry,
    Unreachable,
    is_uid,
    modality_in,
    uid_in,
)
from minicube.pacs.intake import Intake
from minicube.pacs.multipart import boundary_of, parts
from minicube.pacs.reasons import reason

__all__ = ["WebArchive"]

_JSON: Final = "application/dicom+json"
# In whatever syntax it is stored: what we read need not be unpacked by the archive.
_OBJECTS: Final = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_BOUNDARY: Final = "minicube-e0f1c2"
_PAGE: Final = 200
_LONGEST_ANSWER: Final = 64 << 20
_CHUNK: Final = 1 << 16

_STUDY: Final = "0020000D"
_SERIES: Final = "0020000E"
_INSTANCE: Final = "00080018"
_MODALITY: Final = "00080060"
_COUNT: Final = "00201209"
_FAILED: Final = "00081198"
_STORED: Final = "00081199"
_REASON: Final = "00081197"


class WebArchive:
    """An archive that speaks DICOMweb.

    Args:
        address: Where its DICOMweb begins, without a slash at the end.
        authorization: The header's value, or user and password, or None.
        context: Whose certificates are trusted; None: those that the computer trusts.
        timeout: Seconds without an answer.
    """

    def __init__(
        self,
        address: str,
        authorization: str | tuple[str, str] | None,
        context: ssl.SSLContext | None,
        timeout: float,
    ) -> None:
        headers = {"Accept-Encoding": "identity", "User-Agent": "minicube"}
        if isinstance(authorization, str):
            headers["Authorization"] = authorization
        self._address = address
        self._client = httpx2.Client(
            headers=headers,
            auth=authorization if isinstance(authorization, tuple) else None,
            verify=True if context is None else context,
            timeout=timeout,
            trust_env=False,  # an archive is in the house, whatever the way out is
            follow_redirects=False,  # a password goes nowhere else
        )

    def echo(self) -> None:
        """Ask for one study."""
        self._page("/studies", {"limit": "1"})

    def studies(self, since: date) -> list[str]:
        """See :meth:`Archive.studies`."""
        asked = {"ModalitiesInStudy": "MR", "StudyDate": f"{since:%Y%m%d}-"}
        found = (_value(row, _STUDY) for row in self._all("/studies", asked, _STUDY))
        return [str(uid) for uid in found if is_uid(uid)]

    def series(self, study: str) -> list[SeriesEntry]:
        """See :meth:`Archive.series`."""
        rows = self._all(f"/studies/{study}/series", {"includefield": _COUNT}, _SERIES)
        return [
            SeriesEntry(
                uid_in(_value(row, _SERIES)), modality_in(_value(row, _MODALITY)), _count(row)
            )
            for row in rows
        ]

    def instances(self, study: str, series: str) -> set[str]:
        """See :meth:`Archive.instances`."""
        rows = self._all(f"/studies/{study}/series/{series}/instances", {}, _INSTANCE)
        return {uid_in(_value(row, _INSTANCE)) for row in rows}

    def fetch(self, study: str, series: str, intake: Intake) -> None:
        """See :meth:`Archive.fetch`."""
        path = f"/studies/{study}/series/{series}"
        with self._asked("GET", path, headers={"Accept": _OBJECTS}) as response:
            self._check(response)
            kind = response.headers.get("Content-Type", "")
            boundary = boundary_of(kind)
            if boundary is not None:
                for part in parts(response.iter_bytes(_CHUNK), boundary):
                    intake.take(part)
            elif kind.startswith("application/dicom") and _JSON not in kind:
                intake.take(response.iter_bytes(_CHUNK))
            else:
                raise Broken("The archive answered with something that is no DICOM object.")

    def store(self, paths: Iterable[Path]) -> Iterator[Sent]:
        """See :meth:`Archive.store`."""
        for path in paths:
            yield Sent(path, self._stored(path))

    def close(self) -> None:
        """See :meth:`Archive.close`."""
        self._client.close()

    def _stored(self, path: Path) -> str:
        """Send one; returns why it was refused."""
        head = f"--{_BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        tail = f"\r\n--{_BOUNDARY}--\r\n".encode()
        headers = {
            "Accept": _JSON,
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}',
            "Content-Length": str(len(head) + path.stat().st_size + len(tail)),
        }

        def body() -> Iterator[bytes]:
            yield head
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    yield chunk
            yield tail

        with self._asked("POST", "/studies", headers=headers, content=body()) as response:
            if response.status_code not in (400, 409, 413, 415):
                self._check(response)
            answer = _json_in(response)
        failed = _value(answer, _FAILED)
        if failed is not None:
            return reason(_value(failed, _REASON))
        if not response.is_success:
            return f"HTTP status {response.status_code}"
        if _value(answer, _STORED) is None:  # such as a page to log in at, with status 200
            raise _no_answer()
        return ""

    def _all(self, path: str, asked: dict[str, str], key: str) -> list[dict[str, Any]]:
        """All answers, whose number an archive may limit, each once."""
        found: dict[str, dict[str, Any]] = {}
        for page in count():
            rows = self._page(path, asked | {"limit": str(_PAGE), "offset": str(len(found))})
            fresh = {str(_value(row, key)): row for row in rows}
            fresh = {name: row for name, row in fresh.items() if name not in found}
            if not fresh:  # the end; or it does not know offsets, and begins again
                return list(found.values())
            found |= fresh
            if len(found) > MOST_ANSWERS or page > MOST_ANSWERS:
                raise Broken("The archive gives more answers than any archive has.")
        raise AssertionError

    def _page(self, path: str, asked: dict[str, str]) -> list[dict[str, Any]]:
        with self._asked("GET", path, headers={"Accept": _JSON}, params=asked) as response:
            nothing = (204,) if path == "/studies" else (204, 404)  # it does not have the study
            if response.status_code in nothing:
                return []
            self._check(response)
            rows = _json_in(response)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise _no_answer()
        return rows

    @contextmanager
    def _asked(self, method: str, path: str, **given: Any) -> Iterator[httpx2.Response]:
        try:
            with self._client.stream(method, self._address + path, **given) as response:
                if response.headers.get("Content-Encoding", "identity") != "identity":
                    # Unpacked before anybody counts: a few kilobytes could fill the memory.
                    raise Broken("The archive packs its answers, which it was asked not to.")
                yield response
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            _require_trust(error)
            raise Unreachable(
                f"Nobody answers at {self._address}.",
                found=str(error),
                hint="is the archive running, and is the address right?",
            ) from error
        except httpx2.TimeoutException as error:
            raise Broken(
                "The archive stopped answering.", hint="try again, or allow more with --timeout"
            ) from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise Broken(
                "The archive broke off in the middle of an answer.", found=type(error).__name__
            ) from error

    def _check(self, response: httpx2.Response) -> None:
        """Go on only with an answer that is one; its text, which may name somebody, stays out."""
        status = response.status_code
        if response.is_success:
            return
        if status in (401, 403):
            raise InputError(
                "The archive does not let us in.",
                found=f"HTTP status {status}",
                hint="give --auth FILE with user:password, or Bearer and a token",
            )
        if response.is_redirect:
            raise InputError(
                "The archive says that it is elsewhere.",
                found=f"HTTP status {status}",
                hint="give the address that it points to, if you trust it",
            )
        raise Broken(
            f"The archive at {self._address} cannot answer.",
            expected="where its DICOMweb begins, such as https://pacs.example.org/dicom-web",
            found=f"HTTP status {status}",
        )


def _require_trust(error: BaseException | None) -> None:
    """Say so where a certificate is why there is no connection."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            raise InputError(
                "The archive's certificate is not trusted.",
                found=error.verify_message,
                hint="give --ca FILE with the certificate of whoever signed it, if you trust them",
            ) from error
        error = error.__cause__ or error.__context__


def _json_in(response: httpx2.Response) -> Any:
    """What a response says; None where that is no JSON."""
    text = bytearray()
    for chunk in response.iter_bytes(_CHUNK):
        text += chunk
        if len(text) > _LONGEST_ANSWER:
            raise Broken("The archive's answer has no end.")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _no_answer() -> Broken:
    return Broken(
        "The archive answered with something that is no DICOMweb.",
        hint="is this the address where its DICOMweb begins?",
    )


def _value(row: Any, tag: str) -> Any:
    """The first value of an element in JSON (PS3.18, F.2); None where there is none."""
    try:
        return row[tag]["Value"][0]
    except (KeyError, IndexError, TypeError):
        return None


def _count(row: dict[str, Any]) -> int | None:
    value = _value(row, _COUNT)
    try:
        return None if value is None else int(value)
    except (TypeError, ValueError):
        return None
