"""Which of the four sequences a series is, with the reasons, to be shown to whoever asks.

Each thing that is known adds points to one sequence or another; a softmax over the four and
"something else" makes scores of them. A score is no probability that was measured: it says how
far what is known speaks for one rather than the others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from minicube.dicom import words
from minicube.dicom.facts import Facts
from minicube.dicom.series import Series
from minicube.scans import Sequence

__all__ = ["T1_PAIR", "Recognised", "recognise"]

_FEWEST_IMAGES: Final = 10
T1_PAIR: Final = (Sequence.T1N, Sequence.T1C)
_WHAT_KIND: Final = {
    "LOCALIZER": "a localiser",
    "ADC": "a map of diffusion",
    "FA": "a map of diffusion",
    "TRACEW": "diffusion",
    "DIFFUSION": "diffusion",
    "SWI": "susceptibility (T2*)",
    "MIP": "a projection",
    "MNIP": "a projection",
    "MIN_IP": "a projection",
    "PROJECTION IMAGE": "a projection",
    "MAX_IP": "a projection",
    "SUB": "a subtraction",
    "SUBTRACT": "a subtraction",
    "SUBTRACTION": "a subtraction",
    "PERFUSION": "perfusion",
    "ASL": "perfusion",
    "CBF": "perfusion",
    "CBV": "perfusion",
    "RCBV": "perfusion",
    "MTT": "perfusion",
    "TTP": "perfusion",
    "P": "phase",
    "PHASE": "phase",
    "PHASE MAP": "phase",
    "REAL": "the real part alone",
    "IMAGINARY": "the imaginary part alone",
    "VELOCITY": "velocities",
    "ANGIO": "angiography",
    "TOF": "angiography",
    "T2_STAR": "susceptibility (T2*)",
}
_REFORMATTED: Final = {"MPR", "REFORMATTED", "RESAMPLED"}
# Regions that a head is never filed under.
_ELSEWHERE: Final = ("spine", "pelvis", "abdomen", "knee", "breast", "chest", "heart", "shoulder")


@dataclass(frozen=True, eq=False)
class Recognised:
    """A series and what it may be.

    Args:
        series: The series.
        scores: For each of the four, 0 to 1; all 0 where it was rejected.
        reasons: What speaks for what, in words.
        rejected: Why it is none of the four; empty if it may be one.
    """

    series: Series
    scores: Mapping[Sequence, float]
    reasons: tuple[str, ...]
    rejected: str = ""

    @property
    def likeliest(self) -> Sequence | None:
        """The sequence with the best score; None where it was rejected."""
        return None if self.rejected else max(Sequence, key=lambda s: self.scores[s])

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: no field of the patient, but what was typed as its name."""
        series, geometry = self.series, self.series.geometry
        return {
            "number": series.number,
            "series_uid": series.uid,
            "description": series.facts.description,
            "images": len(series.frames),
            "shape": None if geometry is None else list(geometry.shape),
            "spacing_mm": None if geometry is None else [round(s, 4) for s in geometry.spacing],
            "acquired": series.facts.time,
            "scores": {s.value: round(score, 3) for s, score in self.scores.items()},
            "reasons": list(self.reasons),
            "rejected": self.rejected,
        }


class _Points:
    """Points by sequence, and why."""

    def __init__(self) -> None:
        self.of = dict.fromkeys(Sequence, 0.0)
        self.other = 1.0
        self.reasons: list[str] = []

    def add(self, points: float, sequences: tuple[Sequence, ...], reason: str) -> None:
        for sequence in sequences:
            self.of[sequence] += points
        self._because(reason)

    def against_all(self, points: float, reason: str) -> None:
        self.other += points
        self._because(reason)

    def _because(self, reason: str) -> None:
        if reason not in self.reasons:
            self.reasons.append(reason)

    def shares(self) -> dict[Sequence, float]:
        weights = {s: math.exp(points) for s, points in self.of.items()}
        total = sum(weights.values()) + math.exp(self.other)
        return {s: weight / total for s, weight in weights.items()}


