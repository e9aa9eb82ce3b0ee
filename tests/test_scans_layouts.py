"""Every layout, as others write it: recognised, ordered, its label scheme known or asked for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from minicube import InputError
from minicube.scans import (
    CaseFiles,
    LabelScheme,
    Layout,
    Sequence,
    describe_dataset,
    find_cases,
    load_case,
    write_case,
)
from small_cases import small_case

nib: Any = nibabel  # half typed
SHAPE = (12, 11, 10)
# A value for each sequence, so that a mixed-up channel shows.
LEVEL = {Sequence.T1N: 10, Sequence.T1C: 20, Sequence.T2W: 30, Sequence.T2F: 40}
T1N, T1C, T2W, T2F = Sequence


def scan(sequence: Sequence) -> Any:
    array = np.zeros(SHAPE, np.int16)
    array[2:10, 2:9, 2:8] = LEVEL[sequence]
    return array


def save(path: Path, array: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.Nifti1Image(array, np.eye(4), dtype=array.dtype).to_filename(path)


def labels(*values: int) -> Any:
    array = np.zeros(SHAPE, np.uint8)
    array[4, 4, 4 : 4 + len(values)] = values
    return array


def brats2021(root: Path) -> None:
    for grade, case in (("HGG", "Brats17_CBICA_AAB_1"), ("LGG", "Brats17_TCIA_101_1")):
        folder = root / grade / case
        for sequence, name in ((T1N, "t1"), (T1C, "t1ce"), (T2W, "t2"), (T2F, "flair")):
            ending = ".nii" if grade == "LGG" else ".nii.gz"
            save(folder / f"{case}_{name}{ending}", scan(sequence))
        save(folder / f"{case}_seg.nii.gz", labels(1, 2, 4))


def brats2023(root: Path) -> None:
    for case in ("BraTS-GLI-00000-000", "BraTS-GLI-00002-000"):
        for sequence in Sequence:
            save(root / case / f"{case}-{sequence.value}.nii.gz", scan(sequence))
        save(root / case / f"{case}-seg.nii.gz", labels(1, 2, 3))


def plain(root: Path) -> None:
    names = {
        "first": ("t1", "t1ce", "t2", "flair"),
        "second": ("T1n", "T1Gd", "T2w", "t2f"),
    }
    for case, files in names.items():
        for sequence, name in zip(Sequence, files, strict=True):
            save(root / case / f"{name}.nii.gz", scan(sequence))
        save(root / case / "seg.nii.gz", labels(1, 2, 4))
        (root / case / "notes.txt").write_text("not a scan", encoding="utf-8")


def decathlon(root: Path) -> None:
    order = (T2F, T1N, T1C, T2W)
    for case in ("BRATS_001", "BRATS_010"):
        save(root / "imagesTr" / f"{case}.nii.gz", np.stack([scan(s) for s in order], -1))
        save(root / "imagesTr" / f"._{case}.nii.gz", labels(1))  # as macOS leaves behind
        save(root / "labelsTr" / f"{case}.nii.gz", labels(1, 2, 3))
    description = {
        "modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
        "labels": {
            **{"0": "background", "1": "edema"},
            **{"2": "non-enhancing tumor", "3": "enhancing tumour"},
        },
    }
    (root / "dataset.json").write_text(json.dumps(description), encoding="utf-8")


def nnunet(root: Path) -> None:
    order = (T1N, T1C, T2W, T2F)
    for case in ("BRATS_001", "BRATS_010"):
        for i, sequence in enumerate(order):
            save(root / "imagesTr" / f"{case}_{i:04d}.nii.gz", scan(sequence))
        save(root / "labelsTr" / f"{case}.nii.gz", labels(1, 2, 3))
    description = {
        "channel_names": {"0": "T1", "1": "T1ce", "2": "T2", "3": "Flair"},
        "labels": {
            "background": 0,
            "whole tumor": [1, 2, 3],
            "tumor core": [2, 3],
            "enhancing tumor": [3],
        },
        "file_ending": ".nii.gz",
    }
    (root / "dataset.json").write_text(json.dumps(description), encoding="utf-8")


def bids(root: Path) -> None:
    for sub, session in (("sub-01", "ses-1"), ("sub-02", "")):
        inside = Path(sub) / session / "anat"
        stem = f"{sub}_{session}_" if session else f"{sub}_"
        for sequence, name in (
            (T1N, "T1w"),
            (T1C, "ce-gadolinium_T1w"),
            (T2W, "T2w"),
            (T2F, "FLAIR"),
        ):
            save(root / inside / f"{stem}{name}.nii.gz", scan(sequence))
        save(root / "derivatives" / "experts" / inside / f"{stem}dseg.nii.gz", labels(1, 2, 4))
    (root / "derivatives" / "experts" / "dseg.tsv").write_text(
        "index\tname\n1\tnecrotic core\n2\tperitumoral edema\n4\tenhancing tumor\n",
        encoding="utf-8",
    )


EXAMPLES: dict[Layout, tuple[Callable[[Path], None], list[str], LabelScheme | None]] = {
    Layout.BRATS2021: (
        brats2021,
        ["Brats17_CBICA_AAB_1", "Brats17_TCIA_101_1"],
        LabelScheme.BRATS2021,
    ),
    Layout.BRATS2023: (
        brats2023,
        ["BraTS-GLI-00000-000", "BraTS-GLI-00002-000"],
        LabelScheme.BRATS2023,
    ),
    Layout.PLAIN: (plain, ["first", "second"], None),
    Layout.DECATHLON: (decathlon, ["BRATS_001", "BRATS_010"], LabelScheme.DECATHLON),
    Layout.NNUNET: (nnunet, ["BRATS_001", "BRATS_010"], LabelScheme.DECATHLON),
    Layout.BIDS: (bids, ["sub-01_ses-1", "sub-02"], LabelScheme.BRATS2021),
}


@pytest.mark.parametrize("layout", Layout)
def test_a_data_set_as_others_write_it(tmp_path: Path, layout: Layout) -> None:
    make, names, scheme = EXAMPLES[layout]
    make(tmp_path)
    cases = find_cases(tmp_path)
    assert [case.identity for case in cases] == names
    for files in cases:
        assert (files.layout, files.scheme) == (layout, scheme)
        assert files.reference is not None
        assert list(files.sequences) == list(Sequence)
        json.dumps(files.to_dict())
        case = load_case(files, labels=scheme or LabelScheme.BRATS2021)
        for sequence, level in LEVEL.items():
            assert case.images[sequence].max() == level
        assert case.reference is not None
        assert case.reference.array.any()


@pytest.mark.parametrize("layout", [Layout.BRATS2021, Layout.BRATS2023, Layout.PLAIN, Layout.BIDS])
def test_one_case_of_a_data_set_is_enough(tmp_path: Path, layout: Layout) -> None:
    make, names, scheme = EXAMPLES[layout]
    make(tmp_path)
    folder = find_cases(tmp_path)[0].paths[0].parent
    if layout is Layout.BIDS:
        folder = tmp_path / "sub-01"
    (case,) = find_cases(folder)
    assert (case.identity, case.layout, case.scheme) == (names[0], layout, scheme)
    assert case.reference is not None


def test_folders_above_may_be_called_as_they_like(tmp_path: Path) -> None:
    make, names, _ = EXAMPLES[Layout.BIDS]
    for above in ("sub-projects", "ses-1"):
        top = tmp_path / above / "study"
        top.mkdir(parents=True)
        make(top)
        found = find_cases(top)
        assert [case.identity for case in found] == names
        assert all(case.reference is not None for case in found)
        (of_session,) = find_cases(top / "sub-01" / "ses-1")
        assert of_session.identity == names[0]


@pytest.mark.parametrize("with_description", [True, False])
def test_one_4d_file(tmp_path: Path, with_description: bool) -> None:
    decathlon(tmp_path)
    if not with_description:
        (tmp_path / "dataset.json").unlink()
    case = load_case(tmp_path / "imagesTr" / "BRATS_010.nii.gz", with_reference=False)
    assert {s: case.images[s].max() for s in Sequence} == LEVEL
    assert bool(case.warnings) is not with_description  # that the order was assumed


def test_files_of_different_folders_make_a_case(tmp_path: Path) -> None:
    files = {s: tmp_path / "visit" / f"scan{i}.nii.gz" for i, s in enumerate(Sequence)}
    for sequence, path in files.items():
        save(path, scan(sequence))
    case = load_case(files)
    assert case.identity == "visit"
    assert case.reference is None
    assert {s: case.images[s].max() for s in Sequence} == LEVEL


def test_the_channel_order_is_read_not_assumed(tmp_path: Path) -> None:
    decathlon(tmp_path)
    path = tmp_path / "dataset.json"
    description = json.loads(path.read_text(encoding="utf-8"))
    description["modality"] = {"0": "T2w", "1": "t1gd", "2": "T1w", "3": "FLAIR"}
    path.write_text(json.dumps(description), encoding="utf-8")
    case = load_case(find_cases(tmp_path)[0])
    assert case.images[T2W].max() == LEVEL[T2F]  # since the example's first volume is FLAIR
    description["modality"] = {"0": "CT", "1": "PET"}
    path.write_text(json.dumps(description), encoding="utf-8")
    with pytest.raises(InputError, match="MR sequences"):
        find_cases(tmp_path)
    path.write_text("{not json", encoding="utf-8")
    with pytest.raises(InputError, match="JSON"):
        find_cases(tmp_path)


def test_a_scheme_that_nothing_states_is_asked_for(tmp_path: Path) -> None:
    plain(tmp_path)
    first = find_cases(tmp_path)[0]
    with pytest.raises(InputError, match="which label scheme") as caught:
        load_case(first)
    assert "--labels" in caught.value.hint
    assert load_case(first, with_reference=False).reference is None
    decathlon(tmp_path / "named")
    path = tmp_path / "named" / "dataset.json"
    text = path.read_text(encoding="utf-8").replace("edema", "something")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="which label scheme"):
        load_case(find_cases(tmp_path / "named")[0])


def test_a_given_scheme_overrides_the_layout(tmp_path: Path) -> None:
    brats2023(tmp_path)
    folder = tmp_path / "BraTS-GLI-00000-000"
    save(folder / "BraTS-GLI-00000-000-seg.nii.gz", labels(1, 2, 3, 4))
    with pytest.raises(InputError) as caught:
        load_case(folder)
    assert "brats2024" in caught.value.hint
    case = load_case(folder, labels=LabelScheme.BRATS2024)
    assert case.reference is not None
    assert case.reference.scheme is LabelScheme.BRATS2024


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize("scheme", LabelScheme)
def test_what_is_written_is_read_back(tmp_path: Path, layout: Layout, scheme: LabelScheme) -> None:
    originals = [small_case(seed, (20, 22, 18)) for seed in (1, 2)]
    for case in originals:
        paths = write_case(case, tmp_path, layout, scheme, lossy=True)
        assert all(path.is_file() for path in paths)
    found = find_cases(tmp_path)
    assert len(found) == 2
    for case, files in zip(originals, found, strict=True):
        assert (files.layout, files.scheme) == (layout, scheme)
        back = load_case(files)
        assert back.reference is not None
        assert case.reference is not None
        expected = case.reference.to(scheme, lossy=True)
        assert np.array_equal(back.reference.array, expected.array)
        assert np.array_equal(back.affine, case.affine)
        for sequence in Sequence:
            assert np.array_equal(back.images[sequence], case.images[sequence])


@pytest.mark.parametrize("layout", [Layout.DECATHLON, Layout.NNUNET, Layout.BIDS])
@pytest.mark.parametrize("scheme", LabelScheme)
def test_names_alone_are_enough_to_know_the_scheme(
    tmp_path: Path, layout: Layout, scheme: LabelScheme
) -> None:
    write_case(small_case(1, (20, 22, 18)), tmp_path, layout, scheme, lossy=True)
    (files,) = find_cases(tmp_path)
    assert files.reference is not None
    image = nib.load(files.reference)
    bare = nib.Nifti1Image(np.asarray(image.dataobj), image.affine)
    bare.to_filename(files.reference)
    for sidecar in files.reference.parent.glob("*.json"):
        sidecar.unlink()
    description = tmp_path / "dataset.json"
    if description.is_file():
        content = json.loads(description.read_text(encoding="utf-8"))
        del content["label_scheme"]
        description.write_text(json.dumps(content), encoding="utf-8")
    assert find_cases(tmp_path)[0].scheme is scheme


@pytest.mark.parametrize("layout", [Layout.DECATHLON, Layout.NNUNET])
def test_a_case_of_another_scheme_leaves_nothing(tmp_path: Path, layout: Layout) -> None:
    write_case(small_case(1, (20, 22, 18)), tmp_path, layout, LabelScheme.BRATS2023)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match="another scheme"):
        write_case(small_case(2, (20, 22, 18)), tmp_path, layout, LabelScheme.DECATHLON)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("content", ["hello", "labels"])
def test_a_file_that_is_no_case_is_not_taken_for_one(tmp_path: Path, content: str) -> None:
    path = tmp_path / "scan.nii.gz"
    if content == "labels":
        nib.Nifti1Image(np.zeros((8, 8, 8), np.uint8), np.eye(4)).to_filename(path)
    else:
        path.write_text(content)
    with pytest.raises(InputError, match=r"scan.nii.gz"):
        find_cases(path)


def test_descriptions_count_what_lies_there(tmp_path: Path) -> None:
    case = small_case(1, (20, 22, 18))
    write_case(case, tmp_path, Layout.DECATHLON, LabelScheme.DECATHLON)
    shutil.copy(tmp_path / "imagesTr/small-001.nii.gz", tmp_path / "imagesTr/small-007.nii.gz")
    describe_dataset(tmp_path, Layout.DECATHLON, None)
    content = json.loads((tmp_path / "dataset.json").read_text(encoding="utf-8"))
    assert content["numTraining"] == 2
    assert content["labels"]["1"] == "oedema"
    with pytest.raises(InputError, match="another scheme"):
        write_case(small_case(2, (20, 22, 18)), tmp_path, Layout.DECATHLON, LabelScheme.BRATS2023)


def test_nothing_recognised_says_what_was_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        find_cases(tmp_path / "missing")
    with pytest.raises(InputError, match="No scans") as caught:
        find_cases(tmp_path)
    assert caught.value.found == "an empty folder"
    save(tmp_path / "brain.nii.gz", scan(T1N))
    with pytest.raises(InputError, match="No scans") as caught:
        find_cases(tmp_path)
    assert "brain.nii.gz" in caught.value.found


def test_two_files_for_one_sequence_are_an_error(tmp_path: Path) -> None:
    plain(tmp_path)
    save(tmp_path / "first" / "t2w.nii.gz", scan(T2W))
    with pytest.raises(InputError, match="Two files") as caught:
        find_cases(tmp_path)
    assert "t2.nii.gz" in caught.value.found


def test_folders_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for site in ("north", "south"):
        for sequence in Sequence:
            save(tmp_path / site / "p1" / f"{sequence.value}.nii.gz", scan(sequence))
    assert [case.identity for case in find_cases(tmp_path)] == ["north-p1", "south-p1"]


@pytest.mark.parametrize("write", [decathlon, nnunet])
def test_cases_to_learn_from_and_to_test_may_share_a_name(
    tmp_path: Path, write: Callable[[Path], None]
) -> None:
    write(tmp_path)
    shutil.copytree(tmp_path / "imagesTr", tmp_path / "imagesTs")
    for path in (tmp_path / "imagesTs").glob("BRATS_010*"):
        path.rename(path.with_name(path.name.replace("010", "011")))
    names = [case.identity for case in find_cases(tmp_path)]
    assert names == ["BRATS_010", "BRATS_011", "imagesTr-BRATS_001", "imagesTs-BRATS_001"]


def test_source_data_are_no_second_case(tmp_path: Path) -> None:
    bids(tmp_path)
    before = find_cases(tmp_path)
    shutil.copytree(tmp_path / "sub-02", tmp_path / "sourcedata" / "sub-02")
    assert find_cases(tmp_path) == before


def test_links_belong_to_the_folder_they_lie_in(tmp_path: Path) -> None:
    folder = tmp_path / "patients" / "p7"
    folder.mkdir(parents=True)
    for i, sequence in enumerate(Sequence):
        there = tmp_path / "store" / f"{i}" / "0007.nii.gz"
        save(there, scan(sequence))
        (folder / f"{sequence.value}.nii.gz").symlink_to(there)
    (case,) = find_cases(tmp_path / "patients")
    assert (case.identity, set(case.sequences)) == ("p7", set(Sequence))
    named = {sequence: folder / f"{sequence.value}.nii.gz" for sequence in Sequence}
    assert CaseFiles.of_files(named).identity == "p7"


def test_several_cases_are_not_one(tmp_path: Path) -> None:
    brats2023(tmp_path)
    with pytest.raises(InputError, match="more than one case"):
        load_case(tmp_path)
    with pytest.raises(InputError, match="without files"):
        CaseFiles.of_files({})


@pytest.mark.parametrize("name", ["../outside", "a b", "", "a/b"])
def test_a_name_that_is_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    case = small_case(1, (20, 22, 18))
    object.__setattr__(case, "identity", name)
    with pytest.raises(InputError, match="cannot name a file"):
        write_case(case, tmp_path / "in", Layout.PLAIN, LabelScheme.BRATS2023)
    assert not list(tmp_path.iterdir())
