"""Preparing the cases of a run: stopped and gone on with, by two at once, from changed files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from minicube import InputError
from minicube.phantom import PhantomSpec
from minicube.scans import LabelScheme, Layout, load_case, write_case
from minicube.study.material import Source, prepare_all
from minicube.study.setting import Setting
from minicube.training import (
    RunFolder,
    TrainingConfig,
    TrainingRequest,
    find_labelled_cases,
    prepare_cases,
    train,
)
from minicube.volumes import Box, StoredCase, open_stored, origin_of, prepare, unlike
from small_cases import small_case, write_small_dataset

PREPARE = """
import os, sys
from pathlib import Path
from minicube.training import find_labelled_cases, prepare_cases
stop_after = int(sys.argv[3])
def done(count, of):
    if count == stop_after:
        os._exit(9)  # as hard as a kill: nothing is tidied up
prepare_cases(find_labelled_cases(Path(sys.argv[1])), Path(sys.argv[2]), done=done)
"""

CONFIG = TrainingConfig(widths=(4, 8, 8), steps=2, window=(32, 32, 32), validations=1)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_small_dataset(tmp_path / "data", 4)


def _start(data: Path, folder: Path, stop_after: int = 0) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-c", PREPARE, str(data), str(folder), str(stop_after)]
    return subprocess.Popen(words, env=dict(os.environ))


def _written(folder: Path) -> dict[str, tuple[int, int]]:
    """When each case was written, and in which file."""
    found = {p.parent.name: p.stat() for p in folder.glob("*/case.json")}
    return {name: (stat.st_mtime_ns, stat.st_ino) for name, stat in found.items()}


def _redone(folder: Path, work: Callable[[], object]) -> set[str]:
    """Names of the cases that were there before, and that work wrote anew."""
    before = _written(folder)
    work()
    after = _written(folder)
    return {name for name in before if before[name] != after[name]}


def _whole(case: StoredCase) -> np.ndarray:
    return case.read(Box((0, 0, 0), case.shape))[0]


def _change(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Change a file's voxels; its date and its kind stay."""
    stat = path.stat()
    image = nib.load(path)
    assert isinstance(image, nib.Nifti1Image)
    array = change(np.asanyarray(image.dataobj).copy())
    nib.save(nib.Nifti1Image(array, image.affine, image.header), path)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def _brighter_tumour(array: np.ndarray) -> np.ndarray:
    return np.where(array > 450, array + 1, array).astype(array.dtype)


