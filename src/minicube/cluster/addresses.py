"""Which schedulers may be spoken with: those that no stranger reaches."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from minicube._errors import InputError

__all__ = ["check_address", "check_closed", "is_encrypted"]

_TCP, _TLS = "tcp", "tls"


def check_address(address: str) -> None:
    """Refuse what is no scheduler's address, or one that is open to a network.

    Workers execute what a client sends them, and a client believes what they answer. So whoever
    reaches the port without showing a certificate could run what he likes.

    Args:
        address: As a user gave it.

    Raises:
        InputError: It is neither of this machine nor encrypted.
    """
    try:
        url = urlsplit(address)
        whole = bool(url.hostname and url.port)
    except ValueError:
        whole = False
    if not whole or url.scheme not in (_TCP, _TLS):
        raise InputError(
            "This is not the address of a scheduler.",
            expected="tcp://127.0.0.1:PORT, tls://HOST:PORT, or local",
            found=address,
        )
    check_closed([address])


def check_closed(addresses: Iterable[str]) -> None:
    """Refuse when one of the addresses is open to a network and not encrypted.

    Args:
        addresses: Of a scheduler and its workers, as they say them.

    Raises:
        InputError: One is.
    """
    for address in addresses:
        if not (is_encrypted(address) or _is_loopback(urlsplit(address).hostname or "")):
            raise InputError(
                "Workers execute what they are sent, and this one can be reached by others.",
                expected="a scheduler and workers on this machine alone (127.0.0.1), or TLS "
                "(tls://), which asks for a certificate",
                found=address,
                hint="dask scheduler --host 127.0.0.1; or with certificates, see docs/cluster.md",
            )


def is_encrypted(address: str) -> bool:
    """Whether what is sent there is encrypted, and both sides show certificates."""
    return urlsplit(address).scheme == _TLS


def _is_loopback(host: str) -> bool:
    """Of names only one is trusted: what others stand for is the network's to say."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
