"""Every loss: closed forms, equivalences, MONAI."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.losses import (
    AsymmetricUnifiedFocalLoss,
    DiceLoss,
    FocalLoss,
    TverskyLoss,
)
from numpy.typing import NDArray
from torch.nn import functional

from minicube.training.losses import (
    Activation,
    LossConfig,
    Term,
    dice_and_cross_entropy,
)
from minicube.training.losses.overlap import power
from minicube.training.losses.voxelwise import boundary_weights
from small_losses import EVERY, Logits, certain, loss, some

# Four voxels in a row, three classes; each column is a voxel.
PROBABILITY = np.array(
    [
        [0.7, 0.1, 0.25, 0.2],
        [0.2, 0.6, 0.25, 0.3],
        [0.1, 0.3, 0.50, 0.5],
    ]
)
TRUTH = np.array([0, 1, 1, 2])
ONE_HOT = np.eye(3)[TRUTH].T
TP = (PROBABILITY * ONE_HOT).sum(1)
FP = (PROBABILITY * (1 - ONE_HOT)).sum(1)
FN = ((1 - PROBABILITY) * ONE_HOT).sum(1)
TRUE_P = PROBABILITY[TRUTH, range(4)]
# Sigmoid: each class is a yes or no of its own.
TRUE_OR_FALSE_P = np.where(ONE_HOT == 1, PROBABILITY, 1 - PROBABILITY)
WEIGHTS = np.array([1.0, 3.0, 5.0])

SHAPES = ((4, 1, 1), (2, 2, 1), (1, 2, 2), (1, 4, 1))


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Tensors this small only wait for threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def row(shape: tuple[int, int, int] = (4, 1, 1), *, sigmoid: bool = False) -> Logits:
    """Logits in fp64 that the activation turns into PROBABILITY, and TRUTH."""
    p = torch.from_numpy(PROBABILITY)
    logits = torch.logit(p) if sigmoid else torch.log(p) + 3.0
    return logits.reshape(1, 3, *shape), torch.from_numpy(TRUTH).reshape(1, *shape)


def tversky_index(alpha: float, beta: float, smooth: float = 1.0) -> NDArray[np.float64]:
    index: NDArray[np.float64] = (TP + smooth / 2) / (TP + alpha * FP + beta * FN + smooth / 2)
    return index


# --- closed forms ---------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_overlap_losses_equal_their_closed_forms(shape: tuple[int, int, int]) -> None:
    logits, target = row(shape)
    dice = 1 - (2 * TP + 1) / (PROBABILITY.sum(1) + ONE_HOT.sum(1) + 1)
    tversky = 1 - tversky_index(0.3, 0.7)
    roots = tversky ** (1 / 2.5)
    cases: list[tuple[float, str, dict[str, object]]] = [
        (dice[1:].mean(), "dice", {}),
        (dice.mean(), "dice", {"background": True}),
        (tversky[1:].mean(), "tversky", {"alpha": 0.3, "beta": 0.7}),
        (roots[1:].sum(), "focal-tversky", {"alpha": 0.3, "beta": 0.7, "gamma": 2.5}),
        (
            roots.sum(),
            "focal-tversky",
            {"alpha": 0.3, "beta": 0.7, "gamma": 2.5, "background": True},
        ),
        (
            (tversky[1:] ** 2.5).sum(),
            "focal-tversky",
            {"alpha": 0.3, "beta": 0.7, "gamma": 2.5, "inverted_exponent": True},
        ),
    ]
    for expected, name, chosen in cases:
        assert float(loss(logits, target, name, **chosen)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_voxelwise_losses_equal_their_closed_forms(shape: tuple[int, int, int]) -> None:
    logits, target = row(shape)
    ce = -np.log(TRUE_P)
    assert float(loss(logits, target, "ce")) == pytest.approx(ce.mean(), abs=1e-6)
    focal = ((1 - TRUE_P) ** 1.5 * ce).mean()
    assert float(loss(logits, target, "focal", focusing=1.5)) == pytest.approx(focal, abs=1e-6)

    logits, target = row(shape, sigmoid=True)
    ce = -np.log(TRUE_OR_FALSE_P)
    found = loss(logits, target, "ce", activation="sigmoid")
    assert float(found) == pytest.approx(ce.mean(), abs=1e-6)
    focal = ((1 - TRUE_OR_FALSE_P) ** 1.5 * ce).mean()
    found = loss(logits, target, "focal", activation="sigmoid", focusing=1.5)
    assert float(found) == pytest.approx(focal, abs=1e-6)


def test_region_dice_equals_its_closed_form() -> None:
    logits, target = some(3)
    p = logits.softmax(1).movedim(1, -1).reshape(-1, 4).numpy()
    t = target.ravel().numpy()
    expected = []
    for values in ([1, 2, 3], [2, 3], [3]):  # WT, TC, ET in the network's scheme
        inside, truth = p[:, values].sum(1), np.isin(t, values)
        index = (2 * (inside * truth).sum() + 0.5) / (inside.sum() + truth.sum() + 0.5)
        expected.append(1 - index)
    found = loss(logits, target, "region-dice", smooth=0.5)
    assert float(found) == pytest.approx(np.mean(expected), abs=1e-6)


def test_sigmoid_counts_the_same_overlap_of_the_same_probabilities() -> None:
    for name in ("dice", "tversky", "focal-tversky"):
        soft = loss(*row(), name, alpha=0.3)
        own = loss(*row(sigmoid=True), name, alpha=0.3, activation="sigmoid")
        assert float(own) == pytest.approx(float(soft), abs=1e-6)


def test_unified_focal_equals_its_closed_form() -> None:
    delta, gamma, mix = 0.7, 0.4, 0.3
    ce = -np.log(TRUE_P)
    common = TRUTH == 0
    focal = np.where(common, (1 - delta) * (1 - TRUE_P) ** gamma * ce, delta * ce).mean()
    tversky = 1 - tversky_index(1 - delta, delta)
    tversky[1:] **= 1 - gamma
    expected = mix * focal + (1 - mix) * tversky.mean()
    found = loss(*row(), "unified-focal", delta=delta, suppress=gamma, mix=mix)
    assert float(found) == pytest.approx(expected, abs=1e-6)


def test_boundary_weighted_cross_entropy_equals_its_closed_form() -> None:
    # Voxels from the nearest one of another class: 3 2 1 1 2.
    target = torch.tensor([0, 0, 0, 1, 1]).reshape(1, 5, 1, 1)
    logits = some(3, classes=2, size=(1, 5, 1, 1))[0]
    weights = 1 + 4 * np.exp(-(np.array([3, 2, 1, 1, 2]) ** 2) / (2 * 1.5**2))
    ce = functional.cross_entropy(logits, target, reduction="none").flatten().numpy()
    found = loss(logits, target, "boundary-ce", boundary_weight=4, boundary_sigma=1.5)
    assert float(found) == pytest.approx((weights * ce).sum() / weights.sum(), abs=1e-6)


def test_class_weights_weigh_classes_and_voxels() -> None:
    logits, target = row()
    w = tuple(WEIGHTS)
    dice = 1 - (2 * TP + 1) / (PROBABILITY.sum(1) + ONE_HOT.sum(1) + 1)
    expected = (WEIGHTS[1:] * dice[1:]).sum() / WEIGHTS[1:].sum()
    assert float(loss(logits, target, "dice", class_weights=w)) == pytest.approx(expected)
    expected = (WEIGHTS * dice).sum() / WEIGHTS.sum()
    found = loss(logits, target, "dice", class_weights=w, background=True)
    assert float(found) == pytest.approx(expected)

    roots = (1 - tversky_index(0.5, 0.5)) ** 0.5
    expected = 3 * (WEIGHTS * roots).sum() / WEIGHTS.sum()
    found = loss(logits, target, "focal-tversky", class_weights=w, gamma=2, background=True)
    assert float(found) == pytest.approx(expected)

    voxel = WEIGHTS[TRUTH]
    ce = -np.log(TRUE_P)
    expected = (voxel * ce).sum() / voxel.sum()
    assert float(loss(logits, target, "ce", class_weights=w)) == pytest.approx(expected)
    expected = (voxel * (1 - TRUE_P) ** 2 * ce).sum() / voxel.sum()
    assert float(loss(logits, target, "focal", class_weights=w)) == pytest.approx(expected)
    # Near a boundary the weights add: of the class, with a mean of 1, and of the place. Here
    # every voxel is next to one of another class.
    place = voxel / 3 + 10 * np.exp(-1 / 50)
    expected = (place * ce).sum() / place.sum()
    assert float(loss(logits, target, "boundary-ce", class_weights=w)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("term", "activation"), [pair for pair in EVERY if pair[0] is not Term.REGION_DICE]
)
def test_only_the_ratios_of_class_weights_matter(term: Term, activation: Activation) -> None:
    logits, target = some(1)
    chosen: dict[str, object] = {"activation": activation, "class_weights": (1, 3, 5, 7)}
    whole = float(loss(logits, target, term, **chosen))
    chosen["class_weights"] = tuple(w / 16 for w in (1, 3, 5, 7))  # as the report's group
    assert float(loss(logits, target, term, **chosen)) == pytest.approx(whole, rel=1e-9)
    chosen["class_weights"] = (2, 2, 2, 2)
    even = float(loss(logits, target, term, **chosen))
    chosen["class_weights"] = None
    assert even == pytest.approx(float(loss(logits, target, term, **chosen)), rel=1e-9)
    assert even != pytest.approx(whole, rel=1e-3)


def test_a_sum_is_the_sum_of_its_terms() -> None:
    logits, target = some(2)
    parts = [float(loss(logits, target, term)) for term in Term]
    assert float(loss(logits, target, "+".join(Term))) == pytest.approx(sum(parts), rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_default_is_bit_for_bit_what_trained_the_published_weights(dtype: torch.dtype) -> None:
    for seed in range(8):
        logits, target = some(seed, size=(2, 9, 7, 5))
        ours = logits.to(dtype).requires_grad_()
        theirs = logits.to(dtype).requires_grad_()

        wide = theirs.float()
        probability = torch.softmax(wide, dim=1)
        truth = functional.one_hot(target, 4).movedim(-1, 1).to(probability.dtype)
        overlap = (probability * truth).sum((0, 2, 3, 4))[1:]
        total = (probability + truth).sum((0, 2, 3, 4))[1:]
        dice = (2 * overlap + 1) / (total + 1)
        expected = 1 - dice.mean() + functional.cross_entropy(wide, target)

        found = dice_and_cross_entropy(ours, target)
        assert torch.equal(found, expected)
        found.backward()  # type: ignore[no-untyped-call]
        expected.backward()  # type: ignore[no-untyped-call]
        assert ours.grad is not None
        assert theirs.grad is not None
        assert torch.equal(ours.grad, theirs.grad)


# --- equivalences ---------------------------------------------------------------------------


@pytest.mark.parametrize("activation", Activation)
def test_special_cases_coincide(activation: Activation) -> None:
    logits, target = some(4)

    def value(name: str, **settings: object) -> float:
        return float(loss(logits, target, name, activation=activation, **settings))

    assert value("tversky", smooth=0.3) == pytest.approx(value("dice", smooth=0.3))
    assert value("focal", focusing=0) == pytest.approx(value("ce"))
    assert value("boundary-ce", boundary_weight=0) == pytest.approx(value("ce"))
    for chosen in ({"alpha": 0.2, "beta": 0.9}, {"alpha": 1.0, "beta": 1.0, "background": True}):
        classes = 4 if "background" in chosen else 3
        tversky = value("tversky", **chosen)
        assert value("focal-tversky", gamma=1, **chosen) == pytest.approx(classes * tversky)
    # Without suppression and with δ = ½, the two parts are half of CE, and Dice with class 0.
    plain = value("ce") / 4 + value("dice", background=True) / 2
    assert value("unified-focal", delta=0.5, suppress=0) == pytest.approx(plain)


@pytest.mark.parametrize("name", ["tversky", "focal-tversky"])
def test_alpha_weighs_false_positives_and_beta_false_negatives(name: str) -> None:
    target = torch.zeros(1, 4, 4, 2, dtype=torch.int64)
    target[:, :2] = 1
    too_much, too_little = torch.ones_like(target), torch.zeros_like(target)
    too_little[:, :1] = 1
    for answer, weighed, ignored in ((too_much, "alpha", "beta"), (too_little, "beta", "alpha")):
        logits = certain(answer, 2)
        values = [float(loss(logits, target, name, **{weighed: v})) for v in (0.1, 0.5, 0.9)]
        assert values[0] < values[1] < values[2]
        other = [float(loss(logits, target, name, **{ignored: v})) for v in (0.1, 0.5, 0.9)]
        assert other == pytest.approx([values[1]] * 3, rel=1e-6)


def test_delta_of_unified_focal_is_the_share_of_the_rare_classes() -> None:
    target = torch.zeros(1, 4, 4, 2, dtype=torch.int64)
    target[:, :2] = 1
    nothing, everything = certain(torch.zeros_like(target), 2), certain(torch.ones_like(target), 2)
    for delta in (0.6, 0.9):
        missed = float(loss(nothing, target, "unified-focal", delta=delta, mix=1))
        invented = float(loss(everything, target, "unified-focal", delta=delta, mix=1))
        assert missed / invented == pytest.approx(delta / (1 - delta))


def test_gamma_makes_easy_classes_matter_less() -> None:
    """The slope at a hard class relative to that at an easy one grows with gamma."""
    easy, hard = 0.01, 0.8
    ratios = []
    for gamma in (1.0, 4 / 3, 2.0, 3.0):
        losses = torch.tensor([easy, hard], dtype=torch.float64)
        ratios.append(float(power(losses, 1 / gamma)[1] / power(losses, 1 / gamma)[0]))
    assert ratios == sorted(ratios, reverse=True)
    inverted = power(torch.tensor([easy, hard], dtype=torch.float64), 2.0)
    assert float(inverted[1] / inverted[0]) > ratios[0]


# --- the boundary map -----------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 5), st.integers(1, 5), st.integers(1, 4))
def test_boundary_distance_equals_brute_force(seed: int, x: int, y: int, z: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.choice(4, (2, x, y, z), p=rng.dirichlet(np.full(4, 0.3)))
    config = LossConfig(boundary_weight=7, boundary_sigma=2)
    found = boundary_weights(torch.from_numpy(labels), config)
    for one, weights in zip(labels, found.numpy(), strict=True):
        places = np.argwhere(np.ones_like(one))
        for place in places:
            others = places[one.ravel() != one[tuple(place)]]
            squared = ((others - place) ** 2).sum(1).min() if len(others) else math.inf
            expected = 1 + 7 * math.exp(-squared / 8)
            assert weights[tuple(place)] == pytest.approx(expected, rel=1e-5)


# --- MONAI ----------------------------------------------------------------------------------


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("activation", Activation)
def test_overlap_losses_equal_those_of_monai(activation: Activation, background: bool) -> None:
    logits, target = some(5)
    common = {
        "include_background": background,
        "to_onehot_y": True,
        "batch": True,
        activation.value: True,
    }
    chosen = {"activation": activation, "background": background, "smooth": 0.8}
    monai = DiceLoss(smooth_nr=0.8, smooth_dr=0.8, **common)(logits, target[:, None])
    assert float(loss(logits, target, "dice", **chosen)) == pytest.approx(float(monai), abs=1e-6)
    # MONAI's Tversky adds its smooth to an index that is half of Dice's, above and below.
    tversky = TverskyLoss(alpha=0.2, beta=0.7, smooth_nr=0.4, smooth_dr=0.4, **common)
    monai = tversky(logits, target[:, None])
    found = loss(logits, target, "tversky", alpha=0.2, beta=0.7, **chosen)
    assert float(found) == pytest.approx(float(monai), abs=1e-6)


@pytest.mark.parametrize("activation", Activation)
@pytest.mark.parametrize("focusing", [0.5, 2.0, 5.0])
def test_focal_loss_equals_that_of_monai(activation: Activation, focusing: float) -> None:
    logits, target = some(6)
    softmax = activation is Activation.SOFTMAX
    monai = FocalLoss(to_onehot_y=True, gamma=focusing, use_softmax=softmax)
    value = float(monai(logits, target[:, None]))
    # With softmax MONAI's mean also runs over the three channels in which the truth is 0.
    expected = 4 * value if softmax else value
    found = loss(logits, target, "focal", activation=activation, focusing=focusing)
    assert float(found) == pytest.approx(expected, abs=1e-6)


def test_unified_focal_loss_equals_that_of_monai() -> None:
    # MONAI takes probabilities of two classes, smooths by 1e-7, counts each sample apart, and
    # its mean of the focal part runs over both channels, of which one is 0 in every voxel.
    logits, target = some(7, classes=2, size=(1, 6, 5, 4))
    probability = torch.softmax(logits, dim=1)
    truth = functional.one_hot(target, 2).movedim(-1, 1)
    for mix, scale in ((1.0, 2.0), (0.0, 1.0)):
        monai = AsymmetricUnifiedFocalLoss(weight=mix, gamma=0.4, delta=0.7)
        expected = scale * float(monai(probability, truth))
        chosen = {"mix": mix, "suppress": 0.4, "delta": 0.7, "smooth": 2e-7}
        found = float(loss(logits, target, "unified-focal", **chosen))
        assert found == pytest.approx(expected, abs=1e-6)
