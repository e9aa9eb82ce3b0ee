"""Pictures of a study: the crop, predictions side by side, and a sweep through the slices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from minicube import InputError
from minicube.reporting import (
    COLOURS,
    PredictionRow,
    composite_picture,
    prediction_sheet,
    sweep,
)
from minicube.scans import LabelMap, LabelScheme, Sequence, Tissue
from small_cases import small_case


def test_the_crop_is_outlined_where_it_is() -> None:
    before = np.zeros((60, 50))
    before[20:45, 12:40] = np.random.default_rng(1).uniform(0.2, 0.8, (25, 28))
    before[44, 39] = 1.0  # the patient's front left: high x, high y
    after = before[15:55, 10:42]
    picture = np.asarray(composite_picture(before, after)).astype(int)
    orange = (picture[..., 0] > 200) & (picture[..., 1] < 160) & (picture[..., 2] < 100)
    rows, columns = np.nonzero(orange)
    assert np.ptp(columns) + 1 == 2 * after.shape[0]
    assert np.ptp(rows) + 1 == 2 * after.shape[1]
    # High x is left on the screen: five voxels are cut away there.
    assert columns.min() == 4 + 2 * (60 - 55)
    top = rows.min() - 2 * (50 - 42)
    assert (picture[top + 2 * (50 - 40) + 1, 4 + 2 * (60 - 45) + 1] > 250).all()
    assert np.array_equal(
        np.asarray(composite_picture(before, after, start=(15, 10))), picture.astype(np.uint8)
    )


def test_a_crop_that_is_not_part_of_the_composite_has_no_outline() -> None:
    before = np.ones((20, 20), np.bool_)
    for after in (np.zeros((10, 10)), np.ones((30, 10))):
        picture = np.asarray(composite_picture(before, after))
        assert (picture == picture[..., :1]).all()


def moved(labels: LabelMap, voxels: int) -> LabelMap:
    return LabelMap(np.roll(labels.array, voxels, 0), labels.scheme)


def test_predictions_have_a_row_for_each_case_and_a_column_for_each_system() -> None:
    first, second = small_case(0), small_case(1)
    assert first.reference is not None
    assert second.reference is not None
    rows = [
        PredictionRow(first, {"one": moved(first.reference, 2), "two": first.reference}),
        PredictionRow(second, {"two": second.reference}),
    ]
    sheet = np.asarray(prediction_sheet(rows)).astype(int)
    step = 204
    assert sheet.shape == (44 + 2 * step + 30, 5 * step + 4, 3)

    def tile(row: int, column: int) -> Any:
        top, left = 44 + row * step, 4 + column * step
        return sheet[top : top + 180, left : left + 200]

    def coloured(part: Any) -> int:
        return int((np.ptp(part, axis=2) > 20).sum())

    assert [coloured(tile(0, c)) > 0 for c in range(5)] == [False, False, True, True, True]
    assert not tile(1, 3).any(), "the second case has no prediction of the first system"
    assert np.array_equal(tile(0, 2)[:170], tile(0, 4)[:170]), "a perfect prediction"
    assert not np.array_equal(tile(0, 2), tile(0, 3))
    colour = np.array(COLOURS[Tissue.OEDEMA])
    assert (sheet[-30:].reshape(-1, 3) == colour).all(axis=1).any(), "the legend"
    with pytest.raises(InputError, match="at least one case"):
        prediction_sheet([])


def test_predictions_of_a_case_without_reference_are_drawn() -> None:
    case = small_case(0)
    assert case.reference is not None
    labels = case.reference
    unknown = type(case)(case.identity, case.images, case.geometry, case.brain)
    sheet = np.asarray(prediction_sheet([PredictionRow(unknown, {"one": labels})]))
    assert not sheet[44:214, 4 + 2 * 204 : 4 + 2 * 204 + 190].any()


def test_dice_on_a_prediction_is_that_of_the_whole_case() -> None:
    case = small_case(0)
    assert case.reference is not None
    labels = case.reference
    shown = int(np.argmax((labels.array > 0).sum(axis=(0, 1))))
    elsewhere = labels.array.copy()
    elsewhere[:, :, np.arange(elsewhere.shape[2]) != shown] = 0
    predictions = {"all": labels, "one slice": LabelMap(elsewhere, labels.scheme)}
    sheet = np.asarray(prediction_sheet([PredictionRow(case, predictions)]))
    first, second = (sheet[44:244, 4 + c * 204 : 204 + c * 204] for c in (3, 4))
    assert np.array_equal(first[:180], second[:180])
    assert not np.array_equal(first[180:], second[180:])


@pytest.mark.parametrize("ending", [".webp", ".gif"])
def test_a_sweep_goes_through_the_brain_from_below(tmp_path: Path, ending: str) -> None:
    case = small_case(2, (40, 40, 60))
    assert case.reference is not None
    path = tmp_path / "new" / f"sweep{ending}"
    flair = case.images[Sequence.T2F].copy()
    flair[:, :, :10] = 0
    sweep(flair, {"reference": case.reference}, path, most_bytes=2_000_000)
    held = np.flatnonzero((flair != 0).any(axis=(0, 1)))
    with Image.open(path) as image:
        frames = getattr(image, "n_frames", 1)
        assert frames == min(40, held[-1] - held[0] + 1)
        assert image.size == (2 * 204 + 4, 244)
        tumour = np.flatnonzero(case.reference.array.any(axis=(0, 1)))
        seen = []
        for k in range(frames):
            image.seek(k)
            pixels = np.asarray(image.convert("RGB")).astype(int)[44:, 204:]
            seen.append((np.ptp(pixels, axis=2) > 40).any())
    coloured = np.flatnonzero(seen)
    shown = np.linspace(held[0], held[-1], frames).round()
    expected = np.flatnonzero((shown >= tumour[0]) & (shown <= tumour[-1]))
    first, last = expected[0], expected[-1]
    assert abs(first - (frames - 1 - last)) > 6, "the other way round would be seen"
    assert abs(coloured[0] - first) <= 2
    assert abs(coloured[-1] - last) <= 2


def few_slices() -> tuple[Any, dict[str, LabelMap]]:
    case = small_case(0)
    assert case.reference is not None
    labels = LabelMap(case.reference.array[:, :, 17:23], case.reference.scheme)
    return case.images[Sequence.T2F][:, :, 17:23], {"reference": labels}


def test_a_sweep_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    flair, columns = few_slices()
    with pytest.raises(InputError, match="not an animation"):
        sweep(flair, columns, tmp_path / "sweep.png")
    with pytest.raises(InputError, match="another grid"):
        sweep(flair[1:], columns, tmp_path / "sweep.webp")
    with pytest.raises(InputError, match="small enough"):
        sweep(flair, columns, tmp_path / "sweep.webp", most_bytes=100)
    assert not list(tmp_path.iterdir())


def test_a_sweep_becomes_coarser_until_it_fits(tmp_path: Path) -> None:
    flair, columns = few_slices()
    sweep(flair, columns, tmp_path / "a.webp")
    size = (tmp_path / "a.webp").stat().st_size
    sweep(flair, columns, tmp_path / "b.webp", most_bytes=size // 2)
    assert (tmp_path / "b.webp").stat().st_size <= size // 2


def test_an_empty_scan_is_swept_too(tmp_path: Path) -> None:
    nothing = np.zeros((8, 8, 8), np.float32)
    labels = LabelMap(np.zeros((8, 8, 8), np.uint8), LabelScheme.DECATHLON)
    sweep(nothing, {"none": labels}, tmp_path / "empty.webp")
    assert (tmp_path / "empty.webp").exists()
