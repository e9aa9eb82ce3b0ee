"""One step at a time: it learns, it can be probed without a trace, it takes over weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from minicube import InputError
from minicube.engines import Precision
from minicube.training import Cause, Diverged, TrainingConfig, preset_names
from minicube.training.losses import LossConfig, build_loss
from minicube.training.sampling import Sampler
from minicube.training.stepper import Stepper
from minicube.volumes import StoredCase
from small_training import NOTHING, settings, store_small, tiny

SMALL = {"widths": (4, 8), "window": (16, 16, 16), "warmup": 0}


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[StoredCase]:
    return store_small(tmp_path_factory.mktemp("stored"), 3)


def _weights(stepper: Stepper) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in stepper.network.state_dict().items()}


def _alike(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Bit for bit."""
    assert one.keys() == other.keys()
    return all(value.equal(other[name]) for name, value in one.items())


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_makes_a_step_that_learns(cases: list[StoredCase], preset: str) -> None:
    config = tiny(preset, warmup=0)
    stepper = Stepper(config, cases)
    images, labels = stepper.batch(0)
    margin = stepper.network.margin
    assert images.shape == (config.batch, 4, *(n + 2 * margin for n in config.window))
    assert labels.shape == (config.batch, *config.window)
    before = _weights(stepper)
    loss, rate = stepper.step(0)
    assert 0 < loss < 10
    assert rate == config.learning_rate
    learnt = dict(stepper.network.named_parameters())
    changed = [name for name, value in learnt.items() if not value.equal(before[name])]
    assert len(changed) > len(learnt) / 2
    assert stepper.bf16 is False or config.precision is not Precision.FP32
    assert all(torch.isfinite(value).all() for value in stepper.network.state_dict().values())


def test_the_loss_falls(cases: list[StoredCase]) -> None:
    config = settings(**SMALL, steps=200, learning_rate=2e-2, augmentation=NOTHING)
    stepper = Stepper(config, cases)
    losses = [stepper.step(step)[0] for step in range(24)]
    assert sum(losses[-6:]) < 0.8 * sum(losses[:6])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"augmentation": {}, "precision": "bf16"},
        {"normalisation": "instance"},
        {"network": "unet3d-context", "widths": (2, 2, 2), "context": 20, "minicube": (16, 16, 16)},
    ],
    ids=["plain", "bf16", "instance", "context"],
)
def test_a_probe_leaves_no_trace(cases: list[StoredCase], changes: dict[str, Any]) -> None:
    config = settings(**(SMALL | changes), steps=8)
    probed, undisturbed = Stepper(config, cases), Stepper(config, cases)
    losses = []
    for step in range(2):
        before = _weights(probed)
        losses.append(probed.probe(cases[:2], 2))
        assert losses[-1] == probed.probe(cases[:2], 2)  # the same samples each time
        assert _alike(before, _weights(probed))
        assert probed.step(step) == undisturbed.step(step)
        assert _alike(_weights(probed), _weights(undisturbed))
    assert len(set(losses)) == 2  # and another network each time


def test_a_probe_is_the_mean_loss_of_plain_samples_of_another_seed(
    cases: list[StoredCase],
) -> None:
    stepper = Stepper(settings(**SMALL, seed=4), cases)
    sampler = Sampler(cases[:1], settings(**SMALL, seed=5), 0)
    loss, losses = build_loss(LossConfig()), []
    network = stepper.network.eval()
    for index in range(4):
        images, labels, _ = sampler.draw(0, index)
        with torch.no_grad():
            logits = network(torch.from_numpy(images)[None])
        losses.append(float(loss(logits, torch.from_numpy(labels)[None].long())))
    one, two = (stepper.probe(cases[i : i + 1], 4) for i in (0, 1))
    tolerance = 0.02 if stepper.bf16 else 1e-5
    assert one == pytest.approx(sum(losses) / 4, rel=tolerance)
    assert one != two
    changes = {"noise": 1.0, "contrast": 1.0, "missing": 1.0}
    augmented = Stepper(settings(**SMALL, seed=4, augmentation=changes), cases)
    assert augmented.probe(cases[:1], 4) == one


def test_start_from_takes_over_weights(cases: list[StoredCase]) -> None:
    first = Stepper(settings(**SMALL, seed=1), cases)
    first.step(0)
    second = Stepper(settings(**SMALL, seed=2), cases)
    assert not _alike(_weights(first), _weights(second))
    second.start_from(first.network.state_dict())
    assert _alike(_weights(first), _weights(second))
    second.step(0)
    assert not _alike(_weights(first), _weights(second))  # they are its own now


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_the_training(cases: list[StoredCase], value: float) -> None:
    stepper = Stepper(settings(**SMALL), cases)
    stepper.step(0)
    with torch.no_grad():
        next(iter(stepper.network.parameters())).fill_(value)
    before = _weights(stepper)
    with pytest.raises(Diverged, match=r"nan at step 7.*from before") as stopped:
        stepper.step(7)
    assert stopped.value.step == 7
    assert isinstance(stopped.value, InputError)  # exit code 2: the settings ask for it
    after = _weights(stepper)
    parameters = dict(stepper.network.named_parameters())
    for name in parameters:  # nothing was learnt from it
        torch.testing.assert_close(after[name], before[name], rtol=0, atol=0, equal_nan=True)


