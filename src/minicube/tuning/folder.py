"""Where a search keeps what it finds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from minicube.training import RunFolder

__all__ = ["SearchFolder"]

_GONE_WITH_ITS_TRIAL = ("checkpoint.pt",)
_OF_THE_BEST = ("weights.safetensors", "model.json")


@dataclass(frozen=True)
class SearchFolder:
    """Paths of one search on one machine; processes that share it share its trials."""

    path: Path

    @property
    def database(self) -> Path:
        """Where trials are kept, unless a server keeps them."""
        return self.path / "search.db"

    @property
    def prepared(self) -> Path:
        """Folder of the prepared cases, which all trials share."""
        return self.path / "prepared"

    @property
    def turn(self) -> Path:
        """Held by the process that takes the next trial."""
        return self.path / ".turn"

    @property
    def results(self) -> Path:
        """All trials, as JSON."""
        return self.path / "results.json"

    @property
    def report(self) -> Path:
        """The same as one page."""
        return self.path / "report.html"

    def run_of(self, number: int) -> RunFolder:
        """Where a trial's training is kept."""
        return RunFolder(self.path / "trials" / f"{number:04d}")

    def here(self) -> set[int]:
        """Numbers of the trials that were trained in this folder."""
        return {int(path.name) for path in (self.path / "trials").glob("[0-9]*")}

    def keep_small(self, finished: Iterable[int], best: int | None) -> None:
        """Drop what finished trials no longer need: checkpoints, and weights but of the best."""
        for number in self.here() & set(finished):
            dropped = _GONE_WITH_ITS_TRIAL + (() if number == best else _OF_THE_BEST)
            for name in dropped:
                (self.run_of(number).path / name).unlink(missing_ok=True)
