"""Broken files are read or refused, and nothing else; see `mutated.py` for a thousand more."""

from __future__ import annotations

import pytest

from mutated import DOORS, stood

FEW = range(12)


@pytest.mark.parametrize("door", DOORS)
def test_broken_files_are_read_or_refused(door: str) -> None:
    found = [stood(door, number) for number in FEW]
    assert any(found)
    assert not all(found)
