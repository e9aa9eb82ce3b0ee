"""Cases made while training goes on: which they are depends on the step alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from minicube.training.sampling import Sampler
from minicube.volumes.stream import Stream
from small_cases import SmallMaker, small_case
from small_training import settings


def test_a_resumed_stream_gives_what_an_uninterrupted_one_does(tmp_path: Path) -> None:
    config = settings(simulated=1.0)

    def draw(stream: Stream, steps: range) -> list[np.ndarray]:
        sampler = Sampler([], config, 0, stream=stream)
        return [sampler.draw(step, step)[0] for step in steps]

    with Stream(SmallMaker(), tmp_path / "whole", pool=2, every=2, ahead=1) as stream:
        whole = draw(stream, range(6))
        kept = sorted(home.name for home in (tmp_path / "whole").iterdir())
    assert "00000001" not in kept  # nothing of it is needed after step 3
    with Stream(SmallMaker(), tmp_path / "parts", pool=2, every=2, ahead=0) as stream:
        parts = draw(stream, range(3))
    with Stream(SmallMaker(), tmp_path / "parts", pool=2, every=2, ahead=0) as stream:
        parts += draw(stream, range(3, 6))
        cases = [case.identity for case in stream.at(5)]
    assert all(np.array_equal(a, b) for a, b in zip(whole, parts, strict=True))
    assert cases == [small_case(number).identity for number in (2, 3)]


def test_a_sampler_without_a_stream_draws_as_before(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        Sampler([], settings(simulated=1.0), 0).draw(0, 0)
