"""What the base install does, it does without torch – as if torch could not be imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from small_cases import write_small_dataset

BLOCKED = ("torch", "lightning_fabric", "monai", "safetensors", "blosc2", "matplotlib")

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
        [sys.executable, "-c", PRELUDE + code], capture_output=True, text=True, timeout=120
    )


def _cli(*words: str) -> subprocess.CompletedProcess[str]:
    return _python(f"from minicube.cli import main; main({list(words)!r})")


def test_import_brings_no_torch() -> None:
    check = "import sys, minicube, minicube.scans, minicube.volumes, minicube.phantom\n"
    check += "import minicube.evaluation, minicube.reporting, minicube.inference, minicube.cli\n"
    check += f"assert not set({BLOCKED!r}) & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], timeout=120).returncode == 0


def test_phantom_list_evaluate_and_doctor_work(tmp_path: Path) -> None:
    made = _cli("phantom", str(tmp_path / "p"), "--cases", "1", "--seed", "3")
    assert made.returncode == 0, made.stderr
    listed = _cli("data", "list", str(tmp_path / "p"), "--json")
    assert listed.returncode == 0, listed.stderr
    assert '"brats2023"' in listed.stdout
    reference = next((tmp_path / "p").rglob("*seg.nii.gz"))
    scored = _cli(
        "evaluate", "--prediction", str(reference), "--reference", str(reference), "--json"
    )
    assert scored.returncode == 0, scored.stderr
    assert _cli("doctor").returncode == 0


@pytest.mark.parametrize("verb", ["segment", "train"])
def test_what_needs_torch_says_how_to_get_it(tmp_path: Path, verb: str) -> None:
    data = write_small_dataset(tmp_path / "data", 2)
    words = {
        "segment": ("segment", str(next(data.iterdir())), "-o", str(tmp_path / "out.nii.gz")),
        "train": ("train", "--data", str(data), "--out", str(tmp_path / "run")),
    }[verb]
    refused = _cli(*words)
    assert refused.returncode == 2
    assert "pip install 'minicube[train]'" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "out.nii.gz").exists()
