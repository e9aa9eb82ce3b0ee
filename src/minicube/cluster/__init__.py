"""Many cases on many processes or machines, through a Dask scheduler.

The one room that knows Dask, which the extra ``cluster`` brings; imported when asked for.
"""

from minicube.cluster.connection import connected, cores, dashboard_of, local_cluster
from minicube.cluster.spreading import spread, worker_memory

__all__ = [
    "connected",
    "cores",
    "dashboard_of",
    "local_cluster",
    "spread",
    "worker_memory",
]
