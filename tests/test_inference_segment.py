"""From a scan on disk to a label map on disk, in the geometry of the scan."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

import minicube as mc
from minicube.cli import main
from minicube.engines import load_model
from minicube.inference.segment import Segmenter
from minicube.scans import Case, Layout, Region, Sequence, Tissue, write_case
from small_cases import small_case, write_small_dataset

CODES = [
    "".join(codes)
    for order in itertools.permutations(("LR", "PA", "IS"))
    for codes in itertools.product(*order)
]
REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "real"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    data = write_small_dataset(folder / "data", 4)
    return mc.train(
        data,
        folder / "run",
        widths=(4, 8),
        steps=40,
        window=(32, 32, 32),
        validations=1,
        learning_rate=1e-2,
        warmup=5,
    )


@pytest.fixture(scope="module")
def segmenter(run: Path) -> Segmenter:
    return Segmenter(load_model(run))


def _load(path: Path) -> Any:
    return nib.load(path)


def _write_reoriented(source: Path, target: Path, codes: str) -> None:
    """The same scan with its voxels stored in another order."""
    image = _load(source)
    start = nib.orientations.io_orientation(image.affine)
    way = nib.orientations.ornt_transform(start, nib.orientations.axcodes2ornt(codes))
    nib.save(image.as_reoriented(way), target)


@pytest.fixture(scope="module")
def case_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One case with three different side lengths and spacings of 1 mm."""
    folder = tmp_path_factory.mktemp("case")
    case = small_case(7, (44, 50, 37))
    write_case(case, folder, Layout.BRATS2023, case.reference.scheme)  # type: ignore[union-attr]
    return folder / case.identity


def test_all_48_orders_give_the_same_labels(
    segmenter: Segmenter, case_folder: Path, tmp_path: Path
) -> None:
    assert len(CODES) == 48
    first = segmenter.segment(mc.load_case(case_folder)).labels.array
    assert first.any()
    for codes in CODES:
        folder = tmp_path / codes
        folder.mkdir()
        for path in case_folder.glob("*.nii.gz"):
            if "seg" not in path.name:
                _write_reoriented(path, folder / path.name.replace(case_folder.name, codes), codes)
        result = segmenter.segment(mc.load_case(folder))
        written = _load(result.save(folder / "out.nii.gz"))
        given = _load(folder / f"{codes}-t1n.nii.gz")
        assert written.shape == given.shape
        assert np.array_equal(written.affine, given.affine)
        assert written.header["qform_code"] == given.header["qform_code"]
        assert written.header["sform_code"] == given.header["sform_code"]
        back = nib.as_closest_canonical(written)
        expected = result.labels.to(mc.LabelScheme.BRATS2023).array
        assert np.array_equal(np.asanyarray(back.dataobj), expected)
        assert np.array_equal(result.labels.array, first), codes


def test_saved_scheme_is_stated_and_values_follow_it(
    segmenter: Segmenter, case_folder: Path, tmp_path: Path
) -> None:
    result = segmenter.segment(mc.load_case(case_folder))
    for scheme in (mc.LabelScheme.DECATHLON, mc.LabelScheme.BRATS2021):
        path = result.save(tmp_path / f"{scheme.value}.nii.gz", scheme=scheme)
        values = np.asanyarray(_load(path).dataobj)
        sidecar = json.loads(path.with_name(f"{scheme.value}.json").read_text())
        assert scheme.value in json.dumps(sidecar)
        ml = {
            t: float((values == scheme.value_of(t)).sum()) / 1000 for t in scheme.tissues.values()
        }
        for tissue, volume in ml.items():
            assert result.volumes_ml[tissue.value] == pytest.approx(volume, abs=1e-3)


def test_volumes_add_up(segmenter: Segmenter, case_folder: Path) -> None:
    volumes = segmenter.segment(mc.load_case(case_folder)).volumes_ml
    ml = {name: value for name, value in volumes.items() if value is not None}
    assert ml[Region.TC] == pytest.approx(ml[Tissue.CORE] + ml[Tissue.ENHANCING], abs=2e-3)
    assert ml[Region.WT] == pytest.approx(ml[Region.TC] + ml[Tissue.OEDEMA], abs=2e-3)


def test_a_reference_in_the_case_changes_nothing(segmenter: Segmenter) -> None:
    case = small_case(3)
    bare = Case(case.identity, case.images, case.geometry, case.brain)
    one, other = segmenter.segment(case).labels, segmenter.segment(bare).labels
    assert np.array_equal(one.array, other.array)


def test_no_clobber_keeps_what_is_there(
    segmenter: Segmenter, case_folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "out.nii.gz"
    path.write_bytes(b"precious")
    result = segmenter.segment(mc.load_case(case_folder))
    with pytest.raises(mc.InputError, match="already exists"):
        result.save(path, overwrite=False)
    assert path.read_bytes() == b"precious"
    result.save(path)
    assert _load(path).shape == (44, 50, 37)
    assert not list(tmp_path.glob(".part-*"))


@pytest.mark.skipif(not REAL.is_dir(), reason="real cases (../shared/data/real) not present")
def test_shipped_model_on_a_real_case(tmp_path: Path) -> None:
    folder = REAL / "brats20_001"
    result = mc.segment(mc.load_case(folder, labels=mc.LabelScheme.BRATS2021))
    written = _load(result.save(tmp_path / "seg.nii.gz"))
    given = _load(folder / "t1.nii.gz")
    assert written.shape == given.shape
    assert np.array_equal(written.affine, given.affine)
    truth = result.case.reference
    assert truth is not None
    found, expert = result.labels.region(Region.WT), truth.region(Region.WT)
    assert 2 * (found & expert).sum() / (found.sum() + expert.sum()) > 0.6
    assert set(result.case.images) == set(Sequence)


def test_a_contradictory_reference_stops_no_segmentation(run: Path, tmp_path: Path) -> None:
    data = write_small_dataset(tmp_path / "data", 1)
    (case,) = data.iterdir()
    next(case.glob("*-seg.json")).write_text('{"label_scheme": "decathlon"}', encoding="utf-8")
    out = tmp_path / "out.nii.gz"
    with pytest.raises(SystemExit) as ended:
        main(["segment", str(case), "--model", str(run), "-o", str(out)])
    assert not ended.value.code
    assert out.is_file()
    with pytest.raises(mc.InputError, match="different label schemes"):
        mc.load_case(case)
    assert mc.load_case(case, labels=mc.LabelScheme.BRATS2023).reference is not None
