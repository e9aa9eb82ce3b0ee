"""One series for each sequence, out of all that a study holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import product
from typing import Any, Final

from minicube._errors import InputError
from minicube.dicom.recognition import T1_PAIR, Recognised
from minicube.dicom.words import says_contrast
from minicube.scans import Sequence

__all__ = ["Assignment", "choose", "told_apart_by_time"]

_ENOUGH: Final = 0.5
_CLEAR: Final = 0.9
_MOST_CANDIDATES: Final = 6
_OTHERS_STATE_IT: Final = "other T1 series state a contrast agent, this one does not"


@dataclass(frozen=True, eq=False)
class Assignment:
    """Which series is taken for which sequence.

    Args:
        chosen: What was found; a sequence without a series is not in it.
        rivals: Others that would do as well; where there are any, somebody has to choose.
        remarks: What a user should know.
    """

    chosen: Mapping[Sequence, Recognised]
    rivals: Mapping[Sequence, tuple[Recognised, ...]]
    remarks: tuple[str, ...]

    @property
    def missing(self) -> tuple[Sequence, ...]:
        """Sequences without a series."""
        return tuple(s for s in Sequence if s not in self.chosen)

    @property
    def is_clear(self) -> bool:
        """Whether all four were found and nobody has to choose."""
        return not self.missing and not self.rivals

    @property
    def digest(self) -> str:
        """A name for exactly the images that were chosen, each series for its sequence."""
        chosen = sorted((s.value, row.series.digest) for s, row in self.chosen.items())
        return sha256(repr(chosen).encode()).hexdigest()[:32]

    def is_certain(self, sequence: Sequence) -> bool:
        """Whether the series taken for a sequence has a clear score, and no other would do."""
        return sequence not in self.rivals and self.chosen[sequence].scores[sequence] >= _CLEAR

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "chosen": {s.value: found.series.number for s, found in self.chosen.items()},
            "missing": [s.value for s in self.missing],
            "rivals": {
                s.value: [one.series.number for one in others] for s, others in self.rivals.items()
            },
            "remarks": list(self.remarks),
        }


def told_apart_by_time(found: Iterable[Recognised]) -> list[Recognised]:
    """Tell T1 without and with contrast apart by when they were taken, where nothing else does.

    Descriptions are believed, and an agent that is stated for some T1 series and not for all. What
    is left: the first is without, those after it may be with. That is a guess, and scored as one.
    """
    rows = list(found)
    t1 = [row for row in rows if _is_t1(row)]
    unnamed = [row for row in t1 if says_contrast(row.series.facts.words) is None]
    if len(t1) < 2 or not unnamed:
        return rows
    if len({row.likeliest for row in unnamed}) > 1:
        open_ones, why = [r for r in unnamed if r.likeliest is Sequence.T1N], _OTHERS_STATE_IT
        return [_leaning(r, Sequence.T1N, _CLEAR, why) if r in open_ones else r for r in rows]
    with_agent = [r.series.facts.time for r in t1 if says_contrast(r.series.facts.words)]
    first = min(row.series.facts.time for row in t1)
    return [_by_time(row, first, with_agent) if row in unnamed else row for row in rows]


def _by_time(row: Recognised, first: str, with_agent: list[str]) -> Recognised:
    """A T1 series of which only its time is known, and that of the first and those with agent."""
    time = row.series.facts.time
    if not first or not time:
        return row
    if with_agent:
        if time < min(with_agent):
            return _leaning(row, Sequence.T1N, 0.95, "taken before the T1 series with contrast")
        return _leaning(row, Sequence.T1C, 0.8, "taken after a T1 series with contrast")
    if time == first:
        return _leaning(row, Sequence.T1N, 0.8, "the first T1 series to be taken")
    return _leaning(row, Sequence.T1C, 0.7, "taken after another T1 series")


def choose(found: Iterable[Recognised], named: Mapping[Sequence, int] | None = None) -> Assignment:
    """Choose a series for each sequence.

    The best scores win; among series that are as good as certain, four on one grid do, then
    the smallest voxels.

    Args:
        found: All series of one study, after :func:`told_apart_by_time`.
        named: Numbers of series that the user has chosen.

    Raises:
        InputError: A number was named that no usable series has, or twice.
    """
    rows = list(found)
    named = named or {}
    if len(set(named.values())) < len(named):
        raise InputError("One series was given for two sequences.")
    candidates = {
        s: _named(rows, named[s]) if s in named else _candidates(rows, s, set(named.values()))
        for s in Sequence
    }
    best: dict[Sequence, Recognised] = {}
    best_worth: tuple[float, ...] = (0,)
    for combination in product(*([*some, None] for some in candidates.values())):
        picked = {s: row for s, row in zip(candidates, combination, strict=True) if row}
        # One series is one sequence: of a single T1 series the other of the pair is missing.
        if picked and len({id(row) for row in picked.values()}) == len(picked):
            worth = _worth(picked)
            if worth > best_worth:
                best, best_worth = picked, worth
    rivals = {
        s: others
        for s in best
        if s not in named and (others := _rivals(s, best, candidates[s], best_worth))
    }
    return Assignment(best, rivals, tuple(_remarks(best, candidates, rivals, named)))


def _is_t1(row: Recognised) -> bool:
    return row.likeliest in T1_PAIR and sum(row.scores[s] for s in T1_PAIR) >= _ENOUGH


def _leaning(row: Recognised, to: Sequence, share: float, reason: str) -> Recognised:
    both = sum(row.scores[s] for s in T1_PAIR)
    scores = dict(row.scores) | {s: both * (share if s is to else 1 - share) for s in T1_PAIR}
    return replace(row, scores=scores, reasons=(*row.reasons, reason))


def _named(rows: list[Recognised], number: int) -> list[Recognised]:
    for row in rows:
        if row.series.number == number:
            if row.series.problem:
                raise InputError(f"Series {number} cannot be used.", found=row.series.problem)
            return [row]
    raise InputError(
        f"There is no series {number}.",
        expected=f"1 to {len(rows)}",
        hint="`minicube dicom list` shows the numbers",
    )


def _candidates(rows: list[Recognised], sequence: Sequence, taken: set[int]) -> list[Recognised]:
    enough = [
        row for row in rows if row.series.number not in taken and row.scores[sequence] >= _ENOUGH
    ]
    enough.sort(key=lambda row: (-round(row.scores[sequence], 1), _voxel(row)))
    return enough[:_MOST_CANDIDATES]


def _worth(picked: Mapping[Sequence, Recognised]) -> tuple[float, ...]:
    """What is wanted most comes first; every number is the better the larger."""
    certain = sum(min(row.scores[s], _CLEAR) for s, row in picked.items())
    originals = sum("ORIGINAL" in row.series.facts.kind for row in picked.values())
    return (
        len(picked),
        round(certain, 1),
        _alike(picked),
        -round(sum(_voxel(row) for row in picked.values()), 3),
        originals,
    )


def _alike(picked: Mapping[Sequence, Recognised]) -> int:
    """How many share the grid of the first."""
    grids = [row.series.geometry for row in picked.values()]
    first = grids[0]
    assert first is not None
    return sum(g is not None and first.ras_grid().matches(g.ras_grid()) for g in grids)


def _voxel(row: Recognised) -> float:
    """The longest side of a voxel, mm."""
    geometry = row.series.geometry
    return float("inf") if geometry is None else float(geometry.spacing.max())


def _rivals(
    sequence: Sequence,
    best: Mapping[Sequence, Recognised],
    candidates: Iterable[Recognised],
    best_worth: tuple[float, ...],
) -> tuple[Recognised, ...]:
    taken = {id(row) for row in best.values()}
    return tuple(
        row
        for row in candidates
        if id(row) not in taken and _worth({**best, sequence: row}) == best_worth
    )


def _remarks(
    best: Mapping[Sequence, Recognised],
    candidates: Mapping[Sequence, list[Recognised]],
    rivals: Mapping[Sequence, tuple[Recognised, ...]],
    named: Mapping[Sequence, int],
) -> Iterable[str]:
    taken = {id(row) for row in best.values()}
    for sequence, row in best.items():
        if sequence in named:
            continue
        if row.scores[sequence] < _CLEAR:
            why = "; ".join(row.reasons) or "little is known"
            yield f"{sequence.label}: series {row.series.number} is not certain ({why})"
        others = [
            str(one.series.number)
            for one in candidates[sequence]
            if id(one) not in taken and one not in rivals.get(sequence, ())
        ]
        if others:
            yield (
                f"{sequence.label}: series {', '.join(others)} would do too; "
                f"{row.series.number} fits the others or is finer"
            )
    frames = {row.series.facts.frame_of_reference for row in best.values()}
    if len(frames) > 1:
        yield "the chosen series do not share a frame of reference: their places may not agree"
