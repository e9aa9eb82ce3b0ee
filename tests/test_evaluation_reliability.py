"""Errors of calibration and temperatures, held against what can be written down."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from minicube import InputError
from minicube.engines import load_model
from minicube.evaluation import (
    LogitSample,
    fit_temperature,
    region_reliability,
    reliability,
    sample_logits,
)
from minicube.evaluation.reliability import BINS
from minicube.inference import shipped_model
from minicube.scans import NETWORK_SCHEME, LabelMap, LabelScheme, Region
from small_models import write_small_model

CLASSES = len(NETWORK_SCHEME.values)


@given(
    confidence=st.integers(0, 100).map(lambda n: n / 100),
    hits=st.integers(0, 50),
    misses=st.integers(0, 50),
)
def test_one_confidence_is_as_wrong_as_it_is_off(confidence: float, hits: int, misses: int) -> None:
    n = hits + misses
    found = reliability(np.full(n, confidence), np.arange(n) < hits).ece
    assert found == (None if n == 0 else pytest.approx(abs(hits / n - confidence)))


def test_two_bins_are_weighted_by_their_voxels() -> None:
    confidence = np.array([0.9] * 10 + [0.3] * 30)
    hit = np.arange(40) < 7  # 7 of 10, and 0 of 30
    assert reliability(confidence, hit).ece == pytest.approx(0.25 * 0.2 + 0.75 * 0.3)
    # Opposite errors within one bin cancel out, as in the paper.
    assert reliability(confidence, hit, bins=1).ece == pytest.approx(abs(7 - 9 - 9) / 40)


def test_edges_belong_to_the_bin_below() -> None:
    found = reliability(np.array([0.0, 0.25, 0.5, 0.75, 1.0]), np.ones(5, np.bool_), bins=4)
    assert found.voxels.tolist() == [2, 1, 1, 1]
    assert found.to_dict()["mean_confidence"] == [0.125, 0.5, 0.75, 1.0]


@given(split=st.integers(0, 200), seed=st.integers(0, 5))
def test_cases_added_up_are_one_case(split: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = rng.random(200).astype(np.float32)
    hit = rng.random(200) < p
    whole = reliability(p, hit)
    parts = reliability(p[:split], hit[:split]) + reliability(p[split:], hit[split:])
    assert np.array_equal(whole.voxels, parts.voxels)
    assert np.array_equal(whole.hits, parts.hits)
    assert whole.ece == pytest.approx(parts.ece)
    assert len(whole.voxels) == BINS


def test_what_is_calibrated_has_next_to_no_error() -> None:
    p = np.linspace(0, 1, 200_001)
    hit = np.random.default_rng(0).random(p.size) < p
    assert (reliability(p, hit).ece or 1) < 0.005
    assert (reliability(p**2, hit).ece or 0) == pytest.approx(1 / 2 - 1 / 3, abs=0.005)


def test_regions_are_sums_of_their_tissues() -> None:
    shares = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    probabilities = np.tile(shares[:, None, None, None], (1, 10, 1, 1))
    labels = np.zeros((10, 1, 1), np.uint8)
    labels[:5], labels[5:9] = 3, 2  # by BraTS 2023: enhancing, oedema
    inside = np.ones(labels.shape, np.bool_)
    inside[9] = False
    reference = LabelMap(labels, LabelScheme.BRATS2023)
    found = region_reliability(probabilities, reference, inside=inside)
    assert found[Region.WT].ece == pytest.approx(1 - 0.9)
    assert found[Region.TC].ece == pytest.approx(abs(5 / 9 - 0.7))
    assert found[Region.ET].ece == pytest.approx(abs(5 / 9 - 0.4))
    probabilities[1] = 0.5
    with pytest.raises(InputError, match="outside"):
        region_reliability(probabilities, reference, inside=inside)
    with pytest.raises(InputError, match="outside"):
        reliability(np.array([np.nan]), np.array([True]))
    with pytest.raises(InputError, match="belong together"):
        reliability(np.array([0.5]), np.array([True, True]))


def _sample(gap: float, right: int, wrong: int) -> LogitSample:
    """Two classes that are ``gap`` apart; the likelier is right so many times."""
    logits = np.tile(np.array([gap, 0], np.float32), (right + wrong, 1))
    labels = (np.arange(right + wrong) >= right).astype(np.uint8)
    return LogitSample(logits, labels, np.ones(right + wrong))


@given(gap=st.floats(0.5, 20), right=st.integers(60, 95))
def test_two_classes_have_a_temperature_in_closed_form(gap: float, right: int) -> None:
    # sigmoid(gap / T) = right / 100
    expected = gap / math.log(right / (100 - right))
    assert fit_temperature(_sample(gap, right, 100 - right)) == pytest.approx(expected, rel=1e-6)


def test_weights_count_as_voxels() -> None:
    thin = _sample(3.0, 1, 1)
    weighted = LogitSample(thin.logits, thin.labels, np.array([80.0, 20.0]))
    assert fit_temperature(weighted) == pytest.approx(3 / math.log(4), rel=1e-6)
    assert fit_temperature(_sample(3.0, 80, 20)) == pytest.approx(3 / math.log(4), rel=1e-6)
    whole = _sample(3.0, 50, 12) + _sample(3.0, 30, 8)
    assert fit_temperature(whole) == pytest.approx(3 / math.log(4), rel=1e-6)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_a_network_that_is_too_sure_is_found_out(temperature: float) -> None:
    logits, labels = _honest(40_000)
    sample = LogitSample(temperature * logits, labels, np.ones(len(labels)))
    found = fit_temperature(sample)
    assert found == pytest.approx(temperature, rel=0.03)
    assert sample.loss(found) <= min(sample.loss(found * 1.05), sample.loss(found / 1.05))
    # The derivative is that of the loss.
    beta, step = 1 / temperature, 1e-4
    rise = sample.loss(1 / (beta + step)) - sample.loss(1 / (beta - step))
    assert sample.slope(temperature) == pytest.approx(rise / (2 * step), abs=1e-5)
    assert np.array_equal(logits.argmax(1), (sample.logits / found).argmax(1))


@pytest.mark.parametrize(("right", "wrong"), [(10, 0), (5, 5), (3, 7)])
def test_a_temperature_that_does_not_exist_is_refused(right: int, wrong: int) -> None:
    with pytest.raises(InputError, match="No temperature"):
        fit_temperature(_sample(2.0, right, wrong))


def test_without_voxels_nothing_is_fitted() -> None:
    with pytest.raises(InputError, match="without voxels"):
        fit_temperature(_sample(2.0, 0, 0))


def test_a_drawn_sample_stands_for_all_voxels() -> None:
    logits, labels = _honest(40_000)
    shape = (40, 40, 25)
    volume = np.ascontiguousarray(1.7 * logits.T).reshape(CLASSES, *shape)
    reference = LabelMap(labels.reshape(shape), NETWORK_SCHEME)
    inside = np.ones(shape, np.bool_)
    every = sample_logits(volume, reference, inside=inside, voxels=10**6)
    assert len(every.labels) == labels.size
    assert set(every.weights.tolist()) == {1.0}
    assert fit_temperature(every) == pytest.approx(1.7, rel=0.03)
    some = sample_logits(volume, reference, inside=inside, voxels=1500)
    assert len(some.labels) == 1500 * CLASSES
    assert some.weights.sum() == pytest.approx(labels.size)
    assert fit_temperature(some) == pytest.approx(fit_temperature(every), rel=0.05)
    inside[:20] = False
    half = sample_logits(volume, reference, inside=inside, voxels=1500)
    assert half.weights.sum() == pytest.approx(labels.size / 2)


@pytest.mark.parametrize("exported", [False, True])
def test_what_was_fitted_is_written_into_a_model(tmp_path: Path, exported: bool) -> None:
    pytest.importorskip("onnx")
    from minicube.export import write_fitted

    place = tmp_path / "model.onnx"
    if exported:
        shutil.copy(shipped_model().place, place)
    else:
        place = write_small_model(tmp_path / "run", 1)
    model = load_model(place)
    assert model.description.temperature != 1.5
    fitted = {"temperature": 1.5, "least_enhancing_ml": 0.25}
    write_fitted(model, temperature=1.5)
    written = write_fitted(load_model(place), least_enhancing_ml=0.25)  # its checksum is checked
    assert written.description == model.description.model_copy(update=fitted)
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="cannot be used"):
            write_fitted(model, temperature=wrong)
    with pytest.raises(InputError, match="cannot be used"):
        write_fitted(model, least_enhancing_ml=-0.1)


def _honest(count: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Logits whose softmax is how often each class is right, and labels drawn by it."""
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, (count, CLASSES)).astype(np.float32)
    logits[:, 0] += 2
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (shares.cumsum(1) < rng.random((count, 1))).sum(1).clip(max=CLASSES - 1)
    return logits, labels.astype(np.uint8)
