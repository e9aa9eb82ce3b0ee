"""What every request passes first, and what every answer is given on its way."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from minicube.server.settings import Settings

__all__ = ["KEY_HEADER", "Gate"]

KEY_HEADER: Final = "X-API-Key"
_READING: Final = {"GET", "HEAD", "OPTIONS"}
_LARGEST_JSON: Final = 1 << 20
_STREAMED: Final = ("/uploads", "/correction")  # the rest is read into memory
_HEADERS: Final = {
    # The page loads nothing from elsewhere, even if something in it wanted to.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' data: blob:; worker-src 'self' blob:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Gate:
    """Refuses strangers: wrong host names, other sites' pages, and who has no key.

    There are no cookies, so another site's page cannot act with a reader's rights where a key is
    needed. Where none is – on this machine alone – it is told by the ``Origin`` that browsers
    send, and a name that was made to point here (DNS rebinding) by the ``Host``.

    Args:
        app: The application behind.
        settings: Keys and names.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._keys = [_digest(key) for key in settings.keys]
        self._names = {"localhost", settings.host.lower(), *map(str.lower, settings.names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        sending = _with_headers(send, private=scope["path"].startswith("/api/"))
        if refusal is not None:
            await refusal(scope, receive, sending)
            return
        scope.setdefault("state", {})["who"] = _who(scope, headers)
        await self._app(scope, receive, sending)

    def _refusal(self, scope: Scope, headers: Headers) -> JSONResponse | None:
        host = headers.get("host", "")
        if not self._is_known(host):
            return _no(421, "This server is not called by that name.", "see --allow-name")
        if scope["method"] not in _READING and not _is_same_site(headers, host):
            return _no(403, "Another site's page may not do this.")
        if scope["path"].startswith("/api/") and not self._has_key(headers):
            return _no(401, "An API key is needed.", f"send it in the header {KEY_HEADER}")
        if not scope["path"].endswith(_STREAMED) and _length(headers) > _LARGEST_JSON:
            return _no(413, "The request is too large.")
        return None

    def _is_known(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self._names
        return True  # an address cannot be made to point elsewhere

    def _has_key(self, headers: Headers) -> bool:
        if not self._keys:
            return True
        given = _digest(headers.get(KEY_HEADER, ""))
        # Every key is compared, each in constant time.
        return sum(hmac.compare_digest(given, key) for key in self._keys) > 0


def _is_same_site(headers: Headers, host: str) -> bool:
    origin = headers.get("origin")
    if origin is not None:
        return origin.partition("://")[2].lower() == host.lower()
    return headers.get("sec-fetch-site") in (None, "same-origin", "none")


def _length(headers: Headers) -> int:
    """Bytes that are announced; of a body without an announcement more than may come."""
    if headers.get("transfer-encoding") is not None:
        return _LARGEST_JSON + 1
    length = headers.get("content-length", "0")
    return int(length) if length.isascii() and length.isdigit() else _LARGEST_JSON + 1


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _who(scope: Scope, headers: Headers) -> str:
    """For the audit log: where from, and with which key (its fingerprint)."""
    address = scope["client"][0] if scope.get("client") else "unknown"
    key = headers.get(KEY_HEADER)
    return address if key is None else f"{address} key {_digest(key).hex()[:8]}"


def _no(status: int, problem: str, hint: str = "") -> JSONResponse:
    return JSONResponse({"problem": problem, "expected": "", "found": "", "hint": hint}, status)


def _with_headers(send: Send, *, private: bool) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            headers["Cache-Control"] = "no-store" if private else "no-cache"
        await send(message)

    return sending
