"""What goes out beside the code says the same as the code."""

from __future__ import annotations

import re
from pathlib import Path

import minicube

ROOT = Path(__file__).resolve().parents[1]


def test_the_citation_is_of_this_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (.*)$", citation, re.M) == [minicube.__version__]
    assert re.findall(r"^license: (.*)$", citation, re.M) == ["Apache-2.0"]
