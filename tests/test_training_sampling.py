"""Which window of which case a step sees: placed at random, and in the report's order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from minicube._errors import InputError
from minicube.engines import cut_volume
from minicube.scans import NETWORK_SCHEME, Sequence
from minicube.training import TrainingConfig
from minicube.training.augment import augmentation
from minicube.training.config import Sampling
from minicube.training.sampling import Sampler
from minicube.volumes import Box, StoredCase, prepare, store_one
from small_cases import small_case
from small_training import NOTHING, settings, store_small, tiny

REPORTED = "unet3d-report-as-reported"


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[StoredCase]:
    return store_small(tmp_path_factory.mktemp("stored"), 3)


def _sampler(cases: list[StoredCase], margin: int = 0, **changes: Any) -> Sampler:
    return Sampler(cases, settings(**changes), margin)


def _boxes(sampler: Sampler, monkeypatch: pytest.MonkeyPatch, count: int) -> list[tuple[str, Box]]:
    """Case and box of the images of each of the first samples."""
    seen: list[tuple[str, Box]] = []
    read = StoredCase.read

    def noted(case: StoredCase, box: Box, *more: Any) -> Any:
        seen.append((case.identity, box))
        return read(case, box, *more)

    monkeypatch.setattr(StoredCase, "read", noted)
    batch = sampler.config.batch
    for index in range(count):
        sampler.draw(index // batch, index)
    return list(seen)


def test_a_sample_is_a_function_of_seed_step_and_index(cases: list[StoredCase]) -> None:
    sampler = _sampler(cases, tumour_share=0.5, seed=3)
    again = _sampler(cases, tumour_share=0.5, seed=3)
    change = augmentation(sampler.config.augmentation)
    for step, index in ((0, 0), (5, 11), (0, 1)):
        first = change(*sampler.draw(step, index))
        change(*sampler.draw(9, 9))  # an other sample in between leaves no trace
        second = change(*again.draw(step, index))
        assert first[0].equal(second[0])
        assert first[1].equal(second[1])
    other = _sampler(cases, tumour_share=0.5, seed=4).draw(0, 0)
    assert not np.array_equal(other[0], sampler.draw(0, 0)[0])


def test_samples_of_a_step_differ(cases: list[StoredCase]) -> None:
    sampler = _sampler(cases[:1], window=(8, 8, 8), batch=4)
    for step in (0, 3):
        drawn = [sampler.draw(step, index) for index in range(4)]
        assert len({images.tobytes() for images, _, _ in drawn}) == 4
        assert len({seed for _, _, seed in drawn}) == 4


@pytest.mark.parametrize("share", [0.0, 0.25, 0.75, 1.0])
def test_so_many_windows_are_aimed_at_tumour(cases: list[StoredCase], share: float) -> None:
    # Without a region, windows that are not aimed lie on the brain; with one, mostly in the air.
    sampler = _sampler(cases, window=(8, 8, 8), tumour_share=share, region=(400, 400, 400))
    aimed = np.mean([sampler.draw(0, index)[0].any() for index in range(400)])
    assert aimed == pytest.approx(share, abs=0.07)


def test_an_epoch_sees_every_case_once(cases: list[StoredCase]) -> None:
    sampler = _sampler(cases, window=(16, 16, 16), tumour_share=0.5)
    orders = [[sampler._turn(3 * epoch + i) for i in range(3)] for epoch in range(6)]
    assert all(set(order) == {0, 1, 2} for order in orders)
    assert len({tuple(order) for order in orders}) > 1
    plain = _sampler(cases, shuffle=False)
    assert [plain._turn(i) for i in range(7)] == [0, 1, 2, 0, 1, 2, 0]


def test_a_case_that_stands_there_twice_is_seen_twice_an_epoch(cases: list[StoredCase]) -> None:
    sampler = _sampler([cases[0], cases[1], cases[1]])
    turns = [sampler.cases[sampler._turn(i)].identity for i in range(3)]
    assert turns.count(cases[1].identity) == 2


def test_windows_aimed_at_tumour_hold_tumour(cases: list[StoredCase]) -> None:
    aimed = _sampler(cases, window=(8, 8, 8), tumour_share=1.0)
    aimless = _sampler(cases, window=(8, 8, 8), tumour_share=0.0)
    assert all(aimed.draw(0, i)[1].any() for i in range(60))
    assert not all(aimless.draw(0, i)[1].any() for i in range(60))
    present = {int(v) for i in range(60) for v in np.unique(aimed.draw(0, i)[1])}
    assert present == set(NETWORK_SCHEME.values)


def test_a_window_larger_than_the_case_is_padded(cases: list[StoredCase]) -> None:
    images, labels, _ = _sampler(cases, window=(96, 96, 80), tumour_share=1.0).draw(0, 0)
    assert images.shape == (4, 96, 96, 80)
    assert labels.shape == (96, 96, 80)


def test_windows_stay_inside_the_brains_box_where_they_fit(
    cases: list[StoredCase], monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = {case.identity: case.shape for case in cases}
    for name, box in _boxes(_sampler(cases, window=(16, 24, 8)), monkeypatch, 40):
        assert all(a >= 0 for a in box.start)
        assert all(b <= n for b, n in zip(box.stop, shapes[name], strict=True))


def test_a_region_larger_than_the_brain_offers_air(
    cases: list[StoredCase], monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = _sampler(cases, window=(16, 16, 16), tumour_share=0.0, region=(96, 96, 96))
    boxes = _boxes(sampler, monkeypatch, 60)
    assert sum(max(box.start) >= 40 or min(box.stop) <= 0 for _, box in boxes) > 10
    shapes = {case.identity: case.shape for case in cases}
    for name, box in boxes:
        for a, b, n in zip(box.start, box.stop, shapes[name], strict=True):
            first = -((96 - n) // 2)
            assert first <= a
            assert b <= first + 96


@pytest.mark.parametrize("preset", ["unet3d-report-as-reported", "unet2d-as-reported"])
def test_one_image_gives_four_steps_of_two_minicubes(
    cases: list[StoredCase], monkeypatch: pytest.MonkeyPatch, preset: str
) -> None:
    config = tiny(preset)
    assert config.batch == 2
    boxes = _boxes(Sampler(cases, config, 0), monkeypatch, 4 * 8)
    for turn in range(4):
        of_turn = boxes[8 * turn : 8 * turn + 8]
        assert {name for name, _ in of_turn} == {cases[turn % 3].identity}  # in order
        hits = np.zeros(config.region or (), int)
        corner = [min(box.start[axis] for _, box in of_turn) for axis in range(3)]
        for _, box in of_turn:
            assert box.shape == config.window
            hits[box.relative_to((corner[0], corner[1], corner[2])).slices] += 1
        assert (hits == 1).all()  # eight different minicubes tile the region
        size, brain = config.region or (), cases[turn % 3].shape
        assert corner == [-((a - b) // 2) for a, b in zip(size, brain, strict=True)]


def test_shuffled_minicubes_take_the_cases_in_another_order(
    cases: list[StoredCase], monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = Sampler(cases, tiny(REPORTED, shuffle=True), 0)
    names = [name for name, _ in _boxes(sampler, monkeypatch, 6 * 8 * 3)]
    epochs = [names[24 * i : 24 * i + 24 : 8] for i in range(6)]
    assert all(names[8 * i : 8 * i + 8] == [names[8 * i]] * 8 for i in range(18))
    assert all(sorted(epoch) == [case.identity for case in cases] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_minicubes_depend_on_the_index_alone(cases: list[StoredCase]) -> None:
    one, other = (Sampler(cases, tiny(REPORTED, seed=seed), 0) for seed in (0, 1))
    for index in (0, 5, 19):
        images, labels, seed = one.draw(index // 2, index)
        again = one.draw(index // 2, index)
        assert np.array_equal(images, again[0])
        assert seed == again[2]
        assert np.array_equal(images, other.draw(index // 2, index)[0])
        assert np.array_equal(labels, other.draw(index // 2, index)[1])
        assert seed != other.draw(index // 2, index)[2]


def test_a_batch_that_does_not_divide_the_minicubes_shows_all_of_them(
    cases: list[StoredCase], monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = Sampler(cases, tiny(REPORTED, batch=3), 0)
    boxes = _boxes(sampler, monkeypatch, 9)
    assert {name for name, _ in boxes} == {cases[0].identity}
    assert len({box for _, box in boxes}) == 8
    assert boxes[8] == boxes[0]


def test_a_training_sees_the_minicubes_that_a_prediction_is_cut_in(
    cases: list[StoredCase], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(REPORTED)
    assert config.cut is not None
    case = cases[0]
    assert any((b - a) % 2 for a, b in zip(case.shape, config.region or (), strict=True))
    parts, frame = cut_volume(case.shape, config.cut)
    x, y, z = frame.start
    wanted = {part.core.relative_to((-x, -y, -z)) for part in parts}
    assert {box for _, box in _boxes(Sampler([case], config, 0), monkeypatch, 8)} == wanted


@pytest.mark.parametrize("preset", ["unet3d-context", "unet3d-context-as-reported"])
@pytest.mark.parametrize("margin", [0, 3, 10])
def test_the_margin_lies_around_the_labels_window(
    cases: list[StoredCase], preset: str, margin: int
) -> None:
    config = tiny(preset)
    bare, grown = Sampler(cases, config, 0), Sampler(cases, config, margin)
    inside = slice(margin, -margin or None)
    for index in range(6):
        small, small_labels, seed = bare.draw(index, index)
        images, labels, same = grown.draw(index, index)
        assert images.shape[1:] == labels.shape == tuple(n + 2 * margin for n in config.window)
        assert np.array_equal(images[:, inside, inside, inside], small)
        assert np.array_equal(labels[inside, inside, inside], small_labels)
        assert seed == same


def test_raw_intensities_are_those_of_the_scan(
    cases: list[StoredCase], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = small_case(0)
    brain = prepare(case).frame.box
    scan = np.stack([case.images[s][brain.slices] for s in Sequence])
    assert scan.max() > 500
    raw = _sampler(cases[:1], intensities="none")
    for index, (_, box) in enumerate(_boxes(raw, monkeypatch, 4)):
        images, _, _ = raw.draw(index // 2, index)
        wanted = box.cut(scan)
        np.testing.assert_allclose(images, wanted, rtol=2e-3, atol=0.5)  # stored in half precision
        assert np.array_equal(images == 0, wanted == 0)
        scaled, _, _ = _sampler(cases[:1]).draw(index // 2, index)
        assert abs(scaled).max() < 10


@pytest.mark.parametrize("count", [2, 3, 8])
def test_a_spread_of_samples_is_of_as_many_cases_and_places(
    cases: list[StoredCase], monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    for config in (tiny(REPORTED, shuffle=True), settings()):
        sampler = Sampler([cases[i % 3] for i in range(count)], config, 0)
        chosen = sampler.spread(count)
        assert len(chosen) == count
        boxes = _boxes(sampler, monkeypatch, max(chosen) + 1)
        wanted = sorted(case.identity for case in sampler.cases)
        assert sorted(boxes[index][0] for index in chosen) == wanted
        assert len({boxes[index][1] for index in chosen}) == count
        if config.sampling is Sampling.MINICUBES:
            parts = [index % 8 for index in chosen]
            assert parts == [8 * i // count for i in range(count)]


@given(data=st.data())
@hypothesis_settings(deadline=None, max_examples=25)
def test_any_config_draws_windows_of_its_size(cases: list[StoredCase], data: st.DataObject) -> None:
    side = st.integers(1, 6).map(lambda n: 8 * n)
    window = data.draw(st.tuples(side, side, side))
    config = TrainingConfig(
        window=window,
        region=data.draw(st.none() | st.tuples(side, side, side)),
        tumour_share=data.draw(st.floats(0, 1)),
        seed=data.draw(st.integers(0, 99)),
        augmentation=NOTHING,
    )
    step, index = data.draw(st.integers(0, 500)), data.draw(st.integers(0, 2000))
    images, labels, seed = Sampler(cases, config, 0).draw(step, index)
    assert images.shape == (4, *window)
    assert labels.shape == window
    assert 0 <= seed < 2**31
    again = Sampler(list(cases), config, 0).draw(step, index)
    assert np.array_equal(images, again[0])


def test_carved_windows_have_a_tumour_that_their_head_never_had(cases: list[StoredCase]) -> None:
    plain = _sampler(cases[:2], tumour_share=1.0, window=(24, 24, 16))
    mixed = _sampler(cases[:2], tumour_share=1.0, window=(24, 24, 16), carved=1.0)
    for index in range(6):
        donor, tumour, _ = plain.draw(0, index)  # the same window without
        images, labels, _ = mixed.draw(0, index)
        taken = (images == donor).all(axis=0) & (tumour > 0)
        assert taken.any()
        assert np.array_equal(labels[taken], tumour[taken])
        assert ((images != donor).any(axis=0) & (images != 0).any(axis=0)).any()  # another's head
    alone = _sampler(cases[:1], tumour_share=1.0, carved=1.0)  # has nobody to give to
    images, labels, _ = alone.draw(0, 0)
    assert np.array_equal(images, _sampler(cases[:1], tumour_share=1.0).draw(0, 0)[0])


def test_tumours_are_carved_into_heads_with_the_same_sequences(
    cases: list[StoredCase], tmp_path: Path
) -> None:
    whole = small_case(7)
    images = dict(whole.images)
    del images[Sequence.T2W]
    less = replace(whole, identity="less", images=images)
    lacking = store_one(prepare(less), tmp_path)
    assert cases[0].present == tuple(Sequence)
    for two in ([cases[0], lacking], [lacking, cases[0]]):  # neither has anybody to give to
        mixed, plain = (_sampler(two, tumour_share=1.0, carved=p) for p in (1.0, 0.0))
        for index in range(4):
            assert np.array_equal(mixed.draw(0, index)[0], plain.draw(0, index)[0])


def test_only_windows_of_z_scores_are_carved() -> None:
    for wrong in ({"sampling": "volumes", "batch": 1}, {"intensities": "none"}):
        with pytest.raises(InputError, match="carved out of windows"):
            settings(carved=0.5, **wrong)
