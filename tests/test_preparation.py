"""Raw scans: registered, stripped, and labels back onto the grid they came on."""

from __future__ import annotations

import re
import shutil
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from minicube import InputError, _preparing
from minicube._errors import NotPrepared
from minicube._files import read_json
from minicube._preparing import carried_back, read
from minicube.cli._segmenting import Found, Loaded, _write_report
from minicube.engines import load_model
from minicube.inference import Probabilities, Segmentation, Segmenter
from minicube.preparation import PreparedScan, displacement, prepare_scan, registration
from minicube.preparation._itk import Volume, at_most, moved
from minicube.preparation.atlas import atlas_head, grid_affine
from minicube.preparation.brain import brain_in
from minicube.preparation.registration import Search, register, rigid_part
from minicube.preparation.way_back import labels_onto, shares_onto
from minicube.scans import (
    CaseFiles,
    Geometry,
    LabelMap,
    LabelScheme,
    Region,
    Sequence,
    find_cases,
    load_case,
    load_raw,
    read_header,
    read_labels,
    read_volume,
    write_label_map,
    write_volume,
)
from minicube.scans.raw import RawScan
from minicube.volumes import Box, Frame
from small_cases import write_small_dataset
from small_models import write_small_model

Matrix = NDArray[np.float64]
NOISE = 0.03
NOW = datetime(2026, 1, 1, tzinfo=UTC)
FEW = 2500  # samples: quick, and near enough


def turned(degrees: tuple[float, float, float], shift: tuple[float, float, float]) -> Matrix:
    """Turns about x, y and z one after the other, and a shift in mm."""
    matrix = np.eye(4)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        one, two = (i for i in range(3) if i != axis)
        turn = np.eye(4)
        turn[one, one] = turn[two, two] = np.cos(angle)
        turn[one, two], turn[two, one] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    matrix[:3, 3] = shift
    return matrix


def contrasts() -> dict[Sequence, NDArray[np.float32]]:
    """A head of 2 mm in four contrasts: that of the atlas, and three of its tissues made."""
    atlas = atlas_head()
    t1 = np.where(atlas.depth.array > -14, atlas.image.array, 0)
    rng = np.random.default_rng(3)
    looks = {
        Sequence.T1N: t1,
        Sequence.T1C: t1 + 0.2 * (t1 > 1.2),
        Sequence.T2W: np.where(t1 > 0.2, 1.5 - t1, t1),
        Sequence.T2F: np.where(t1 > 0.5, 1.4 - 0.5 * t1, 0.5 * t1),
    }
    return {
        s: (500 * np.abs(image + rng.normal(0, NOISE, image.shape))).astype(np.float32)
        for s, image in looks.items()
    }


MOVES = {
    Sequence.T1N: turned((4, -6, 9), (8, -5, 6)),
    Sequence.T1C: turned((12, 3, -4), (20, -30, 40)),
    Sequence.T2W: turned((-7, 5, 3), (-9, 4, -7)),
    Sequence.T2F: turned((2, 10, -5), (3, 12, 5)),
}
"""From points of the atlas; those of T1 with contrast hold for all, the others come on top."""


@dataclass(frozen=True)
class Raw:
    """Four series on four grids, and what they were made with."""

    files: CaseFiles
    home: Matrix
    ways: dict[Sequence, Matrix]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Raw:
    folder = tmp_path_factory.mktemp("raw")
    home = MOVES[Sequence.T1C]
    ways, paths = {}, {}
    for sequence, image in contrasts().items():
        affine = grid_affine(2.0)
        if sequence is Sequence.T2W:  # thick slices
            x, y, z = image.shape
            image = image[:, :, : z // 3 * 3].reshape(x, y, z // 3, 3).mean(axis=3)
            affine = affine @ np.diag([1.0, 1.0, 3.0, 1.0])
            affine[2, 3] += 2
        if sequence is Sequence.T1C:  # back to front on disk
            image = image[::-1, :, :]
            affine = affine @ np.diag([-1.0, 1.0, 1.0, 1.0])
            affine[0, 3] += 2.0 * (image.shape[0] - 1)
        ways[sequence] = np.eye(4) if sequence is Sequence.T1C else MOVES[sequence]
        geometry = Geometry(image.shape, ways[sequence] @ home @ affine)
        paths[sequence] = folder / f"{sequence.value}.nii.gz"
        write_volume(paths[sequence], np.round(image), geometry)
    return Raw(CaseFiles.of_files(paths), home, ways)


@pytest.fixture(scope="module")
def prepared(raw: Raw) -> PreparedScan:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registration, "_SAMPLES", FEW)
        case, prepared = read(raw.files, "auto", frugal=False)
    assert prepared is not None
    assert case is prepared.case
    return prepared


