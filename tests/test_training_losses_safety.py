"""Every loss: gradients, number formats, properties, settings and their refusal."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from minicube import InputError
from minicube.training.losses import Activation, LossConfig, Term, build_loss
from minicube.training.losses.overlap import CHORD_END, power
from small_losses import EVERY, certain, loss, some


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Tensors this small only wait for threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# --- gradients and number formats -----------------------------------------------------------


@pytest.mark.parametrize(("term", "activation"), EVERY)
def test_gradients_are_those_of_the_value(term: Term, activation: Activation) -> None:
    classes = 4 if term is Term.REGION_DICE else 3  # regions are of the network's classes
    logits, target = some(8, classes=classes, size=(2, 2, 2, 1))
    config = LossConfig(
        name=term,
        activation=activation,
        background=activation is Activation.SIGMOID,
        class_weights=(1, 3, 5, 7)[:classes],
        alpha=0.3,
        beta=0.8,
        gamma=2,
        focusing=1.5,
    )
    compute = build_loss(config, classes)
    assert torch.autograd.gradcheck(lambda x: compute(x, target), logits.requires_grad_())


@pytest.mark.parametrize("exponent", [1 / 3, 0.5, 0.75, 1.0, 4 / 3, 3.0])
def test_power_is_exact_continuous_and_of_bounded_slope(exponent: float) -> None:
    above = torch.tensor([CHORD_END, 3e-4, 0.2, 1.0], dtype=torch.float64)
    assert torch.allclose(power(above, exponent), above**exponent, rtol=1e-12)
    below = torch.tensor([0.0, 1e-30, CHORD_END / 2], dtype=torch.float64)
    if exponent < 1:
        slope = CHORD_END ** (exponent - 1)
        assert torch.allclose(power(below, exponent), slope * below, rtol=1e-12)
        gap = torch.tensor([CHORD_END * (1 - 1e-9), CHORD_END], dtype=torch.float64)
        assert float(power(gap, exponent).diff()) == pytest.approx(0, abs=1e-9)
    else:
        slope = exponent
    losses = torch.cat([below, above]).requires_grad_()
    (gradient,) = torch.autograd.grad(power(losses, exponent).sum(), losses)
    assert float(gradient.min()) >= 0
    assert float(gradient.max()) <= slope * (1 + 1e-12)
    assert float(power(below, exponent)[0]) == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize(("term", "activation"), EVERY)
def test_extreme_logits_give_finite_values_and_gradients(
    term: Term, activation: Activation, dtype: torch.dtype
) -> None:
    _, target = some(9)
    sure = certain(target).sign() * 100  # right everywhere, or wrong everywhere
    for extreme in (sure, -sure, torch.zeros_like(sure), torch.full_like(sure, -100)):
        for chosen in ({}, {"suppress": 0.95, "gamma": 3, "focusing": 0.1}, {"focusing": 0}):
            logits = extreme.to(dtype).requires_grad_()
            value = loss(logits, target, term, activation=activation, **chosen)
            assert value.dtype is (torch.float64 if dtype is torch.float64 else torch.float32)
            assert bool(torch.isfinite(value))
            (gradient,) = torch.autograd.grad(value, logits)
            assert bool(torch.isfinite(gradient).all())


@pytest.mark.parametrize(("term", "activation"), EVERY)
def test_half_precision_costs_only_the_rounding_of_the_logits(
    term: Term, activation: Activation
) -> None:
    logits, target = some(10)
    rounded = logits.bfloat16()
    exact = float(loss(rounded.double(), target, term, activation=activation))
    found = float(loss(rounded, target, term, activation=activation))
    assert found == pytest.approx(exact, rel=1e-5)


# --- properties -----------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(EVERY), st.sampled_from([0.01, 1.0, 30.0]))
def test_losses_are_not_negative_and_know_no_order_of_voxels(
    seed: int, which: tuple[Term, Activation], scale: float
) -> None:
    term, activation = which
    logits, target = some(seed, size=(2, 4, 3, 2))
    logits = scale * logits
    before = float(loss(logits, target, term, activation=activation))
    assert before >= 0
    if term in (Term.DICE, Term.TVERSKY):
        assert before <= 1
    if term is Term.FOCAL_TVERSKY:
        assert before <= 3
    if term is Term.BOUNDARY_CROSS_ENTROPY:  # mirrored, for this one sees neighbours
        moved, moved_target = logits.flip(2, 3), target.flip(1, 2)
    else:
        order = torch.randperm(4 * 3 * 2, generator=torch.Generator().manual_seed(seed))
        moved = logits.flatten(2)[:, :, order].reshape(logits.shape)
        moved_target = target.flatten(1)[:, order].reshape(target.shape)
    after = float(loss(moved, moved_target, term, activation=activation))
    assert after == pytest.approx(before, rel=1e-9, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(EVERY), st.integers(1, 4))
def test_a_perfect_answer_costs_nothing_even_where_classes_are_missing(
    seed: int, which: tuple[Term, Activation], present: int
) -> None:
    term, activation = which
    generator = torch.Generator().manual_seed(seed)
    classes = torch.randperm(4, generator=generator)[:present]
    target = classes[torch.randint(0, present, (2, 3, 3, 2), generator=generator)]
    right = loss(certain(target), target, term, activation=activation)
    assert float(right) == pytest.approx(0, abs=1e-6)
    wrong = loss(certain((target + 1) % 4), target, term, activation=activation)
    assert float(wrong) > 0.1


@pytest.mark.parametrize("term", [Term.DICE, Term.TVERSKY, Term.FOCAL_TVERSKY, Term.UNIFIED_FOCAL])
def test_a_class_predicted_where_there_is_none_costs_something(term: Term) -> None:
    target = torch.zeros(1, 4, 4, 4, dtype=torch.int64)
    invented = target.clone()
    invented[:, 1:3, 1:3, 1:3] = 2
    assert float(loss(certain(invented), target, term)) > 0.1


def test_overlap_is_counted_over_the_batch_not_the_window() -> None:
    target = torch.zeros(2, 3, 3, 3, dtype=torch.int64)
    target[0, 1] = 1
    logits = some(11, classes=2, size=(2, 3, 3, 3))[0]
    joined = torch.cat(list(logits), dim=1)[None]
    for term in (Term.DICE, Term.TVERSKY, Term.FOCAL_TVERSKY):
        whole = float(loss(joined, torch.cat(list(target))[None], term))
        assert float(loss(logits, target, term)) == pytest.approx(whole)


# --- settings -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (
            {"name": "dise"},
            "a loss is one of ce, focal, dice, region-dice, tversky, focal-tversky, unified-focal, "
            r"boundary-ce, or several joined by '\+'; 'dise' in 'dise' is none of them",
        ),
        ({"name": "dice+"}, "'' in 'dice\\+' is none of them"),
        ({"name": "dice+CE"}, "'CE' in 'dice\\+CE' is none of them"),
        ({"name": "ce+dice+ce"}, "names a term twice"),
        ({"smooth": 0}, "smooth must be above 0, not 0"),
        ({"smooth": math.inf}, "smooth must be above 0, not inf"),
        ({"alpha": 1.1}, r"alpha must lie in \[0, 1\] \(the penalty of false positives\), not 1.1"),
        ({"beta": -0.1}, r"beta must lie in \[0, 1\] \(the penalty of false negatives\), not -0.1"),
        ({"alpha": 0, "beta": 0}, "alpha and beta must not both be 0"),
        ({"gamma": 0.75}, r"gamma must lie in \[1, 3\] \(equation 7 of the report.*\), not 0.75"),
        ({"gamma": 3.01}, r"gamma must lie in \[1, 3\].*, not 3.01"),
        ({"gamma": math.nan}, r"gamma must lie in \[1, 3\].*, not nan"),
        ({"focusing": 5.5}, r"focusing must lie in \[0, 5\], not 5.5"),
        ({"delta": 1.2}, r"delta must lie in \[0, 1\], not 1.2"),
        ({"mix": -1}, r"mix must lie in \[0, 1\], not -1"),
        ({"suppress": 1}, r"suppress must lie in \[0, 1\), not 1"),
        ({"boundary_weight": -1}, "boundary_weight must be at least 0, not -1"),
        ({"boundary_sigma": 0}, "boundary_sigma must be above 0, not 0"),
        ({"class_weights": (1, 3, 0, 7)}, "every class weight must be above 0 and finite, not"),
        ({"activation": "relu"}, "'softmax' or 'sigmoid'"),
        (
            {"name": "region-dice+ce", "activation": "sigmoid"},
            'it needs activation = "softmax"',
        ),
        ({"gama": 2}, "gama"),
    ],
)
def test_impossible_settings_are_refused_with_a_sentence(
    wrong: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ValidationError, match=sentence):
        LossConfig.model_validate(wrong)


def test_the_ends_of_the_ranges_are_allowed() -> None:
    LossConfig(alpha=0, beta=1, gamma=1, focusing=0, delta=0, mix=0, suppress=0, boundary_weight=0)
    LossConfig(alpha=1, beta=0, gamma=3, focusing=5, delta=1, mix=1, suppress=0.99)


def test_settings_survive_json_and_cannot_change() -> None:
    config = LossConfig(name="focal-tversky+ce", class_weights=(1, 3, 5, 7), gamma=2)
    assert LossConfig.model_validate(config.model_dump(mode="json")) == config
    with pytest.raises(ValidationError, match="frozen"):
        config.gamma = 3  # type: ignore[misc]


def test_as_many_class_weights_as_classes() -> None:
    with pytest.raises(InputError, match=r"4 weights, background first"):
        build_loss(LossConfig(class_weights=(1, 3, 5)))
