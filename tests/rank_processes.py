"""Runs a function in several processes that train together, as torchrun or srun start them."""

from __future__ import annotations

import multiprocessing
import os
import socket
import traceback
import warnings
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import torch

from minicube.training.device import Device
from minicube.training.ranks import Ranks, joined

__all__ = ["as_srun_says", "as_torchrun_says", "free_port", "in_ranks"]

# A server that has imported what takes seconds, and has no threads, is forked for each rank.
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    ["rank_processes", "lightning_fabric", "minicube.training", "minicube.training.augment"]
)

Variables = Callable[[int, int, int], dict[str, str]]


def as_torchrun_says(number: int, count: int, port: int) -> dict[str, str]:
    """The variables that torchrun sets, on one machine."""
    return {
        "TORCHELASTIC_RUN_ID": "test",
        "RANK": str(number),
        "LOCAL_RANK": str(number),
        "GROUP_RANK": "0",
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def as_srun_says(number: int, count: int, port: int) -> dict[str, str]:
    """The variables that srun sets, on one machine; the port is what a user may choose."""
    return {
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NAME": "train",
        "SLURM_NTASKS": str(count),
        "SLURM_NTASKS_PER_NODE": str(count),
        "SLURM_STEP_NUM_TASKS": str(count),
        "SLURM_NNODES": "1",
        "SLURM_NODELIST": "127.0.0.1",
        "SLURM_PROCID": str(number),
        "SLURM_LOCALID": str(number),
        "SLURM_NODEID": "0",
        "MASTER_PORT": str(port),
    }


def in_ranks(
    count: int,
    work: Callable[..., Any],
    *given: Any,
    variables: Variables = as_torchrun_says,
    **named: Any,
) -> list[Any]:
    """What ``work(ranks, …)`` returns in each rank; an error in one is an error here."""
    port = free_port()
    pipes, processes = [], []
    for number in range(count):
        ours, theirs = _SERVER.Pipe(duplex=False)
        process = _SERVER.Process(
            target=_be_rank,
            args=(variables(number, count, port), theirs, partial(work, **named), given),
        )
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    told = [
        pipe.recv() if pipe.poll(300) else (None, "nothing heard for too long") for pipe in pipes
    ]
    for process in processes:
        process.join(10)
        process.kill()
    errors = [error for _, error in told if error]
    assert not errors, "\n".join(errors)
    return [made for made, _ in told]


def _be_rank(
    variables: dict[str, str], pipe: Connection, work: Callable[..., Any], given: tuple[Any, ...]
) -> None:
    os.environ.update(variables)
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    try:
        with joined(Device.CPU) as ranks:
            assert isinstance(ranks, Ranks)
            made = work(ranks, *given)
        pipe.send((made, ""))
    except BaseException:
        pipe.send((None, traceback.format_exc()))
        raise


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
