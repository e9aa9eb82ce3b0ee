"""The first steps of the documentation run as they stand.

A small made-up case takes the place of a whole phantom, whose making and segmenting the docstring
of the package runs.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

import minicube as mc
from minicube.cli import main
from minicube.scans import LabelScheme, Layout, write_case
from small_cases import small_case

DOCS = Path(__file__).resolve().parents[1] / "docs"
PHANTOM = "phantoms/phantom-a-00007-00000"


def _blocks(page: str) -> list[tuple[str, str]]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(r"```(python|console)\n(.*?)```", text, re.S)


def _command(line: str) -> None:
    assert line.startswith("$ minicube ")
    with pytest.raises(SystemExit) as stopped:
        main(shlex.split(line)[2:])
    assert stopped.value.code == 0, line


def _write_small_phantom(folder: Path) -> None:
    case = small_case(1)
    write_case(case, folder, Layout.BRATS2023, LabelScheme.BRATS2023)
    name = Path(PHANTOM).name
    for file in (folder / case.identity).iterdir():
        file.rename(file.with_name(file.name.replace(case.identity, name)))
    (folder / case.identity).rename(folder / name)


def test_first_steps_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = _blocks("first-steps.md")
    kind, (first) = blocks[0]
    assert kind == "console"
    assert first.startswith("$ minicube phantom phantoms/ --cases 1 --seed 7\n")
    _write_small_phantom(tmp_path / "phantoms")
    space: dict[str, Any] = {}
    for kind, text in blocks:
        if kind == "python":
            exec(text, space)
            continue
        for line in text.splitlines():
            if not line.startswith("$ minicube phantom "):
                _command(line)
    assert "phantom-a-00007-00000" in capsys.readouterr().out
    assert (tmp_path / "seg.nii.gz").is_file()
    assert (tmp_path / "report.html").is_file()


def test_the_notebook_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = json.loads((DOCS / "notebooks" / "first-steps.ipynb").read_text(encoding="utf-8"))
    monkeypatch.setattr(mc, "make_phantom", lambda seed: small_case(seed), raising=False)
    space: dict[str, Any] = {}
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] for cell in cells)
    for cell in cells:
        exec("".join(cell["source"]), space)
    assert space["picture"].shape == (44, 48, 3)
    assert 0 < space["scores"]["summary"]["regions"]["WT"]["dice"]["mean"] <= 1
