"""A Dask scheduler and its workers: some that run already, or some on this machine alone."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import dask
from dask.system import CPU_COUNT
from distributed import Client, LocalCluster
from distributed.security import Security

from minicube._errors import InputError
from minicube.cluster.addresses import check_address, check_closed, is_encrypted

__all__ = ["connected", "cores", "dashboard_of", "local_cluster"]

_PATIENCE: Final = 20  # seconds until a scheduler has answered
_HERE: Final = "127.0.0.1"
# What the dashboard has with and without bokeh, which would bring pandas along.
_PAGE: Final = "/info/main/workers.html"
# Nothing is kept between cases, so there is nothing to put on disk or to wait for.
_MEMORY: Final = {f"distributed.worker.memory.{at}": False for at in ("target", "spill", "pause")}


def cores() -> int:
    """Cores that this process may use, a container's limit kept."""
    return int(CPU_COUNT)


@contextmanager
def connected(address: str) -> Iterator[Client]:
    """Speak with a scheduler that runs.

    Args:
        address: ``tcp://`` on this machine, or ``tls://`` anywhere; the certificates are those
            in Dask's own configuration.

    Raises:
        InputError: The address is open to others, nobody answers there, or certificates are
            missing.
    """
    check_address(address)
    _be_quiet()
    security = _certificates() if is_encrypted(address) else None
    try:
        client = Client(address, security=security, timeout=_PATIENCE, set_as_default=False)
    except OSError as error:
        raise InputError(
            f"No scheduler answers at {address}.",
            found=str(error),
            hint="start one: dask scheduler --host 127.0.0.1",
        ) from error
    with client:
        check_closed([client.scheduler_info()["address"], *client.nthreads()])
        yield client


@contextmanager
def local_cluster(workers: int, memory: int | None) -> Iterator[Client]:
    """Start a scheduler and workers on this machine, which end with the block.

    They speak through encrypted connections with a certificate of their own, so that nobody else
    who is logged in to the machine can.

    Args:
        workers: Processes, of one thread each; one that dies is started again.
        memory: Bytes that ends a worker, rather than the machine; None sets no limit.
    """
    _be_quiet()
    with (
        dask.config.set(_MEMORY),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host=_HERE,
            security=Security.temporary(),
            dashboard_address=f"{_HERE}:0",
            worker_dashboard_address=f"{_HERE}:0",
            memory_limit=memory or 0,
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def dashboard_of(client: Client) -> str:
    """Where a browser shows what the workers do."""
    return str(client.dashboard_link).removesuffix("/status") + _PAGE


def _be_quiet() -> None:
    """What goes wrong is told with the case that it happened to."""
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _certificates() -> Security:
    """Those that Dask's configuration names."""
    security = Security(require_encryption=True)
    told = security.get_tls_config_for_role("client")
    if not (told["ca_file"] and told["cert"]):
        raise InputError(
            "TLS asks for certificates, and none are known here.",
            expected="distributed.comm.tls in Dask's configuration: ca-file, and client with "
            "cert and key",
            hint="see docs/cluster.md",
        )
    try:
        security.get_connection_args("client")
    except OSError as error:
        raise InputError(
            "The certificates that Dask's configuration names cannot be used.", found=str(error)
        ) from error
    return security
