"""A whole tumour's outline and the patient's map on a coarse grid make a reference together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from minicube._errors import InputError
from minicube.recipe import RecipeRequest, RecipeRun, follow
from minicube.recipe.outlined import OUTLINE, find_outlined_cases
from minicube.scans import NETWORK_SCHEME, Geometry, Layout, Region, Tissue, read_labels
from minicube.scans.nifti import write_volume
from minicube.simulator import FIELD
from minicube.volumes import Box
from small_cases import write_small_dataset
from small_material import PATIENTS, write_patches, write_shapes
from test_recipe import small_recipe

LPS = Geometry(FIELD, np.diag([-1.0, -1.0, 1.0, 1.0]))
# The map's blocks, (20…49, 60…89, 50…79) of 128 along each axis, in voxels of the scan.
TUMOUR = (slice(38, 94), slice(112, 168), slice(60, 97))


def write_outlined(folder: Path, patient: str, tumour: tuple[slice, ...] = TUMOUR) -> Path:
    home = folder / patient
    home.mkdir(parents=True)
    brain = np.zeros(FIELD, np.float32)
    brain[30:170, 60:190, 30:120] = np.random.default_rng(0).normal(100, 9, (140, 130, 90))
    for name in ("t1", "flair"):
        write_volume(home / f"{name}.nii.gz", brain, LPS)
    outline = np.zeros(FIELD, np.float32)
    outline[tumour] = 1
    write_volume(home / OUTLINE, outline, LPS)
    return folder


def test_an_outline_is_filled_from_the_map_and_nothing_lies_outside_it(tmp_path: Path) -> None:
    wider = (slice(30, 94), *TUMOUR[1:])  # than the map, on one side
    folder = write_outlined(tmp_path / "cases", PATIENTS[0], wider)
    shapes = write_shapes(tmp_path / "shapes.npz")
    (files,) = find_outlined_cases(folder, shapes, tmp_path / "home", leave_out=())
    assert files.reference is not None
    assert files.layout is Layout.PLAIN
    assert files.scheme is NETWORK_SCHEME
    found, geometry = read_labels(files.reference, NETWORK_SCHEME)
    assert geometry.matches(LPS)
    outline = np.zeros(FIELD, bool)
    outline[wider] = True
    assert np.array_equal(found.array > 0, outline)
    value = {tissue: number for number, tissue in NETWORK_SCHEME.tissues.items()}
    # In the map: core from 26 to 44, 66 to 84, 56 to 74, enhancing in it; in voxels of the scan:
    assert (found.array[31, 140, 80], found.array[45, 140, 80]) == (value[Tissue.OEDEMA],) * 2
    assert found.array[52, 140, 70] == value[Tissue.CORE]
    assert found.array[66, 140, 78] == value[Tissue.ENHANCING]
    assert found.array[90, 165, 95] == value[Tissue.OEDEMA]


def test_who_has_no_map_or_may_not_be_used_is_refused(tmp_path: Path) -> None:
    shapes, home = write_shapes(tmp_path / "shapes.npz"), tmp_path / "home"
    folder = write_outlined(tmp_path / "cases", PATIENTS[0])
    with pytest.raises(InputError, match=f"outline of {PATIENTS[0]} cannot be told"):
        find_outlined_cases(folder, shapes, home, leave_out=["001"])
    elsewhere = write_outlined(tmp_path / "elsewhere", PATIENTS[1], (slice(150, 160),) * 3)
    with pytest.raises(InputError, match="cannot be used") as caught:
        find_outlined_cases(elsewhere, shapes, home, leave_out=())
    assert "nothing of the patient's map" in str(caught.value)
    outline = elsewhere / PATIENTS[1] / OUTLINE
    small = np.ones((20, 20, 20), np.float32)
    write_volume(outline, small, Geometry((20, 20, 20), np.eye(4)))
    with pytest.raises(InputError, match="cannot be used") as caught:
        find_outlined_cases(elsewhere, shapes, home, leave_out=())
    assert "(20, 20, 20)" in str(caught.value)
    outline.unlink()
    with pytest.raises(InputError, match=OUTLINE):
        find_outlined_cases(elsewhere, shapes, home, leave_out=())


def test_outlined_cases_are_learnt_from_and_never_judged_on(tmp_path: Path) -> None:
    write_small_dataset(tmp_path / "cases", 2)
    write_patches(tmp_path / "patches.npz", write_shapes(tmp_path / "shapes.npz"))
    write_outlined(tmp_path / "outlined", PATIENTS[2])
    table = tmp_path / "left_out.tsv"
    table.write_text("case\tBraTS20 id\nsmall-000\t001\nsmall-001\t002\n")
    request = RecipeRequest(small_recipe(outlined=["outlined"]), tmp_path, tmp_path / "out")
    run = RecipeRun(request)
    case = run.more[PATIENTS[2]]
    assert [sequence.value for sequence in case.present] == ["t1n", "t2f"]
    images, labels = case.read(Box((0, 0, 0), case.shape))
    assert [bool(image.any()) for image in images] == [True, False, False, True]
    assert np.count_nonzero(labels) == case.labels.counts()[Region.WT] == 56 * 56 * 37
    assert PATIENTS[2] in run.trainings["real-all/fold-0-seed-0"].learns
    assert not any(PATIENTS[2] in training.judged_on for training in run.trainings.values())
    table.write_text("case\tBraTS20 id\nsmall-000\t001\nsmall-001\t017\n")
    with pytest.raises(InputError, match="never learnt from"):
        follow(request)
    assert not (tmp_path / "out" / "patches").exists()  # said before hours are spent
