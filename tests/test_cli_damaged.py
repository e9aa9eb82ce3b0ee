"""Damaged files at the command line: a sentence and exit code 2, or an answer; never half."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

import minicube as mc
from minicube.cli import main
from minicube.scans import Sequence, load_case
from small_cases import write_small_dataset
from test_scans_damaged import damage

FILES = 60


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("damaged")
    data = write_small_dataset(folder / "data", 2)
    return mc.train(data, folder / "run", widths=(2, 4), steps=2, window=(16, 16, 16))


def test_segment_answers_or_refuses_in_words(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = next((run.parent / "data").iterdir())
    sound = {path.name: path.read_bytes() for path in case.glob("*.nii.gz")}
    rng = np.random.default_rng(11)
    codes = []
    for index in range(FILES):
        folder = tmp_path / f"{index:03d}"
        folder.mkdir()
        for name, data in sound.items():
            (folder / name).write_bytes(data)
        spoilt = folder / f"{case.name}-{list(Sequence)[index % 4].value}.nii.gz"
        spoilt.write_bytes(damage(rng, sound[spoilt.name]))
        out = folder / "out" / "seg.nii.gz"
        with pytest.raises(SystemExit) as ended:
            main(["segment", str(folder), "--model", str(run), "-o", str(out)])
        said = capsys.readouterr()
        code = ended.value.code or 0
        codes.append(code)
        assert code in (0, 2), said.err
        assert "Traceback" not in said.err
        if code == 0:
            shape = load_case(folder, with_reference=False).geometry.shape
            assert nibabel.load(out).shape == shape  # type: ignore[attr-defined]
        else:
            assert said.err.startswith("error: ")
            assert not out.parent.exists()
    assert 0 in codes
    assert codes.count(2) > FILES / 4
