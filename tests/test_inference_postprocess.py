"""Post-processing: what each step promises, on any label map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import ndimage

from minicube import InputError
from minicube.engines import load_model
from minicube.export import write_fitted
from minicube.inference import PostProcessing, Refinements, Segmenter, postprocess
from minicube.scans import NETWORK_SCHEME, LabelMap, LabelScheme, Region, Tissue
from small_cases import small_case
from small_models import write_small_model

shapes = st.tuples(*[st.integers(1, 7)] * 3)
maps = shapes.flatmap(
    lambda shape: arrays(np.uint8, shape, elements=st.sampled_from([0, 0, 0, 1, 2, 3]))
).map(lambda array: LabelMap(array, NETWORK_SCHEME))
EVERYWHERE = np.ones((3, 3, 3), bool)
OEDEMA, CORE, ENHANCING = (
    NETWORK_SCHEME.value_of(t) for t in (Tissue.OEDEMA, Tissue.CORE, Tissue.ENHANCING)
)


def _components(mask: NDArray[np.bool_]) -> list[int]:
    """Voxels of each component, by another library than the one under test."""
    numbered, _ = ndimage.label(mask, EVERYWHERE)
    return sorted(np.bincount(numbered.ravel())[1:].tolist())


def test_a_model_may_ask_for_the_rule_and_a_person_decides(tmp_path: Path) -> None:
    model = load_model(write_small_model(tmp_path / "run", 1))
    case = small_case(2)
    before = Segmenter(model).segment(case).labels
    assert before.region(Region.ET).any()
    ruled = write_fitted(model, least_enhancing_ml=1e6)
    for models in (ruled, [ruled, model]):
        assert not Segmenter(models).segment(case).labels.region(Region.ET).any()
    after = Segmenter(ruled).segment(case).labels
    assert np.array_equal(after.region(Region.TC), before.region(Region.TC))
    asked = Refinements(post=PostProcessing(least_enhancing_ml=0.0))
    found = Segmenter(ruled, refinements=asked).segment(case).labels
    assert np.array_equal(found.array, before.array)


@given(labels=maps)
def test_nothing_is_done_unless_asked_for(labels: LabelMap) -> None:
    assert postprocess(labels, 0.001, PostProcessing()) is labels


@given(labels=maps, voxels=st.integers(0, 30))
def test_small_components_go_and_the_others_stay(labels: LabelMap, voxels: int) -> None:
    before = labels.array.copy()
    found = postprocess(labels, 0.5, PostProcessing(drop_below_ml=0.5 * voxels))
    expected = [n for n in _components(labels.region(Region.WT)) if n >= voxels]
    assert _components(found.region(Region.WT)) == expected
    stays = found.array != 0
    assert np.array_equal(found.array[stays], labels.array[stays])
    assert np.array_equal(labels.array, before)


@given(labels=maps)
def test_the_largest_component_is_one_and_the_largest(labels: LabelMap) -> None:
    found = postprocess(labels, 1.0, PostProcessing(largest=True))
    assert _components(found.region(Region.WT)) == _components(labels.region(Region.WT))[-1:]


@given(labels=maps)
def test_holes_are_filled_and_nothing_else_changes(labels: LabelMap) -> None:
    found = postprocess(labels, 1.0, PostProcessing(fill_holes=True))
    for region in (Region.WT, Region.TC):
        filled = ndimage.binary_fill_holes(labels.region(region))
        assert np.array_equal(found.region(region), filled)
    assert np.array_equal(found.region(Region.ET), labels.region(Region.ET))
    changed = found.array != labels.array
    assert set(np.unique(found.array[changed])) <= {OEDEMA, CORE}


@given(labels=maps, voxels=st.integers(0, 30))
def test_little_enhancing_tumour_becomes_core(labels: LabelMap, voxels: int) -> None:
    found = postprocess(labels, 0.25, PostProcessing(least_enhancing_ml=0.25 * voxels))
    enhancing = labels.region(Region.ET)
    if enhancing.sum() >= voxels:
        assert np.array_equal(found.array, labels.array)
    else:
        assert not found.region(Region.ET).any()
        assert (found.array[enhancing] == CORE).all()
        assert np.array_equal(found.region(Region.TC), labels.region(Region.TC))


@given(labels=maps, how=st.builds(PostProcessing, st.booleans(), st.just(3.0), st.booleans()))
def test_doing_it_again_changes_nothing(labels: LabelMap, how: PostProcessing) -> None:
    once = postprocess(labels, 1.0, how)
    assert np.array_equal(postprocess(once, 1.0, how).array, once.array)


@given(labels=maps)
def test_the_scheme_of_the_map_counts_not_its_numbers(labels: LabelMap) -> None:
    how = PostProcessing(largest=True, fill_holes=True, least_enhancing_ml=2.0)
    other = labels.to(LabelScheme.BRATS2021)
    expected = postprocess(labels, 1.0, how).to(LabelScheme.BRATS2021)
    assert np.array_equal(postprocess(other, 1.0, how).array, expected.array)


@pytest.mark.parametrize("ml", [-1.0, float("nan"), float("inf")])
def test_a_volume_that_is_none_is_refused(ml: float) -> None:
    with pytest.raises(InputError, match="cannot be used"):
        PostProcessing(drop_below_ml=ml)


def test_steps_in_words() -> None:
    assert PostProcessing().in_words() == "none"
    how = PostProcessing(largest=True, drop_below_ml=0.5, fill_holes=True, least_enhancing_ml=0.1)
    assert [words.split()[0] for words in how.in_words().split(", ")] == [
        "the",
        "components",
        "holes",
        "less",
    ]
