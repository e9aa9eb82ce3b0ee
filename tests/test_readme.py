"""The README's Python example runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from minicube.scans import Geometry, LabelScheme, Layout, write_case, write_label_map
from small_cases import small_case, write_small_dataset

README = Path(__file__).resolve().parents[1] / "README.md"


def test_the_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.S)
    case = small_case(1)
    write_case(case, tmp_path, Layout.PLAIN, LabelScheme.BRATS2023)
    (tmp_path / case.identity).rename(tmp_path / "patient_07")
    assert case.reference is not None
    truth = case.reference.to(LabelScheme.BRATS2021)
    geometry: Geometry = case.geometry
    write_label_map(tmp_path / "truth.nii.gz", truth, geometry)
    write_small_dataset(tmp_path / "my_cases", 2)
    monkeypatch.chdir(tmp_path)
    # Half an hour of training is the reader's to spend.
    exec(code.replace("minutes=30", "steps=2, window=(32, 32, 32)"), {})
    assert (tmp_path / "patient_07_seg.nii.gz").is_file()
    assert (tmp_path / "runs" / "first" / "model.json").is_file()
