"""The models inside the package: small, described, and called by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from minicube import InputError
from minicube.engines import load_model
from minicube.inference import model_place, shipped_model, shipped_names


def test_models_inside_are_called_by_name_unless_a_path_is_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in shipped_names():
        inside = model_place(name)
        assert load_model(inside).description == shipped_model(name).description
        assert shipped_model(name).description.name == name
        (tmp_path / name).mkdir()
        assert model_place(Path(name)) == Path(name)
    with pytest.raises(InputError, match=r"no model another") as refused:
        model_place("another")
    assert "default or tiny" in str(refused.value)
    assert "default" in shipped_names()
    assert shipped_model().description.name == "default"


def test_each_has_a_card_and_a_licence_and_all_are_small() -> None:
    places = [shipped_model(name).place for name in shipped_names()]
    for place in places:
        card = (place.parent / "README.md").read_text(encoding="utf-8")
        assert "not a medical device" in card
        assert "CC BY-NC-SA 4.0" in card
        assert "CC BY-NC-SA 4.0" in load_model(place).description.licence
    assert sum(place.stat().st_size for place in places) < 25 * 2**20