def test_state_and_restore_go_on_bit_for_bit(cases: list[StoredCase]) -> None:
    part = (16, 16, 16)
    for preset in ("unet3d-report-as-reported", "vnet"):
        cut = {"minicube": part} if "reported" in preset else {}
        config = tiny(preset, window=part, **cut)
        one = Stepper(config, cases)
        for step in range(2):
            one.step(step)
        state = {key: _copied(value) for key, value in one.state().items()}
        wanted = [one.step(step) for step in range(2, 4)]
        other = Stepper(config, cases)
        other.restore(state)
        assert [other.step(step) for step in range(2, 4)] == wanted
        assert _alike(_weights(one), _weights(other))
        fresh = Stepper(config, cases)
        fresh.start_from(state["network"])  # weights without the optimiser's memory are not enough
        assert [fresh.step(step) for step in range(2, 4)] != wanted


def _copied(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def test_seconds_are_counted_by_cause(cases: list[StoredCase]) -> None:
    stepper = Stepper(settings(**SMALL), cases)
    assert set(stepper.seconds.values()) == {0.0}
    stepper.step(0)
    spent = dict(stepper.seconds)
    assert set(spent) == set(Cause)
    assert all(spent[c] > 0 for c in (Cause.LOADING, Cause.AUGMENTATION, Cause.NETWORK))
    assert spent[Cause.SCORING] == 0
    stepper.step(1)
    assert stepper.seconds[Cause.NETWORK] > spent[Cause.NETWORK]
    other = Stepper(settings(**SMALL), cases)
    other.restore(stepper.state())
    assert other.seconds == stepper.seconds


def test_what_is_kept_is_the_running_average_where_asked(cases: list[StoredCase]) -> None:
    stepper = Stepper(settings(**SMALL, average=0.3), cases)
    assert stepper.learnt is stepper.network
    stepper.step(0)
    expected = _weights(stepper)  # the first step is taken over as it is
    for step in (1, 2, 3):
        stepper.step(step)
        kept = min(0.3, (1 + step) / (10 + step))
        for name, now in _weights(stepper).items():
            if now.is_floating_point():
                expected[name] = kept * expected[name] + (1 - kept) * now
    for name, value in stepper.learnt.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, expected[name])
    other = Stepper(settings(**SMALL, average=0.3), cases)
    other.restore(_copied(stepper.state()))
    assert _alike(dict(other.learnt.state_dict()), dict(stepper.learnt.state_dict()))
    assert not _alike(dict(other.learnt.state_dict()), _weights(stepper))


@pytest.mark.parametrize("average", [0.0, 0.3])
def test_what_is_kept_lies_between_start_and_learnt_where_asked(
    cases: list[StoredCase], average: float
) -> None:
    plain = Stepper(settings(**SMALL, average=average), cases)
    stepper = Stepper(settings(**SMALL, average=average, start_share=0.25), cases)
    start = {n: v + 0.125 if v.is_floating_point() else v for n, v in _weights(plain).items()}
    for one in (plain, stepper):
        one.start_from(start)
        for step in (0, 1):
            one.step(step)
    learnt = plain.learnt.state_dict()
    assert not _alike(start, dict(learnt))
    assert _alike(_weights(stepper), _weights(plain))  # the steps are the same
    for name, kept in stepper.learnt.state_dict().items():
        if kept.is_floating_point():
            between = 0.25 * start[name] + 0.75 * learnt[name]
            torch.testing.assert_close(kept, between)
        else:
            assert torch.equal(kept, learnt[name])
    other = Stepper(settings(**SMALL, average=average, start_share=0.25), cases)
    other.restore(_copied(stepper.state()))
    assert _alike(dict(other.learnt.state_dict()), dict(stepper.learnt.state_dict()))


def test_gradients_are_clipped_where_asked(cases: list[StoredCase]) -> None:
    steps = {}
    for clip in (0.0, 1e-9):
        # Adam forgets the scale of gradients, but for its epsilon of 1e-8.
        config = settings(**SMALL, clip=clip, optimiser="adam", learning_rate=0.01)
        stepper = Stepper(config, cases)
        before = _weights(stepper)
        stepper.step(0)
        after = _weights(stepper)
        parameters = dict(stepper.network.named_parameters())
        steps[clip] = max(float((after[n] - before[n]).abs().max()) for n in parameters)
    assert steps[0.0] == pytest.approx(0.01, rel=0.01)
    assert steps[1e-9] < 0.002


def test_weight_decay_is_adamws(cases: list[StoredCase]) -> None:
    def after(config: TrainingConfig) -> dict[str, Tensor]:
        stepper = Stepper(config, cases)
        stepper.step(0)
        return _weights(stepper)

    plain = after(settings(**SMALL, optimiser="adam"))
    assert _alike(plain, after(settings(**SMALL, optimiser="adam", weight_decay=0.5)))
    assert _alike(plain, after(settings(**SMALL, weight_decay=0.0)))
    assert not _alike(plain, after(settings(**SMALL, weight_decay=0.5)))