def points(radius: float = 60) -> NDArray[np.float64]:
    """Points of a brain, about the atlas' middle, mm."""
    drawn = np.random.default_rng(0).normal(size=(200, 3))
    return np.asarray(radius * drawn / np.linalg.norm(drawn, axis=1, keepdims=True), np.float64)


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float(2 * np.count_nonzero(one & other) / (one.sum() + other.sum()))


def test_every_sequence_is_found(prepared: PreparedScan, raw: Raw) -> None:
    on_t1c = points() @ raw.home[:3, :3].T + raw.home[:3, 3]
    for sequence, way in raw.ways.items():
        assert displacement(prepared.ways[sequence], way, on_t1c).max() < 1, sequence


def test_the_case_lies_as_brats_has_heads(prepared: PreparedScan, raw: Raw) -> None:
    # The head is the atlas itself, and BraTS has that with the face up by 10.4 degrees.
    face_up = turned((10.4, 0, 0), (0, 0, 0))
    upright = np.linalg.inv(raw.home) @ prepared.to_scan @ face_up
    assert displacement(upright, np.eye(4), points()).max() < 3
    assert prepared.case.spacing == (1, 1, 1)
    outside = prepared.case.images[Sequence.T2W][~prepared.case.brain]
    assert not outside.any()
    assert prepared.head.images[Sequence.T1C][~prepared.case.brain].any()


def test_the_brain_is_found(prepared: PreparedScan, raw: Raw) -> None:
    atlas = atlas_head()
    way = np.linalg.inv(raw.home) @ prepared.to_scan
    true = moved(atlas.depth, prepared.case.shape, prepared.case.affine, way, outside=-9).array > 0
    assert dice(prepared.case.brain, true) > 0.95


def ball_on(prepared: PreparedScan, raw: Raw, spot: NDArray[np.float64]) -> NDArray[np.uint8]:
    """A ball of 12 mm about a point of the atlas, drawn on the prepared grid."""
    case = prepared.case
    from_atlas = np.linalg.inv(np.linalg.inv(raw.home) @ prepared.to_scan @ case.affine)
    x, y, z = from_atlas[:3, :3] @ spot + from_atlas[:3, 3]  # rigid, and voxels of 1 mm
    i, j, k = np.ogrid[tuple(slice(n) for n in case.shape)]
    return np.asarray((i - x) ** 2 + (j - y) ** 2 + (k - z) ** 2 < 12**2, np.uint8)


