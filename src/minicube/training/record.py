"""What a run writes down as it goes: its ``metrics.csv``, and whoever follows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from minicube.training.run_folder import Row, RunFolder
from minicube.training.tracking import Tracker

__all__ = ["Record"]


class Record:
    """Rows of metrics, from the step that a sitting begins at; a context manager.

    A tracker that fails is left out from then on, and said so once: no training ends for it.

    Args:
        run: Whose ``metrics.csv`` it is.
        trackers: That are told each row.
        warn: Told of one that failed.
    """

    def __init__(
        self, run: RunFolder, trackers: Iterable[Tracker], warn: Callable[[str], None]
    ) -> None:
        self._run = run
        self._trackers = list(trackers)
        self._warn = warn
        self._rows: list[Row] = []

    def begin(self, step: int) -> None:
        """Take over the rows up to a step, that one included."""
        self._rows = list(self._run.read_metrics(up_to=step))
        self._tell(lambda tracker: tracker.begin(step))

    def add(self, row: Row) -> None:
        """Add a row with ``step``, ``split`` and numbers, some in words."""
        self._rows.append(row)
        values = {
            f"{row['split']}/{name}": float(value)
            for name, value in row.items()
            if name not in ("step", "split") and value != ""
        }
        self._tell(lambda tracker: tracker.log(int(row["step"]), values))

    def write(self) -> None:
        """Write ``metrics.csv``."""
        self._run.write_metrics(self._rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._tell(lambda tracker: tracker.end(finished=kind is None))

    def _tell(self, what: Callable[[Tracker], None]) -> None:
        for tracker in list(self._trackers):
            try:
                what(tracker)
            except Exception as error:  # noqa: BLE001 - whatever it is, the training goes on
                self._trackers.remove(tracker)
                first = (str(error).splitlines() or [""])[0]
                self._warn(f"{tracker.name} is no longer told: {type(error).__name__}: {first}")
