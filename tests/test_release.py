"""What goes out beside the code says the same as the code."""

from __future__ import annotations

import re
import tomllib
from itertools import chain
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import minicube

ROOT = Path(__file__).resolve().parents[1]


def test_the_citation_is_of_this_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (.*)$", citation, re.M) == [minicube.__version__]
    assert re.findall(r"^license: (.*)$", citation, re.M) == ["Apache-2.0"]


def test_every_package_we_name_stands_in_the_table_of_licences() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    named = {canonicalize_name(Requirement(line).name) for line in lines} - {"minicube"}
    page = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    table = page.partition("## Named in pyproject.toml")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| ([a-z0-9-]+) \| (?!not stated)", table, re.M)
    assert named - set(listed) == set(), "python scripts/list_licences.py writes it anew"
    assert set(listed) - named == {"package", "---"}  # its head
