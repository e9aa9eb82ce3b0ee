"""What the base install does, it does without torch, scipy, nibabel – as if not installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from small_cases import write_small_dataset

BLOCKED = (
    "torch",
    "scipy",
    "nibabel",
    "lightning_fabric",
    "monai",
    "safetensors",
    "blosc2",
    "matplotlib",
    "onnx",
    "onnxruntime",
    "pydicom",
    "highdicom",
    "gdcm",
    "SimpleITK",
)

# A finder that does not find them stands for an environment without them.
PRELUDE = f"""
import sys
from importlib.machinery import PathFinder
class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name in {BLOCKED!r} else super().find_spec(name, path, target)
sys.meta_path[:] = [Without if finder is PathFinder else finder for finder in sys.meta_path]
"""


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PRELUDE + code], capture_output=True, text=True, timeout=600
    )


def _cli(*words: str) -> subprocess.CompletedProcess[str]:
    return _python(f"from minicube.cli import main; main({list(words)!r})")


def test_import_brings_none_of_them() -> None:
    check = "import sys, minicube, minicube.scans, minicube.volumes\n"
    check += "import minicube.evaluation, minicube.reporting, minicube.inference, minicube.cli\n"
    check += f"assert not set({BLOCKED!r}) & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], timeout=600).returncode == 0


def test_list_convert_evaluate_and_doctor_work(tmp_path: Path) -> None:
    data, converted = write_small_dataset(tmp_path / "data", 2), tmp_path / "nnunet"
    listed = _cli("data", "list", str(data), "--json")
    assert listed.returncode == 0, listed.stderr
    assert '"brats2023"' in listed.stdout
    done = _cli("data", "convert", str(data), str(converted), "--layout", "nnunet")
    assert done.returncode == 0, done.stderr
    labels = str(converted / "labelsTr")
    words = ("evaluate", "--prediction", labels, "--reference", labels, "--lesions", "--json")
    scored = _cli(*words)
    assert scored.returncode == 0, scored.stderr
    assert _cli("doctor").returncode == 0


def test_segment_and_plan_need_no_torch(tmp_path: Path) -> None:
    case = next(write_small_dataset(tmp_path / "data", 1).iterdir())
    out = tmp_path / "out.nii.gz"
    done = _cli("segment", str(case), "-o", str(out), "--memory", "1GB")
    assert done.returncode == 0, done.stderr
    assert out.exists()
    planned = _cli("plan", "--memory", "1GB", "--json")
    assert planned.returncode == 0, planned.stderr
    assert '"default"' in planned.stdout


@pytest.mark.parametrize(
    ("verb", "extra"),
    [
        ("train", "train"),
        ("tune", "train,tune"),
        ("segment", "train"),
        ("export", "train,export"),
        ("phantom", "phantom"),
        ("dicom", "dicom"),
    ],
)
def test_what_needs_more_says_how_to_get_it(tmp_path: Path, verb: str, extra: str) -> None:
    data = write_small_dataset(tmp_path / "data", 2)
    out = str(tmp_path / "out.nii.gz")
    words = {
        "segment": ("segment", str(next(data.iterdir())), "-o", out, "--engine", "torch"),
        "tune": ("tune", "--data", str(data), "--out", str(tmp_path / "search")),
        "train": ("train", "--data", str(data), "--out", str(tmp_path / "run")),
        "export": ("export", str(tmp_path), "-o", str(tmp_path / "out.onnx")),
        "phantom": ("phantom", str(tmp_path / "phantoms")),
        "dicom": ("dicom", "list", str(data)),
    }[verb]
    refused = _cli(*words)
    assert refused.returncode == 2
    assert f"pip install 'minicube[{extra}]'" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not Path(out).exists()
