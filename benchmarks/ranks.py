"""A training step of two processes against one, at the same batch, and what goes between them.

    python benchmarks/ranks.py [--config PRESET] [--batch 2] [--steps 4] [--rounds 5]

Both have one thread a process, live side by side and take turns, so that what else the machine does
meets both. Then an estimate for more machines: a ring moves 2 (n - 1) / n of the bytes through
each, here counted as 2, each exchange waits once for the network, and nothing of it is hidden
behind the computing.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import socket
import statistics
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

COUNTS = (1, 2)
NETWORKS = {  # bits a second, seconds an exchange
    "1 Gbit/s, 200 µs": (1e9, 2e-4),
    "10 Gbit/s, 50 µs": (1e10, 5e-5),
    "100 Gbit/s, 5 µs": (1e11, 5e-6),
}


def be_rank(variables: dict[str, str], pipe: Connection, given: argparse.Namespace) -> None:
    """Make steps whenever the parent says so; tell it how long they took."""
    os.environ.update(variables)
    import torch
    import torch.distributed as dist

    from minicube.training import Device, TrainingConfig
    from minicube.training.ranks import joined
    from minicube.training.stepper import Stepper
    from minicube.volumes import StoredCase

    torch.set_num_threads(1)
    settings = {"batch": given.batch, "precision": given.precision}
    base = TrainingConfig.read(given.config) if given.config else TrainingConfig()
    config = TrainingConfig.checked(base.model_dump() | settings, "benchmark")
    counted: list[int] = []
    reduce, gather = dist.all_reduce, dist.all_gather

    def counting(tensor: torch.Tensor) -> None:
        counted.append(tensor.nbytes)
        reduce(tensor)

    def counting_too(parts: list[torch.Tensor], tensor: torch.Tensor) -> None:
        counted.append(tensor.nbytes)
        gather(parts, tensor)

    with joined(Device.CPU) as ranks:
        dist.all_reduce, dist.all_gather = counting, counting_too
        cases = [StoredCase(folder) for folder in sorted(given.cases.iterdir())]
        stepper = Stepper(config, cases, ranks=ranks)
        stepper.step(0)
        counted.clear()
        stepper.step(1)
        gradients = sum(p.nbytes for p in stepper.network.parameters())  # DDP's, in C++
        pipe.send({"gradients": gradients, "sums": sum(counted), "times": len(counted)})
        step = 2
        while pipe.recv():
            began = time.perf_counter()
            for _ in range(given.steps):
                stepper.step(step)
                step += 1
            pipe.send((time.perf_counter() - began) / given.steps)


def start(count: int, given: argparse.Namespace) -> list[Connection]:
    """Start ranks; returns a pipe to each."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    fresh = multiprocessing.get_context("spawn")
    pipes = []
    for number in range(count):
        variables = {
            "TORCHELASTIC_RUN_ID": "benchmark",
            "RANK": str(number),
            "LOCAL_RANK": str(number),
            "WORLD_SIZE": str(count),
            "LOCAL_WORLD_SIZE": str(count),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "OMP_NUM_THREADS": "1",
        }
        ours, theirs = fresh.Pipe()
        fresh.Process(target=be_rank, args=(variables, theirs, given), daemon=True).start()
        pipes.append(ours)
    return pipes


def show(seconds: dict[int, list[float]], exchanged: dict[str, int], batch: int) -> None:
    """Print the table and the estimate."""
    for count, spent in seconds.items():
        middle = statistics.median(spent)
        print(
            f"{count} rank{'s' * (count > 1)} of one thread: {middle:7.3f} s a step "
            f"({min(spent):.3f} to {max(spent):.3f}), {batch / middle:.3f} samples/s"
        )
    ratios = [one / two for one, two in zip(seconds[1], seconds[2], strict=True)]
    print(
        f"throughput of two to one: {statistics.median(ratios):.3f} "
        f"({min(ratios):.3f} to {max(ratios):.3f}; medians over rounds)"
    )
    total = exchanged["gradients"] + exchanged["sums"]
    print(
        f"exchanged a step: {exchanged['gradients']} bytes of gradients; {exchanged['sums']} bytes "
        f"of statistics and losses, one after another in {exchanged['times']} exchanges"
    )
    sample = statistics.median(seconds[1]) / batch
    print(f"estimate: a rank computes one sample in {sample:.3f} s, then exchanges")
    for name, (bits, wait) in NETWORKS.items():
        wire = 2 * total * 8 / bits + exchanged["times"] * wait
        print(f"  {name}: {wire:.4f} s, efficiency {sample / (sample + wire):.4f}")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", help="preset or file; the default config otherwise")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    from minicube.phantom import PhantomSpec, make_phantom
    from minicube.volumes import prepare, store_one

    with tempfile.TemporaryDirectory() as folder:
        given.cases = Path(folder)
        for number in range(2):
            store_one(prepare(make_phantom(PhantomSpec(seed=1), number)), given.cases)
        pipes, exchanged = {}, {}
        for count in COUNTS:
            pipes[count] = start(count, given)
            exchanged = [pipe.recv() for pipe in pipes[count]].pop()
        seconds: dict[int, list[float]] = {count: [] for count in COUNTS}
        for _ in range(given.rounds):
            for count in COUNTS:
                for pipe in pipes[count]:
                    pipe.send(True)
                seconds[count].append(max(pipe.recv() for pipe in pipes[count]))
        for pipe in (pipe for some in pipes.values() for pipe in some):
            pipe.send(False)
    show(seconds, exchanged, given.batch)
    return 0


if __name__ == "__main__":
    sys.exit(main())
