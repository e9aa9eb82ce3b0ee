"""Pictures of slices: side, scale, slice, window, colours."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from minicube.reporting import COLOURS, contact_sheet, render_planes
from minicube.reporting.planes import view_of
from minicube.scans import Case, Geometry, LabelMap, LabelScheme, Sequence, Tissue
from small_cases import small_case

SHAPE = (40, 50, 30)

# Simulated dichromacy: Machado, Oliveira and Fernandes, "A physiologically-based model for
# simulation of color vision deficiency", IEEE TVCG 15 (2009), severity 1, linear RGB.
DICHROMATS = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
    "all cones": np.eye(3).tolist(),
}


def block_case(
    where: tuple[slice, slice, slice], spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
) -> Case:
    """A grey box of a brain that fills its grid, with one bright block."""
    image = np.full(SHAPE, 100, np.float32)
    image[where] = 200
    return Case(
        identity="block",
        images=dict.fromkeys(Sequence, image),
        geometry=Geometry(SHAPE, np.diag([*spacing, 1.0])),
        brain=np.ones(SHAPE, np.bool_),
    )


def labelled(where: tuple[slice, slice, slice], tissue: Tissue = Tissue.OEDEMA) -> LabelMap:
    scheme = LabelScheme.BRATS2024
    array = np.zeros(SHAPE, np.uint8)
    array[where] = scheme.value_of(tissue)
    return LabelMap(array, scheme)


def bright_part(image: Image.Image) -> tuple[float, float]:
    """Centre of what is bright, as fractions from the left and from the top.

    The letters at the sides are cut off.
    """
    grey = np.asarray(image.convert("L"))
    margin = grey.shape[1] // 8
    rows, columns = np.nonzero(grey[:, margin:-margin] > 200)
    return (
        (float(columns.mean()) + margin) / grey.shape[1],
        float(rows.mean()) / grey.shape[0],
    )


def test_sides_are_the_radiologist_s() -> None:
    # Right (high x), front (high y), top (high z).
    where = (slice(28, 34), slice(34, 41), slice(20, 25))
    case = block_case(where)
    axial, coronal, sagittal = render_planes(case, labelled(where), view=None)
    plain = render_planes(case, None, view=view_of(case, labelled(where)))
    assert [p.plane for p in plain] == ["axial", "coronal", "sagittal"]
    for panel, expected in zip(
        plain,
        # left-right or front-back from the left of the screen, then from its top
        [(9 / 40, 12.5 / 50), (9 / 40, 7.5 / 30), (12.5 / 50, 7.5 / 30)],
        strict=True,
    ):
        assert bright_part(panel.image) == pytest.approx(expected, abs=0.03), panel.plane
    assert axial.position == "slice 21 of 30 from below"
    assert coronal.position == "slice 35 of 50 from the back"
    assert sagittal.position == "slice 29 of 40 from the left"


def ink_on_top(letter: NDArray[np.uint8]) -> float:
    """Share of a white letter's ink in its upper half: more for R than L, for P than A."""
    rows, columns = np.nonzero(letter > 240)
    white = letter[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] > 240
    return float(white[: len(white) // 2].sum() / white.sum())


def test_letters_name_the_sides() -> None:
    case = block_case((slice(0, 1), slice(0, 1), slice(0, 1)))
    axial, coronal, sagittal = (
        np.asarray(panel.image.convert("L")) for panel in render_planes(case, None)
    )
    for picture in (axial, coronal):
        right, left = letters(picture)
        assert ink_on_top(right) > ink_on_top(left) + 0.1
    front, back = letters(sagittal)
    assert ink_on_top(back) > ink_on_top(front) + 0.1


def letters(grey: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    middle = grey[grey.shape[0] // 2 - 10 : grey.shape[0] // 2 + 10]
    return middle[:, :20], middle[:, -20:]


def test_pixels_are_square_whatever_the_voxels_are() -> None:
    spacing = (1.0, 0.5, 4.0)
    case = block_case((slice(0, 4), slice(0, 4), slice(0, 4)), spacing)
    mm = np.array(SHAPE) * spacing
    for panel, (across, up) in zip(
        render_planes(case, None), [(0, 1), (0, 2), (1, 2)], strict=True
    ):
        width, height = panel.image.size
        assert width / height == pytest.approx(mm[across] / mm[up], rel=0.02)


def test_absurd_voxels_do_not_make_absurd_pictures() -> None:
    case = block_case((slice(0, 4), slice(0, 4), slice(0, 4)), (1e-6, 1.0, 1e6))
    for panel in render_planes(case, None):
        assert max(panel.image.size) <= 400


def test_the_slices_are_those_with_most_tumour() -> None:
    array = np.zeros(SHAPE, np.uint8)
    array[5:8, 5:8, 5:8] = 2
    array[20:32, 30, 10] = 1  # a line: the fullest slices cross it lengthwise
    labels = LabelMap(array, LabelScheme.BRATS2023)
    found = view_of(block_case((slice(0, 1), slice(0, 1), slice(0, 1))), labels).slices
    counts = [np.count_nonzero(array, axis=other) for other in ((1, 2), (0, 2), (0, 1))]
    assert found == (5, 30, 10)
    assert all(line[i] == line.max() for line, i in zip(counts, found, strict=True))


def test_without_tumour_the_slices_are_those_with_most_brain() -> None:
    case = small_case(0)
    nothing = LabelMap(np.zeros(case.shape, np.uint8), LabelScheme.BRATS2023)
    expected = tuple(
        int(np.argmax(case.brain.sum(axis=other))) for other in ((1, 2), (0, 2), (0, 1))
    )
    assert view_of(case, nothing).slices == view_of(case, None).slices == expected


def test_outside_the_brain_is_black_and_outliers_do_not_dim_the_rest() -> None:
    case = small_case(1)
    image = case.images[Sequence.T2F].copy()
    inside = np.argwhere(case.brain)
    image[tuple(inside[0])] = 1e6
    image[~case.brain] = 300
    images = {**case.images, Sequence.T2F: image}
    bright = Case(case.identity, images, case.geometry, case.brain)
    axial = np.asarray(render_planes(bright, None)[0].image.convert("L"))
    rows, columns = (size // 2 for size in axial.shape)
    assert np.median(axial[rows - 50 : rows + 50, columns - 50 : columns + 50]) > 30
    assert axial[:8, :8].max() == 0


def test_an_empty_brain_and_a_flat_image_are_drawn_too() -> None:
    flat = block_case((slice(0, 0), slice(0, 0), slice(0, 0)))
    empty = Case("empty", flat.images, flat.geometry, np.zeros(SHAPE, np.bool_))
    for case in (flat, empty):
        assert len(render_planes(case, labelled((slice(9), slice(9), slice(9))))) == 3


@pytest.mark.parametrize("tissue", LabelScheme.BRATS2024.tissues.values())
def test_each_tissue_is_outlined_in_its_colour(tissue: Tissue) -> None:
    where = (slice(10, 25), slice(10, 25), slice(10, 25))
    labels = labelled((slice(5, 8), slice(5, 8), slice(5, 8)))  # so that there is a tumour
    array = labels.array.copy()
    array[where] = labels.scheme.value_of(tissue)
    case = block_case(where)
    view = view_of(case, labelled(where))
    axial = render_planes(case, LabelMap(array, labels.scheme), view=view)[0]
    pixels = np.asarray(axial.image).reshape(-1, 3)
    outline = (pixels == COLOURS[tissue]).all(axis=1).sum()
    side = 15 / view.pixel_mm
    assert outline == pytest.approx(4 * side, rel=0.1)


def test_no_two_tissues_of_a_scheme_are_confused_by_any_eye() -> None:
    for scheme in LabelScheme:
        for one, other in itertools.combinations(scheme.tissues.values(), 2):
            for vision, matrix in DICHROMATS.items():
                apart = np.linalg.norm(_lab(one, matrix) - _lab(other, matrix))
                assert apart > 20, f"{one} and {other} in {vision}: {apart:.0f}"


def _lab(tissue: Tissue, matrix: list[list[float]]) -> NDArray[np.float64]:
    """The colour as that eye sees it, in CIE L*a*b* (D65)."""
    encoded = np.array(COLOURS[tissue]) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(matrix) @ linear, 0, 1)
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = to_xyz @ seen / (to_xyz @ np.ones(3))
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_contact_sheet_has_a_row_for_each_case() -> None:
    first, second = small_case(0), small_case(1)
    sheet = contact_sheet(iter([(first, first.reference), (second, None)]))
    one = contact_sheet([(first, first.reference)])
    assert sheet.mode == "RGB"
    assert sheet.width == one.width
    row = sheet.height - one.height
    assert np.array_equal(np.asarray(sheet)[: one.height], np.asarray(one))
    colours = np.asarray(sheet)
    grey = (colours == colours[..., :1]).all(axis=2)
    assert not grey[: one.height].all(), "labels of the first case are drawn"
    assert grey[-row:].all(), "the second has none"


def test_real_tumour_lies_where_the_scanner_saw_it() -> None:
    folder = Path(__file__).parents[2] / "shared" / "data" / "real" / "brats20_001"
    if not folder.is_dir():
        pytest.skip("the real cases of shared/data are not present")
    from minicube.scans import load_case

    case = load_case(folder, labels=LabelScheme.BRATS2021)
    assert case.reference is not None
    x = np.argwhere(case.reference.array)[:, 0].mean()
    brain_x = np.argwhere(case.brain)[:, 0].mean()
    axial = np.asarray(render_planes(case, case.reference)[0].image).astype(int)
    coloured = np.nonzero(np.ptp(axial, axis=2) > 20)[1].mean() / axial.shape[1]
    assert (x > brain_x) == (coloured < 0.5)