def recognise(series: Series) -> Recognised:
    """Score a series for each of the four sequences."""
    facts = series.facts
    rejected = series.problem or _rejection(facts, len(series.frames))
    if rejected:
        return Recognised(series, dict.fromkeys(Sequence, 0.0), (), rejected)
    points = _Points()
    _from_times(facts, points)
    _from_words(facts, points)
    _from_contrast(facts, points)
    if _REFORMATTED & set(facts.kind):
        points.against_all(1, "reformatted from another series")
    return Recognised(series, points.shares(), tuple(points.reasons))


def _rejection(facts: Facts, images: int) -> str:
    if facts.modality != "MR":
        return f"not MR ({facts.modality or 'not said'})"
    if not facts.grey:
        return "not a grey image"
    for value in facts.kind:
        if value in _WHAT_KIND:
            return _WHAT_KIND[value]
    if facts.b_value:
        return f"diffusion (b = {facts.b_value:g})"
    for pattern, what in words.UNWANTED:
        found = pattern.search(facts.words)
        if found:
            return f"{what} (“{found[0].strip()}”)"
    if any(part in facts.body_part for part in _ELSEWHERE):
        return f"not of the head ({facts.body_part})"
    if images < _FEWEST_IMAGES:
        return f"only {images} images"
    return ""


def _from_times(facts: Facts, points: _Points) -> None:
    """Weighting from TR, TE and TI, ms; the bounds are those of usual protocols at 1.5 and 3 T."""
    tr, te, ti = facts.repetition, facts.echo, facts.inversion
    if tr is None or te is None:
        return
    said = f"TR {tr:g}, TE {te:g}" + (f", TI {ti:g}" if ti else "")
    if ti and ti >= 1400 and tr >= 3500:
        points.add(4, (Sequence.T2F,), f"{said}: fluid suppressed")
    elif ti and ti < 350 and tr > 1500:
        points.against_all(3, f"{said}: fat suppressed by inversion")
    elif te <= 35 and (tr <= 1100 or (ti and tr <= 3600)):
        if facts.spin_echo is False and te > 12:
            points.against_all(3, f"{said}, gradient echo: T2*")
        else:
            points.add(3, T1_PAIR, f"{said}: T1-weighted")
    elif te >= 60 and tr >= 1500:
        points.add(3, (Sequence.T2W,), f"{said}: T2-weighted")
        if not ti and tr >= 6000:  # the inversion time is often left out
            points.add(1, (Sequence.T2F,), f"{said}: T2-weighted")
    elif te < 50 and tr > 1500:
        points.against_all(2, f"{said}: proton density")


def _from_words(facts: Facts, points: _Points) -> None:
    flair, t1 = words.FLAIR.search(facts.words), words.T1.search(facts.words)
    if flair and not t1:
        points.add(5, (Sequence.T2F,), f"named “{flair[0].strip()}”")
    elif t1:
        points.add(4, T1_PAIR, f"named “{t1[0].strip()}”")
    elif t2 := words.T2.search(facts.words):
        points.add(4, (Sequence.T2W,), f"named “{t2[0].strip()}”")


def _from_contrast(facts: Facts, points: _Points) -> None:
    """What tells T1 with contrast from T1 without."""
    if points.of[Sequence.T1N] <= 0:  # T2 and FLAIR are often taken after the injection
        return
    named = words.says_contrast(facts.words)
    if named is not None:
        when = "after" if named else "before"
        points.add(5, (T1_PAIR[named],), f"named as {when} contrast")
    elif words.says_contrast(facts.protocol) or facts.agent:
        points.add(3, (Sequence.T1C,), "a contrast agent is stated")
    else:
        points.add(0.5, (Sequence.T1N,), "no contrast agent is stated, which says little")
