"""What a server may do, and for whom."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from minicube._errors import InputError
from minicube.planning import parse_memory

__all__ = ["Allowance", "Settings", "is_loopback", "read_keys"]

LEAST_KEY: Final = 16
_LOOPBACK_NAME: Final = "localhost"


@dataclass(frozen=True)
class Allowance:
    """What one job may bring.

    Args:
        total: Bytes of all its files, unpacked.
        files: How many there may be.
        ratio: How much larger than packed a file in an archive may be.
    """

    total: int = 4 << 30
    files: int = 20_000
    ratio: int = 200


@dataclass(frozen=True)
class Settings:
    """Everything about a server that a user may choose.

    Args:
        data: Folder of the database and of all files; nothing of a case is written elsewhere.
        host: Address to listen at.
        port: Of TCP.
        keys: API keys, any of which opens; none: no key is asked for.
        names: Names beside ``localhost`` and IP addresses by which the server may be called.
        memory: Most that a job's process may hold, as :func:`minicube.planning.parse_memory`
            reads it; None sets no limit.
        keep_days: After which a job that nobody touched goes with all its files; 0: never.
        allowance: What one job may bring.

    Raises:
        InputError: The address is open to others and there is no key, or a value makes no sense.
    """

    data: Path
    host: str = "127.0.0.1"
    port: int = 8000
    keys: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    memory: str | None = None
    keep_days: float = 30.0
    allowance: Allowance = field(default_factory=Allowance)

    def __post_init__(self) -> None:
        if not is_loopback(self.host) and not self.keys:
            raise InputError(
                f"{self.host} can be reached by others, and there is no API key.",
                hint="put a long random key into a file and give it as --api-key-file, "
                "or leave --host out",
            )
        if self.keep_days < 0:
            raise InputError("Days to keep must not be negative.", found=f"{self.keep_days:g}")
        if self.memory is not None:
            parse_memory(self.memory)  # complain now, not in the first job


def is_loopback(host: str) -> bool:
    """Whether an address reaches this machine alone."""
    if host == _LOOPBACK_NAME:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_keys(path: Path) -> frozenset[str]:
    """Read API keys, one a line; lines that begin with # are remarks.

    Raises:
        InputError: The file cannot be read, holds no key, or one that is too short.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a file of API keys.") from error
    keys = {line.strip() for line in lines if line.strip() and not line.startswith("#")}
    if not keys:
        raise InputError(f"{path} holds no API key.", expected="one key a line")
    if any(len(key) < LEAST_KEY or not key.isascii() for key in keys):
        raise InputError(
            f"A key in {path} cannot be used.",
            expected=f"at least {LEAST_KEY} plain characters",
            hint="python -c 'import secrets; print(secrets.token_urlsafe())' makes a good one",
        )
    return frozenset(keys)
