"""What goes out beside the code says the same as the code."""

from __future__ import annotations

import re
import runpy
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import minicube
from minicube.inference import shipped_names

ROOT = Path(__file__).resolve().parents[1]


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _named(*extras: str) -> Iterator[Requirement]:
    """What pyproject.toml asks for: of the base install and those extras, or of all."""
    project = tomllib.loads(_read("pyproject.toml"))["project"]
    optional = project["optional-dependencies"]
    lists = [project["dependencies"], *(optional[extra] for extra in extras or optional)]
    for requirement in (Requirement(line) for lines in lists for line in lines):
        if requirement.name != "minicube":
            yield requirement


def test_the_citation_is_of_this_version() -> None:
    citation = _read("CITATION.cff")
    assert re.findall(r"^version: (.*)$", citation, re.M) == [minicube.__version__]
    assert re.findall(r"^license: (.*)$", citation, re.M) == ["Apache-2.0"]


def test_every_package_we_name_stands_in_the_table_of_licences() -> None:
    named = {canonicalize_name(requirement.name) for requirement in _named()}
    table = _read("docs/licences.md").partition("## Named in pyproject.toml")[2]
    listed = re.findall(r"^\| ([a-z0-9-]+) \| (?!not stated)", table.partition("\n## ")[0], re.M)
    assert named - set(listed) == set(), "python scripts/list_licences.py writes it anew"
    assert set(listed) - named == {"package", "---"}  # its head


def test_the_oldest_that_is_tried_is_the_oldest_that_may_be_installed() -> None:
    oldest: dict[str, Version] = {}
    for requirement in _named():
        (least,) = (Version(s.version) for s in requirement.specifier if s.operator == ">=")
        name = canonicalize_name(requirement.name)
        oldest[name] = max(least, oldest.get(name, least))
    lines = [line for line in _read("constraints-minimum.txt").splitlines() if line[0] != "#"]
    tried = {name: Version(version) for name, version in (line.split("==") for line in lines)}
    assert tried == {name: oldest[name] for name in tried}
    (extras,) = re.findall(r'minimum\.txt \\\n\s*-e "\.\[(.*)\]"', _read("Makefile"))
    wanted = {canonicalize_name(requirement.name) for requirement in _named(*extras.split(","))}
    assert wanted <= set(tried)


@pytest.mark.parametrize("model", shipped_names())
def test_cards_say_what_was_judged(model: str) -> None:
    written = runpy.run_path(str(ROOT / "scripts" / "write_cards.py"))
    card = _read(f"src/minicube/weights/{model}/README.md")
    assert written["card"](model, card) == card, "a card is old: python scripts/write_cards.py"