def test_what_is_found_comes_back_onto_the_files_own_grid(
    prepared: PreparedScan, raw: Raw, tmp_path: Path
) -> None:
    spot = np.array([30.0, -20.0, 25.0])
    ball = ball_on(prepared, raw, spot)
    shape, box = prepared.case.shape, Box((0, 0, 0), prepared.case.shape)
    shares = np.stack([1 - ball, ball, 0 * ball, 0 * ball]).astype(np.float32)
    found = Segmentation(
        replace(prepared.case, warnings=(*prepared.case.warnings, "of its quality")),
        LabelMap(ball, LabelScheme.DECATHLON),
        (load_model(write_small_model(tmp_path / "model", 5)),),
        1.0,
        probabilities=Probabilities(shares, Frame(shape, shape, box)),
    )
    result = carried_back(found, prepared)
    assert result.case.warnings == (*prepared.case.warnings, "of its quality")

    result.save(tmp_path / "seg.nii.gz", scheme=LabelScheme.DECATHLON)
    labels, grid = read_labels(tmp_path / "seg.nii.gz", LabelScheme.DECATHLON)
    home = raw.files.sequences[Sequence.T1C]
    assert isinstance(home, Path)
    expected = read_header(home).geometry
    assert grid.shape == expected.shape
    assert np.array_equal(grid.affine, expected.affine)
    centre = grid.affine[:3, :3] @ np.argwhere(labels.array == 1).mean(axis=0) + grid.affine[:3, 3]
    assert np.abs(centre - raw.home[:3, :3] @ spot - raw.home[:3, 3]).max() < 1
    assert result.volumes_ml["WT"] == pytest.approx(ball.sum() / 1000, rel=0.03)

    assert result.probabilities is not None
    share = expected.from_ras(result.probabilities.of(Region.WT))
    assert np.array_equal(share > 0.5, labels.array == 1)

    page_of = tmp_path / "case.html"
    loaded = Loaded(prepared.case, prepared, {})
    _write_report(page_of, Found(result, loaded), LabelScheme.BRATS2023, overwrite=True)
    page = page_of.read_text("utf-8")
    assert "How the scans were prepared" in page
    assert page.count("<h4>FLAIR in chequers with T1 with contrast</h4>") == 1
    assert all(step.name in page for step in prepared.steps)


def test_the_server_prepares_them_too(
    prepared: PreparedScan, raw: Raw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fastapi", reason="the server needs the extra 'serve'")
    from minicube.server import worker
    from minicube.server.folders import JobFolder
    from minicube.server.jobs import Job, Request, Role, Stage, State

    # As the command line reads and prepares them; not a second time in these tests.
    monkeypatch.setattr("minicube.preparation.prepare_scan", lambda scan: prepared)
    model = load_model(write_small_model(tmp_path / "model", 5))
    segmenting = sys.modules["minicube.inference.segment"]
    monkeypatch.setattr(segmenting, "shipped_model", lambda: model)
    place = JobFolder(tmp_path, 32 * "0")
    files = {}
    for sequence, path in raw.files.sequences.items():
        assert isinstance(path, Path)
        files[Role(sequence.value)] = f"{sequence.value}.nii.gz"
        place.uploads.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place.uploads / path.name)
    home = read_header(place.uploads / "t1c.nii.gz").geometry
    ball = LabelMap(ball_on(prepared, raw, np.zeros(3)), LabelScheme.DECATHLON)
    drawn = LabelMap(home.from_ras(prepared.labels_back(ball).array), ball.scheme)
    write_label_map(place.uploads / "seg.nii.gz", drawn, home)
    request = Request(
        files={**files, Role.REFERENCE: "seg.nii.gz"}, reference_scheme=LabelScheme.DECATHLON
    )
    clock = worker._Clock(place, worker._stages(request))

    result = worker._do(place, request, clock)

    stages = list(clock.seconds)
    assert stages.index(Stage.PREPARING) == stages.index(Stage.READING) + 1
    assert stages == read_json(place.progress)["stages"]
    expected = carried_back(Segmenter(model).segment(prepared.case), prepared)
    labels, grid = read_labels(place.outputs / "labels.nii.gz", LabelScheme.BRATS2023)
    assert grid.matches(home)
    there = home.from_ras(expected.labels.to(LabelScheme.BRATS2023).array)
    assert there.any()
    assert np.array_equal(labels.array, there)
    (whole, *_) = result.scores
    assert whole.reference_ml == pytest.approx(ball.array.sum() / 1000, rel=0.03)
    assert any("found by minicube" in warning for warning in result.warnings)
    job = Job(id=place.identity, state=State.DONE, created=NOW, changed=NOW, request=request)
    for sequence in Sequence:  # what is looked at lies under the labels, and has no face
        image, own = read_volume(place.files(job)[f"{sequence.value}.nii.gz"])
        assert own.matches(home)
        assert not image[~home.from_ras(prepared.original.brain)].any()
    assert "How the scans were prepared" in (place.outputs / "report.html").read_text("utf-8")