def test_a_killed_preparation_goes_on_where_it_was(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "prepared"
    assert _start(data, folder, stop_after=1).wait(timeout=120) == 9
    before = _written(folder)
    assert before
    cases = find_labelled_cases(data)
    stored: list[StoredCase] = []
    redone = _redone(folder, lambda: stored.extend(prepare_cases(cases, folder)))
    assert not redone
    assert len(before) < 4 or sys.platform == "win32"
    for files, case in zip(cases, stored, strict=True):
        assert np.array_equal(_whole(case), prepare(load_case(files)).images)


def test_two_processes_may_prepare_the_same_at_once(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "prepared"
    both = [_start(data, folder), _start(data, folder)]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    cases = find_labelled_cases(data)
    assert not _redone(folder, lambda: prepare_cases(cases, folder))
    for files in cases:
        case = open_stored(folder, files.identity)
        assert case is not None
        assert np.array_equal(_whole(case), prepare(load_case(files)).images)
    assert not [*folder.rglob(".part-*")]


@pytest.mark.parametrize("ending", ["t1c.nii.gz", "seg.nii.gz"])
def test_a_changed_case_is_prepared_anew_and_no_other(
    data: Path, tmp_path: Path, ending: str
) -> None:
    folder = tmp_path / "prepared"
    prepare_cases(find_labelled_cases(data), folder)
    path = next((data / "small-002").glob(f"*{ending}"))
    _change(path, lambda a: np.where(a == 1, 2, a) if "seg" in ending else _brighter_tumour(a))
    cases = find_labelled_cases(data)
    stored: list[StoredCase] = []
    redone = _redone(folder, lambda: stored.extend(prepare_cases(cases, folder)))
    assert redone == {"small-002"}
    expected = prepare(load_case(cases[2]))
    assert expected.labels is not None
    assert np.array_equal(_whole(stored[2]), expected.images)
    assert np.array_equal(stored[2].labels.array, expected.labels.array)


def test_a_damaged_case_is_prepared_anew(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "prepared"
    cases = find_labelled_cases(data)
    prepare_cases(cases, folder)
    path = folder / "small-001" / "images.b2nd"
    path.write_bytes(path.read_bytes()[:-100])
    assert _redone(folder, lambda: prepare_cases(cases, folder)) == {"small-001"}


def test_a_copied_dataset_is_the_same(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "prepared"
    prepare_cases(find_labelled_cases(data), folder)
    copied = Path(shutil.copytree(data, tmp_path / "copied", copy_function=shutil.copyfile))
    for path in copied.rglob("*.nii.gz"):
        os.utime(path, (1, 1))
    assert not _redone(folder, lambda: prepare_cases(find_labelled_cases(copied), folder))


def test_another_preparation_is_another_origin(data: Path, tmp_path: Path) -> None:
    files = find_labelled_cases(data)[0]
    plain = origin_of(files, labels=None, denoise=False)
    assert unlike(plain, origin_of(files, labels=None, denoise=False)) == []
    assert unlike(plain, origin_of(files, labels=None, denoise=True)) == ["denoise"]
    other = origin_of(files, labels=LabelScheme.BRATS2024, denoise=False)
    assert unlike(plain, other) == ["scheme"]
    t1n, t1c, *_ = files.sequences
    swapped = {**files.sequences, t1n: files.sequences[t1c], t1c: files.sequences[t1n]}
    crossed = origin_of(replace(files, sequences=swapped), labels=None, denoise=False)
    assert unlike(plain, crossed) == sorted([t1n.value, t1c.value])
    stack = tmp_path / "stack"
    write_case(small_case(0), stack, Layout.DECATHLON, LabelScheme.DECATHLON)
    write_case(small_case(1), stack, Layout.DECATHLON, LabelScheme.DECATHLON)
    one = origin_of(find_labelled_cases(stack)[0], labels=None, denoise=False)
    assert len({one[sequence.value] for sequence in files.sequences}) == 4  # of one file


def test_a_resumed_run_refuses_changed_cases_and_ignores_new_ones(
    data: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    train(TrainingRequest(data, run, CONFIG))
    weights = (run / "weights.safetensors").read_bytes()
    write_case(small_case(9), data, Layout.BRATS2023, LabelScheme.BRATS2023)
    train(TrainingRequest(data, run, resume=True))
    assert not (run / "prepared" / "small-009").exists()
    shutil.rmtree(run / "prepared")  # may be deleted; what the run began with is still known
    path = next((data / "small-001").glob("*t2f.nii.gz"))
    good = path.read_bytes()
    _change(path, _brighter_tumour)
    with pytest.raises(InputError, match="small-001 is not what it was") as refused:
        train(TrainingRequest(data, run, resume=True))
    assert refused.value.found == "changed: t2f"
    path.write_bytes(good)
    train(TrainingRequest(data, run, resume=True))
    assert (run / "weights.safetensors").read_bytes() == weights
    shutil.rmtree(data / "small-001")
    with pytest.raises(InputError, match="no longer holds all cases"):
        train(TrainingRequest(data, run, resume=True))


def test_a_resumed_run_knows_the_label_scheme_it_began_with(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for seed in range(2):  # plain folders do not say what their labels mean
        write_small_dataset(tmp_path / "brats", 2)
        folder = data / f"c{seed}"
        folder.mkdir(parents=True)
        for path in (tmp_path / "brats" / f"small-{seed:03d}").glob("*.nii.gz"):
            _rewritten(path, folder / f"{path.name.removesuffix('.nii.gz').split('-')[-1]}.nii.gz")
    with pytest.raises(InputError, match="which label scheme"):
        train(TrainingRequest(data, tmp_path / "run", CONFIG))
    train(TrainingRequest(data, tmp_path / "run", CONFIG, labels=LabelScheme.BRATS2023))
    train(TrainingRequest(data, tmp_path / "run", resume=True))
    with pytest.raises(InputError, match="is not what it was") as refused:
        train(TrainingRequest(data, tmp_path / "run", resume=True, labels=LabelScheme.BRATS2024))
    assert refused.value.found == "changed: scheme"


def _rewritten(source: Path, target: Path) -> None:
    """The voxels alone, without a header that says what labels mean."""
    image = nib.load(source)
    assert isinstance(image, nib.Nifti1Image)
    nib.save(nib.Nifti1Image(np.asanyarray(image.dataobj), image.affine), target)


@pytest.mark.parametrize(
    "text", ["", "{}", '{"small-000": 3}', '{"small-000": {"scheme": "unheard of"}}']
)
def test_damaged_sources_are_refused(tmp_path: Path, text: str) -> None:
    run = RunFolder(tmp_path)
    run.write_split(["small-000"], [])
    run.write_sources({"small-000": {"scheme": "brats2023"}})
    assert run.read_sources() == {"small-000": {"scheme": "brats2023"}}
    (tmp_path / "sources.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"sources\.json"):
        run.read_sources()


def test_a_study_prepares_changed_cases_anew_and_says_so(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "prepared"
    setting = Setting(minutes=1, ablation_minutes=0, phantoms=0, unseen_phantoms=0)
    names = [files.identity for files in find_labelled_cases(data)]

    def facts() -> dict[str, str | None]:
        found = prepare_all(Source(data, None, setting), names, folder, lambda done, total: None)
        return {name: found[name].origin for name in found}

    first = facts()
    # Stopped after the arrays and before what is known of them.
    described = folder / "small-003" / "facts.json"
    known = json.loads(described.read_text(encoding="utf-8"))
    described.write_text(json.dumps(known | {"origin": "another"}), encoding="utf-8")
    _change(next((data / "small-000").glob("*t1n.nii.gz")), _brighter_tumour)
    second: dict[str, str | None] = {}
    assert _redone(folder, lambda: second.update(facts())) == {"small-000", "small-003"}
    assert {name for name in names if first[name] != second[name]} == {"small-000"}


def test_phantoms_are_told_apart_by_what_they_are_made_of() -> None:
    few = Source(None, None, Setting(minutes=1, ablation_minutes=0, phantoms=8))
    names = [*few.phantoms(), *few.unseen_phantoms()]
    assert len({few.origin(name)["phantom"] for name in names}) == len(names)
    spec, index = few.phantoms()[names[0]]
    assert isinstance(spec, PhantomSpec)
    assert few.origin(names[0])["phantom"] == f"{spec} {index}"
