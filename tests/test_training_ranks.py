"""Several processes that train together end where one does that draws all their samples."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from minicube import InputError
from minicube.networks import build_network
from minicube.training import Augmentation, Material, RunFolder, SilentListener, fit, rank_here
from minicube.training.device import Device
from minicube.training.losses import Activation, LossConfig, Term, build_loss
from minicube.training.memory import step_bytes
from minicube.training.ranks import ALONE, Ranks, joined
from minicube.training.statistics import share_statistics
from minicube.training.stepper import Stepper
from minicube.volumes import StoredCase
from rank_processes import as_srun_says, free_port, in_ranks
from small_cases import write_small_dataset
from small_training import NOTHING, settings, store_small

SMALL: dict[str, Any] = {"widths": (4, 8), "window": (16, 16, 16), "steps": 4, "warmup": 0}
FP32 = SMALL | {"precision": "fp32", "augmentation": NOTHING}
STEPS = 3
NETWORK = settings(**SMALL).network_config
Numbers = dict[str, NDArray[np.float64]]


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[StoredCase]:
    return store_small(tmp_path_factory.mktemp("stored"), 4)


def _gradients(ranks: Ranks, loss: LossConfig, samples: int) -> list[NDArray[np.float64]]:
    """Loss, gradients and statistics of a step, in double precision."""
    torch.manual_seed(0)
    network = build_network(NETWORK).double()
    if ranks.count > 1:
        share_statistics(network, ranks)
    images = torch.randn(samples, 4, 8, 8, 8, dtype=torch.float64)
    truth = torch.randint(0, 4, (samples, 8, 8, 8))
    truth[0] = 0  # unlike the others: a batch is no mean of its samples
    mine = list(ranks.share(samples))
    value = build_loss(loss, ranks=ranks)(network.train()(images[mine]), truth[mine])
    value.backward()  # type: ignore[no-untyped-call]
    # What DDP does.
    gradients = [
        ranks.sum(p.grad) / ranks.count for p in network.parameters() if p.grad is not None
    ]
    buffers = [b.double() for b in network.buffers()]
    return [v.detach().numpy() for v in (value, *gradients, *buffers)]


def _all_gradients(ranks: Ranks, samples: int) -> dict[str, list[NDArray[np.float64]]]:
    losses = {str(term): LossConfig(name=term) for term in Term}
    weights = (1.0, 2.0, 3.0, 4.0)
    losses["weighted"] = LossConfig(name="ce+dice+focal", class_weights=weights)
    losses["sigmoid"] = LossConfig(name="ce+tversky", activation=Activation.SIGMOID, alpha=0.3)
    return {name: _gradients(ranks, loss, samples) for name, loss in losses.items()}


@pytest.mark.parametrize(("count", "samples"), [(2, 3), (3, 5)])
def test_losses_and_statistics_are_those_of_all_samples(count: int, samples: int) -> None:
    alone = _all_gradients(ALONE, samples)
    for rank in in_ranks(count, _all_gradients, samples):
        for name, expected in alone.items():
            for found, wanted in zip(rank[name], expected, strict=True):
                np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12, err_msg=name)


WAYS: dict[str, dict[str, Any]] = {
    "averaged weights": {"batch": 4, "average": 0.9, "augmentation": Augmentation()},
    "one more sample in a rank": {"batch": 5, "recompute": True},
    "one by one": {"batch": 5, "one_by_one": True},
    "two dimensions": {"batch": 3, "network": "unet2d", "widths": (4, 4, 4, 4, 4)},
    "bf16": {"batch": 3, "precision": "bf16"},
}


def _steps(ranks: Ranks, way: dict[str, Any], cases: list[StoredCase]) -> Numbers:
    stepper = Stepper(settings(**(FP32 | way)), cases, ranks=ranks)
    begun = {f"begun {k}": v.clone() for k, v in stepper.network.state_dict().items()}
    losses = torch.tensor([stepper.step(step)[0] for step in range(STEPS)])
    made = {"losses": losses, **begun, **stepper.network.state_dict()}
    made |= {f"learnt {k}": v for k, v in stepper.learnt.state_dict().items()}
    return {name: value.double().numpy() for name, value in made.items()}


def _all_steps(ranks: Ranks, cases: list[StoredCase]) -> dict[str, Numbers]:
    return {name: _steps(ranks, way, cases) for name, way in WAYS.items()}


@pytest.fixture(scope="module")
def steps_alone(cases: list[StoredCase]) -> dict[str, Numbers]:
    return _all_steps(ALONE, cases)


@pytest.mark.parametrize("count", [2, 3])
def test_steps_are_those_of_one_rank(
    cases: list[StoredCase], steps_alone: dict[str, Numbers], count: int
) -> None:
    ranks = in_ranks(count, _all_steps, cases)
    for name, alone in steps_alone.items():
        tolerance = 0.05 if name == "bf16" else 1e-3
        together = ranks[0][name]
        assert together.keys() == alone.keys()
        np.testing.assert_allclose(together["losses"], alone["losses"], rtol=tolerance / 10)
        for key in alone:
            for other in ranks[1:]:
                assert other[name][key].tobytes() == together[key].tobytes(), (name, key)
        # Of how far training took them, as one vector: weights and running averages.
        for before in ("", "learnt "):
            keys = [key for key in alone if f"begun {key}" in alone]
            apart = sum(((together[before + k] - alone[before + k]) ** 2).sum() for k in keys)
            moved = sum(((alone[before + k] - alone[f"begun {k}"]) ** 2).sum() for k in keys)
            assert np.sqrt(apart / moved) < tolerance, name


class _Interrupted(Exception):
    pass


class _Pull(SilentListener):
    def stepped(self, step: int, loss: float) -> None:
        if step == 3:
            raise _Interrupted


RUN = settings(**FP32, batch=3, validations=2)


def _sitting(ranks: Ranks, folder: Path, cases: list[StoredCase], *, pull: bool) -> list[str]:
    """Train in a run folder; what this process wrote there."""
    written: list[str] = []

    def look(event: str, given: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(given[2], int) and given[2] & 3
        if (writes or event in ("os.mkdir", "os.rename", "os.remove")) and str(folder) in str(
            given[0]
        ):
            written.append(str(given[0]))

    sys.addaudithook(look)
    material = Material(cases[:2], cases[2:], "2 small cases", ranks=ranks)
    try:
        fit(RunFolder(folder), RUN, material, listener=_Pull() if pull else None)
    except _Interrupted:
        assert pull
    return written


def _rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def test_a_run_changes_hands_between_numbers_of_ranks(
    cases: list[StoredCase], tmp_path: Path
) -> None:
    alone, first, last = (tmp_path / name for name in ("alone", "first", "last"))
    _sitting(ALONE, alone, cases, pull=False)
    wrote = in_ranks(2, _sitting, first, cases, pull=True)
    assert wrote[0]
    assert not wrote[1]  # the first rank alone writes
    _sitting(ALONE, first, cases, pull=False)
    _sitting(ALONE, last, cases, pull=True)
    wrote = in_ranks(2, _sitting, last, cases, pull=False)
    assert wrote[0]
    assert not wrote[1]
    weights = load_file(alone / "weights.safetensors")
    for run in (first, last):
        state = RunFolder(run).read_checkpoint()
        assert state is not None
        assert state["step"] == RUN.steps
        for name, found in load_file(run / "weights.safetensors").items():
            torch.testing.assert_close(found, weights[name], rtol=1e-3, atol=1e-4, msg=name)
        rows, expected = _rows(run), _rows(alone)
        assert [(r["step"], r["split"]) for r in rows] == [
            (r["step"], r["split"]) for r in expected
        ]
        found_loss, wanted = ([float(r["loss"]) for r in some] for some in (rows, expected))
        assert found_loss == pytest.approx(wanted, rel=1e-3)
        assert json.loads((run / "validation.json").read_text())["cases"] == 2


def _ask_everyone(ranks: Ranks, batch: int) -> list[str]:
    """What becomes of an error in one rank, and of a step too small to be shared."""

    def fail_in_last() -> int:
        if ranks.number == ranks.count - 1:
            raise InputError("this one has no data")
        return ranks.number

    heard = []
    for make in (lambda: ranks.everyone(fail_in_last), lambda: ranks.refuse_idle(batch)):
        with pytest.raises(InputError) as caught:
            make()
        heard.append(str(caught.value))
    numbers = ranks.everyone(lambda: ranks.number)
    assert numbers == list(range(ranks.count))
    return [*heard, ranks.from_first(lambda: f"rank {ranks.number}")]


def test_srun_starts_ranks_and_an_error_of_one_is_known_to_all() -> None:
    first, last = in_ranks(2, _ask_everyone, 1, variables=as_srun_says)
    assert first == [
        "Process 1 cannot go on: this one has no data",
        "A step of 1 sample cannot be shared by 2 processes.\n"
        "  what to do: start at most 1, or set batch = 2 in the config",
        "rank 0",
    ]
    assert last[0] == "this one has no data"
    assert last[1:] == first[1:]


def test_a_batch_script_without_srun_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = as_srun_says(1, 4, 0)
    del variables["SLURM_STEP_NUM_TASKS"]
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert rank_here() == 0
    with joined(Device.CPU) as ranks:
        assert ranks is ALONE
        assert ranks.fabric(Device.CPU, "32-true").world_size == 1


def test_shares_are_whole_and_the_first_is_the_largest() -> None:
    for whole in range(1, 9):
        for count in range(1, whole + 1):
            shares = [Ranks(number, count).share(whole) for number in range(count)]
            assert [i for share in shares for i in share] == list(range(whole))
            assert len(shares[0]) == max(map(len, shares))
            assert min(map(len, shares)) >= len(shares[0]) - 1


def test_a_rank_holds_the_memory_of_its_share() -> None:
    four, two = (settings(**SMALL, batch=batch) for batch in (4, 2))
    weights = 4 * build_network(NETWORK).parameter_count
    shared = step_bytes(four, (36, 36, 36), Ranks(0, 2))
    assert shared == step_bytes(two, (36, 36, 36)) + weights  # DDP's copy of the gradients
    assert step_bytes(four, (36, 36, 36), Ranks(0, 3)) == shared


def test_torchrun_trains_and_speaks_once(tmp_path: Path) -> None:
    data = write_small_dataset(tmp_path / "data", 4)
    settings_file = tmp_path / "settings.json"
    settings_file.write_text(settings(**SMALL, validations=1).model_dump_json())
    run = tmp_path / "run"
    torchrun = ["torch.distributed.run", "--nproc-per-node", "2", "--master-addr", "127.0.0.1"]
    train = ["minicube", "train", "--data", str(data), "--out", str(run)]
    train += ["--config", str(settings_file)]
    done = subprocess.run(
        [sys.executable, "-m", *torchrun, "--master-port", str(free_port()), "-m", *train],
        env=dict(os.environ) | {"COLUMNS": "500"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"trained: {run}\nreport: {run / 'report.html'}\n"
    assert done.stderr.count("4 steps") == 1
    assert "Traceback" not in done.stderr
    assert json.loads((run / "environment.json").read_text())["ranks"] == 2
    assert len(list((run / "tensorboard").iterdir())) == 1
    assert {path.name for path in (run / "prepared").iterdir()} == {
        path.name for path in data.iterdir()
    }