def test_a_reference_that_lies_elsewhere_makes_no_scan_raw(tmp_path: Path) -> None:
    (files,) = find_cases(write_small_dataset(tmp_path, 1))
    assert files.reference is not None
    found, grid = read_labels(files.reference, LabelScheme.BRATS2023)
    moved_on = Geometry(grid.shape, grid.affine @ turned((0, 0, 5), (3, 0, 0)))
    write_label_map(files.reference, found, moved_on)
    with pytest.raises(InputError, match="different grids") as refused:
        read(files, "auto", frugal=False, with_reference=True)
    assert not isinstance(refused.value, NotPrepared)


def test_a_stripped_scan_keeps_its_brain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "_SAMPLES", FEW)
    brain = 100 * atlas_head().brain.array
    grid = Geometry(brain.shape, turned((5, 4, 6), (9, -8, 7)) @ grid_affine(2.0))
    scan = prepare_scan(RawScan("x", {Sequence.T1C: brain}, {Sequence.T1C: grid}))
    assert dice(scan.original.brain, brain > 0) > 0.9995  # found anew it would be 0.998
    assert "stripped before" in scan.steps[-2].words


def test_never_refuses_as_before(raw: Raw) -> None:
    with pytest.raises(NotPrepared, match="different grids"):
        read(raw.files, "never", frugal=False)


def test_what_is_prepared_is_left_alone(tmp_path: Path) -> None:
    ball = (np.indices((20, 20, 20)) - 10.0).__pow__(2).sum(0) < 49
    path = tmp_path / "t1c.nii.gz"
    write_volume(path, 100 * ball.astype(np.float32), Geometry((20, 20, 20), np.eye(4)))
    files = CaseFiles.of_files({Sequence.T1C: path})
    case, prepared = read(files, "auto", frugal=False)
    assert prepared is None
    assert np.array_equal(case.brain, ball)
    assert load_raw(files).brain(Sequence.T1C) is not None


def test_a_broken_scan_is_an_error(raw: Raw, tmp_path: Path) -> None:
    path = tmp_path / "t1n.nii.gz"
    spoilt = np.full((5, 5, 5), np.nan, np.float32)
    write_volume(path, spoilt, Geometry((5, 5, 5), np.eye(4)))
    files = CaseFiles.of_files({**raw.files.sequences, Sequence.T1N: path})  # type: ignore[dict-item]
    with pytest.raises(InputError, match="not numbers"):
        read(files, "auto", frugal=False)


def test_a_missing_extra_is_named(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_preparing, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="different grids") as caught:
        read(raw.files, "auto", frugal=False)
    assert "minicube[raw]" in caught.value.hint
    monkeypatch.setattr("minicube._errors.find_spec", lambda name: None)
    with pytest.raises(InputError, match=re.escape("minicube[raw]")):
        read(raw.files, "always", frugal=False)


def test_a_budget_is_not_promised(raw: Raw) -> None:
    with pytest.raises(InputError, match="cannot be kept to a budget"):
        read(raw.files, "auto", frugal=True)


def test_the_same_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "_SAMPLES", FEW)
    images = contrasts()
    fixed = Volume(images[Sequence.T1C], grid_affine(2.0))
    way = turned((5, -4, 6), (6, 8, -7))
    moving = Volume(images[Sequence.T2W], way @ grid_affine(2.0))
    search = Search(levels=(8.0, 4.0))
    found = [register(fixed, moving, starts=[np.eye(4)], search=search) for _ in range(2)]
    assert np.array_equal(found[0][0], found[1][0])
    assert displacement(found[0][0], way, points()).max() < 0.5


