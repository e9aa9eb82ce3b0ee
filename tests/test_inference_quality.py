"""Each warning has a scan that it warns of, and one that it leaves alone."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from minicube.engines import load_model
from minicube.inference import PostProcessing, Refinements, Segmenter
from minicube.inference.quality import (
    already_normalised,
    clipped,
    coarse,
    cut_off,
    fluid_at_the_surface,
    not_covered,
    odd_orientation,
    quality_warnings,
    same_images,
    skull_left,
    unusual_size,
)
from minicube.phantom import PhantomSpec, make_phantom
from minicube.scans import Case, Region, Sequence, load_case, read_volume
from minicube.scans._brain import brain_mask
from minicube.volumes import Prepared, Scale, prepare
from small_cases import small_case
from small_models import write_small_model

SHARED = Path(__file__).parents[2] / "shared" / "data"
T1N, T1C, T2W, T2F = Sequence


@pytest.fixture(scope="module")
def case() -> Case:
    return make_phantom(PhantomSpec(seed=5), 0)


@pytest.fixture(scope="module")
def ready(case: Case) -> Prepared:
    return prepare(case)


@pytest.fixture(scope="module")
def head() -> Prepared:
    """A phantom whose scalp was taken for brain."""
    whole = make_phantom(PhantomSpec(seed=6, skull=True), 0)
    brain = brain_mask(image != 0 for image in whole.images.values())
    return prepare(replace(whole, brain=brain, reference=None))


def _image(prepared: Prepared, sequence: Sequence) -> NDArray[np.float32]:
    image: NDArray[np.float32] = prepared.images[list(Sequence).index(sequence)]
    return image


HALF = (slice(None, None, 2),) * 3


def test_an_ordinary_scan_is_warned_of_nothing(case: Case, ready: Prepared) -> None:
    assert quality_warnings(case, ready) == ()


def test_coarse_slices() -> None:
    assert coarse((1.0, 1.0, 3.0)) is None
    assert "5.5 mm" in (coarse((0.9, 0.9, 5.5)) or "")


@pytest.mark.parametrize(("litres", "word"), [(0.5, "small"), (1.3, None), (2.2, "large")])
def test_an_unusual_size(litres: float, word: str | None) -> None:
    found = unusual_size(litres)
    assert found is None if word is None else f"unusually {word}" in (found or "")


def test_a_brain_cut_off(case: Case) -> None:
    assert cut_off(case.brain, case.spacing) is None
    slices = np.flatnonzero(case.brain.any((0, 1)))
    stem = case.brain[:, :, slices[0] + 8 :]  # where the brainstem alone is cut
    assert stem[:, :, 0].any()
    assert cut_off(stem, case.spacing) is None
    assert "upper end" in (cut_off(case.brain[:, :, : slices[-1] - 10], case.spacing) or "")
    half = case.brain[:, :, slices.mean().astype(int) :]
    assert "lower end" in (cut_off(half, case.spacing) or "")
    assert "left" in (cut_off(case.brain[case.shape[0] // 2 :], case.spacing) or "")


def test_a_brain_that_does_not_lie_as_the_file_says(ready: Prepared) -> None:
    brain = ready.brain
    assert odd_orientation(brain) is None
    assert odd_orientation(brain[::-1]) is None  # nobody can tell
    words = {
        "back and front seem": brain[:, ::-1],
        "above and below seem": brain[:, :, ::-1],
        "back and front, and above and below, seem": brain[:, ::-1, ::-1],
    }
    for word, turned in words.items():
        assert word in (odd_orientation(turned) or "")
        assert "cannot be told" in (odd_orientation(turned) or "")
    for axes in permutations(range(3)):
        if axes != (0, 1, 2):
            assert "alike on both sides" in (odd_orientation(brain.transpose(axes)) or "")


def test_skull_left(ready: Prepared, head: Prepared) -> None:
    assert skull_left(_image(ready, T1N)[HALF], ready.brain[HALF]) is None
    t1n, brain = _image(head, T1N)[HALF], head.brain[HALF]
    assert "skull or scalp" in (skull_left(t1n, brain) or "")
    upper = (slice(None), slice(None), slice(30, None))  # no larger than a brain
    assert skull_left(t1n[upper], brain[upper]) is not None
    assert skull_left(np.ones((4, 4, 4), np.float32), np.ones((4, 4, 4), np.bool_)) is None


@pytest.mark.parametrize(
    ("radius", "at_the_surface", "noticed"),
    [(18, True, True), (18, False, False), (6, True, False), (0, True, False)],
)
def test_fluid_at_the_surface(
    ready: Prepared, radius: int, at_the_surface: bool, noticed: bool
) -> None:
    brain = ready.brain[HALF]
    x, y, z = (n // 2 for n in brain.shape)
    if at_the_surface:
        x = int(np.flatnonzero(brain[:, y, z])[-1]) - radius // 2
    grid = np.ogrid[tuple(slice(n) for n in brain.shape)]
    away = sum((axis - c) ** 2 for axis, c in zip(grid, (x, y, z), strict=True))
    painted = (4 * away < radius**2) & brain
    t1n, t2w, t2f = (_image(ready, s)[HALF].copy() for s in (T1N, T2W, T2F))
    t1n[painted], t2w[painted], t2f[painted] = -2, 3, -2
    found = fluid_at_the_surface(t1n, t2w, t2f, brain)
    assert (found is not None) == noticed


def test_intensities_that_were_normalised_before(ready: Prepared) -> None:
    image, brain = _image(ready, T2F), ready.brain
    assert already_normalised(T2F, image, brain, ready.scales[3]) is None
    found = already_normalised(T2F, image, brain, Scale(0.0, 1.0))
    assert found is not None
    assert found.startswith("FLAIR was normalised before")


def test_a_sequence_of_which_a_part_is_not_there(ready: Prepared) -> None:
    brain, image = ready.brain, _image(ready, T2F).copy()
    scale = ready.scales[3]
    assert not_covered(T2F, image, brain, scale) is None
    low = int(np.flatnonzero(brain.any((0, 1)))[0])
    image[:, :, : low + 50] = np.float32(-scale.mean / scale.deviation) - np.float32(1e-6)
    assert "FLAIR does not show" in (not_covered(T2F, image, brain, scale) or "")
    assert already_normalised(T2F, image, brain, scale) is None


def test_one_image_as_two_sequences(ready: Prepared) -> None:
    images = {s: _image(ready, s) for s in Sequence}
    assert same_images(images) is None
    found = same_images(images | {T2F: images[T1C].copy()})
    assert found is not None
    assert found.startswith("T1 with contrast and FLAIR are the same")


def test_little_enhancing_tumour_that_is_not_believed_is_told(tmp_path: Path) -> None:
    model = load_model(write_small_model(tmp_path / "run", 5))
    case = small_case(3)
    found = Segmenter(model).segment(case).labels.region(Region.ET)
    ml = np.count_nonzero(found) * case.geometry.voxel_ml
    assert ml > 0
    for least, told in ((1.01 * ml, True), (0.99 * ml, False)):
        ruled = Refinements(post=PostProcessing(least_enhancing_ml=least))
        result = Segmenter(model, refinements=ruled).segment(case)
        assert any("is not believed" in warning for warning in result.case.warnings) == told
        assert result.labels.region(Region.ET).any() != told
        assert f"less than {least:g} ml" in result.provenance["post-processing"]


def test_enhancing_tumour_that_another_step_took_away_is_not_told_of(tmp_path: Path) -> None:
    model = load_model(write_small_model(tmp_path / "run", 5))
    case = small_case(3)
    ml = np.prod(case.shape) * case.geometry.voxel_ml
    for drop, told in ((ml, False), (0.0, True)):
        ruled = Refinements(post=PostProcessing(drop_below_ml=drop, least_enhancing_ml=ml))
        result = Segmenter(model, refinements=ruled).segment(case)
        assert not result.labels.region(Region.ET).any()
        assert any("is not believed" in warning for warning in result.case.warnings) == told


def test_intensities_that_were_clipped(ready: Prepared) -> None:
    image = _image(ready, T1C)
    assert clipped(T1C, image, ready.brain) is None
    most = np.percentile(image[ready.brain], 99.5)
    found = clipped(T1C, np.minimum(image, np.float32(most)), ready.brain)
    assert found is not None
    assert found.startswith("T1 with contrast is clipped: 0.5")


def test_warnings_come_with_the_segmentation(tmp_path: Path) -> None:
    model = load_model(write_small_model(tmp_path / "run", 5))
    found = Segmenter(model).segment(replace(small_case(3), warnings=("before",)))
    assert found.case.warnings[0] == "before"
    assert any("unusually small" in warning for warning in found.case.warnings[1:])


@pytest.mark.skipif(not SHARED.is_dir(), reason="scans (../shared/data) not present")
@pytest.mark.parametrize(
    "folder",
    ["real/brats18_2013_2_1", "three_sequences_128/brats18_tcia08_162_1"],  # nearest to thresholds
)
def test_real_brains_are_warned_of_nothing(folder: str) -> None:
    case = load_case(SHARED / folder, with_reference=False)
    ready = prepare(case)
    assert quality_warnings(case, ready) == ()
    for way in ((1, -1, 1), (1, 1, -1), (1, -1, -1)):
        y, z = (slice(None, None, step) for step in way[1:])
        assert odd_orientation(ready.brain[:, y, z]) is not None
    assert odd_orientation(ready.brain.transpose(0, 2, 1)) is not None


@pytest.mark.skipif(not SHARED.is_dir(), reason="scans (../shared/data) not present")
def test_a_clinical_head_is_noticed() -> None:
    path = SHARED / "unlabelled" / "TCGA-FG-6692_raw_with_skull" / "t1.nii.gz"
    array, geometry = read_volume(path)
    image = geometry.to_ras(array)
    image = np.where(image < 0.1 * np.percentile(image, 99), 0, image)  # the air
    head = Case("head", {T1N: image}, geometry, brain_mask([image != 0]))
    ready = prepare(head)
    warnings = quality_warnings(head, ready)
    for words in ("5.5 mm apart", "unusually large", "skull or scalp"):
        assert any(words in warning for warning in warnings), words