def test_images_apart_are_refused() -> None:
    image = np.random.default_rng(0).random((20, 20, 20)).astype(np.float32)
    far = np.eye(4)
    far[0, 3] = 500
    with pytest.raises(InputError, match="do not lie over each other"):
        register(
            Volume(image, np.eye(4)),
            Volume(image, far),
            starts=[np.eye(4)],
            search=Search(levels=(1.0,)),
        )


def test_a_coarser_grid_keeps_its_faces() -> None:
    ramp = np.broadcast_to(np.arange(12, dtype=np.float32)[:, None, None], (12, 12, 4)).copy()
    affine = np.diag([1.0, 1.0, 5.0, 1.0])
    coarse = at_most(Volume(ramp, affine), 3.0)
    assert coarse.shape == (4, 4, 4)  # slices that are thick already stay
    assert np.allclose(coarse.affine[:3, 3], (1, 1, 0))
    assert np.allclose(coarse.array[1:3, 0, 0], (4, 7), atol=0.01)


def test_rigid_part_of_a_stretched_turn() -> None:
    turn = turned((8, 9, -10), (1, 2, 3))
    stretched = turn @ np.diag([0.9, 0.9, 0.9, 1.0])
    assert np.allclose(rigid_part(stretched, np.zeros(3)), turn)


def test_thick_voxels_get_the_mean_of_what_lies_in_them() -> None:
    fine = np.zeros((4, 4, 10), np.float32)
    fine[:, :, 2:5] = 1
    home = Geometry((4, 4, 2), np.diag([1.0, 1.0, 5.0, 1.0]))
    home.affine[2, 3] = 2  # its voxels hold slices 0 to 4 and 5 to 9
    share = shares_onto(Volume(fine, np.eye(4)), home, np.eye(4))
    assert np.allclose(share[1, 1], (0.6, 0))
    labels = LabelMap(fine.astype(np.uint8), LabelScheme.DECATHLON)
    back = labels_onto(labels, np.eye(4), home, np.eye(4))
    assert back.array[1, 1].tolist() == [1, 0]


def test_grey_values_correct_the_atlas() -> None:
    # A ball of brain in a ring of bone; the atlas is told to be two voxels too large.
    index = np.indices((48, 48, 48)) - 24.0
    away = np.sqrt((index**2).sum(axis=0))
    image = np.select([away < 14, away < 19, away < 22], [100.0, 5.0, 150.0], 0.0)
    eye = np.sqrt(((index - [[[[21]]], [[[0]]], [[[0]]]]) ** 2).sum(axis=0)) < 4
    image[eye] = 100  # as bright as the brain, and no part of it
    depth = (16 - away).astype(np.float32)
    seen = np.ones(depth.shape, np.bool_)
    brain = brain_in([(image.astype(np.float32), seen)], depth)
    assert dice(brain, away < 14) > 0.94
    assert not brain[eye].any()
    assert dice(depth > 0, away < 14) < 0.85


def test_a_raw_scan_below_0_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "p1" / "t1ce.nii.gz"
    path.parent.mkdir()
    air = np.full((20, 20, 20), -1024, np.float32)
    write_volume(path, air, Geometry(air.shape, np.eye(4)))
    with pytest.raises(InputError, match="no value above 0") as refused:
        load_raw(CaseFiles.of_files({Sequence.T1C: path}))
    assert "from -1024 to -1024" in refused.value.found


def test_raw_scans_know_who_was_stripped() -> None:
    head = np.full((30, 30, 30), 7, np.float32)
    grid = Geometry(head.shape, np.diag([5.0, 5.0, 5.0, 1.0]))
    scan = RawScan("x", {Sequence.T1C: head}, {Sequence.T1C: grid})
    assert scan.brain(Sequence.T1C) is None
    with pytest.raises(NotPrepared):
        _refused(head, grid)


def _refused(head: NDArray[np.float32], grid: Geometry) -> None:
    from minicube.scans._checks import check_skull_off

    check_skull_off("x", head > 0, grid)


def test_load_case_says_what_is_not_prepared(raw: Raw) -> None:
    with pytest.raises(NotPrepared) as caught:
        load_case(raw.files)
    assert "register all sequences" in caught.value.hint
