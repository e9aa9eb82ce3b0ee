"""What a study answers, in sentences made from its numbers."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from minicube.reporting.study_results import (
    TUMOUR,
    AblationSide,
    Comparison,
    Group,
    Results,
)
from minicube.reporting.study_tables import divergence
from minicube.reporting.tables import (
    MISSING,
    interval,
    p_value,
    percent,
    ratio,
    signed,
    whole,
)
from minicube.scans import Region

__all__ = ["NOT_RUN", "Answer", "answers", "compared"]

NOT_RUN: Final = "Not run yet."
_LEVEL: Final = 0.05
_TWO: Final = ("unet2d",)
_THREE: Final = ("unet3d-report", "unet3d-context")


@dataclass(frozen=True)
class Answer:
    """A question of the report's, and sentences that answer it."""

    question: str
    sentences: tuple[str, ...]


def answers(results: Results) -> list[Answer]:
    """Return all questions; what is not known yet says so."""
    asked = {
        "Do the networks learn?": [
            *_learnt(results),
            *_as_reported(results),
            *_diverged(results),
        ],
        "Does 3D beat 2D?": _pairs(results, _THREE, _TWO),
        "Does context beat no context?": [
            *_pairs(results, _THREE[1:], _THREE[:1]),
            *_same_weights(results),
        ],
        "Do minicubes leave seams?": list(_seams(results)),
        "Which repair made them learn?": list(_repairs(results)),
        "How much context is needed?": list(_context(results)),
    }
    return [Answer(question, tuple(found) or (NOT_RUN,)) for question, found in asked.items()]


def _learnt(results: Results) -> Iterator[str]:
    real = {name: system.real for name, system in results.repaired.items() if system.real}
    if not real:
        return
    found = [name for name, group in real.items() if _finds_all(group)]
    means = {name: group.mean_f1 for name, group in real.items()}
    ordered = sorted(means.items(), key=lambda item: -(item[1] if item[1] is not None else -1))
    listed = ", ".join(f"{results.title(name)} {ratio(mean)}" for name, mean in ordered)
    so_far = "" if results.finished else "So far, "
    yield (
        f"{so_far}{len(found)} of {len(real)} repaired systems find all three tumour classes on"
        f" unseen real cases. Mean tumour F1: {listed}."
    )
    for name, group in real.items():
        if not _finds_all(group):
            lost = [key for key in TUMOUR if not _f1(group, key)]
            words = ", ".join(key.replace("_", "-").replace("edema", "oedema") for key in lost)
            yield f"{results.title(name)} does not find: {words}."


def _as_reported(results: Results) -> Iterator[str]:
    """One sentence for all that fail alike, one for each that does not."""
    systems = {name: results.ways(name).get("as reported") for name in results.names}
    groups = {name: s.real for name, s in systems.items() if s and s.real}
    silent = [name for name, group in groups.items() if _says_nothing(group)]
    if silent:
        titles = ", ".join(results.title(name) for name in silent)
        yield f"As in the report, these say background everywhere: {titles}."
    for name, group in groups.items():
        if name not in silent:
            mean, beside = group.mean_f1, _mean_of(_real(results, name))
            yield (
                f"As in the report, {results.title(name)} reaches a mean tumour F1 of"
                f" {ratio(mean)}; repaired {ratio(beside)}."
            )


def _diverged(results: Results) -> Iterator[str]:
    found = {name: divergence(system) for name, system in results.systems.items()}
    listed = [f"{results.full_title(name)} {words}" for name, words in found.items() if words]
    if listed:
        yield f"The loss became no number: {'; '.join(listed)}."


def _pairs(results: Results, firsts: tuple[str, ...], seconds: tuple[str, ...]) -> list[str]:
    """One sentence for each pair, all regions in it, and what else differs between them."""
    order = {region.value: number for number, region in enumerate(Region)}
    sentences = []
    met: dict[str, str] = {}
    for first, second in itertools.product(firsts, seconds):
        turned = (_turned(comparison, first) for comparison in results.comparisons)
        found = [c for c in turned if (c.first, c.second) == (first, second)]
        if found:
            found.sort(key=lambda c: order.get(c.region, len(order)))
            names = f"{results.title(first)} against {results.title(second)}"
            sentences.append(f"{names}: {'; '.join(map(compared, found))}{_how(found)}.")
            met |= {name: _network(results, name) for name in (first, second)}
    if met:
        sentences.append(
            "This is confounded: the networks compared differ in levels, widths and parameters,"
            f" too – {'; '.join(met.values())}. They share cases, minutes and the way of training."
        )
    return sentences


def _network(results: Results, name: str) -> str:
    system = results.systems.get(name)
    network = system.network if system else None
    facts = []
    if network and network.widths:
        facts.append("-".join(map(str, network.widths)))
    if network and network.parameters is not None:
        facts.append(f"{whole(network.parameters)} parameters")
    listed = f" ({', '.join(facts)})" if facts else ""
    return results.title(name) + listed


def _same_weights(results: Results) -> Iterator[str]:
    """Context alone: one network's weights, given more of it."""
    known = [(row.context, mean) for row in results.context if (mean := row.mean_f1) is not None]
    if known:
        listed = ", ".join(f"{context}: {ratio(mean)}" for context, mean in known)
        yield (
            "Context alone is what the table Context shows: the same weights, given more of it."
            f" Mean tumour F1 by voxels of context – {listed}."
        )


def compared(comparison: Comparison) -> str:
    """Return what a paired test says of its first system.

    The p value that decides is Holm's where there is one; the level is 0.05.
    """
    c = comparison
    if c.mean_difference is None:
        return f"{c.region} not run yet"
    p = _deciding(c)
    if p is None or p >= _LEVEL or c.mean_difference == 0:
        verb = "no difference shown in"
    else:
        verb = "ahead in" if c.mean_difference > 0 else "behind in"
    shown = p_value(p)
    equals = "p not known" if p is None else f"p {shown}" if shown[0] == "<" else f"p = {shown}"
    between = "" if interval(c.interval) == MISSING else f" {interval(c.interval)}"
    return f"{verb} {c.region} ({signed(c.mean_difference)}{between}, {_kept_whole(equals)})"


def _deciding(comparison: Comparison) -> float | None:
    return comparison.p_holm if comparison.p_holm is not None else comparison.p


def _how(comparisons: Sequence[Comparison]) -> str:
    """What the numbers of a sentence are."""
    holm = all(c.p_holm is not None for c in comparisons)
    counts = sorted({c.n for c in comparisons if c.n is not None})
    ends = dict.fromkeys(str(counts[i]) for i in (0, -1)) if counts else ()
    n = f"; n = {' to '.join(ends)}" if ends else ""
    corrected = ", p after Holm’s correction" if holm else ""
    return f" – mean difference of Dice and its interval{corrected}{_kept_whole(n)}"


def _kept_whole(words: str) -> str:
    """No line ends around an equals sign."""
    return re.sub(" ([=<]) ?", "\N{NO-BREAK SPACE}\\1\N{NO-BREAK SPACE}", words)


def _turned(comparison: Comparison, first: str) -> Comparison:
    """The same test seen from the system ``first``."""
    if comparison.second != first:
        return comparison
    difference, between = comparison.mean_difference, comparison.interval
    turned = None
    if between is not None:
        low, high = (None if end is None else -end for end in between)
        turned = high, low
    return comparison.model_copy(
        update={
            "first": comparison.second,
            "second": comparison.first,
            "mean_difference": None if difference is None else -difference,
            "interval": turned,
        }
    )


def _seams(results: Results) -> Iterator[str]:
    groups = {name: _real(results, name) for name in results.repaired}
    seams = {name: group.seams for name, group in groups.items() if group and group.seams}
    known = [(name, s.ratio) for name, s in seams.items() if s.ratio is not None]
    networks = {name: system.network for name, system in results.repaired.items()}
    whole_ones = {name for name, network in networks.items() if network and not network.minicube}
    if known:
        listed = ", ".join(
            f"{results.title(name)} {ratio(value, 2)}{' (run whole)' * (name in whole_ones)}"
            for name, value in known
        )
        yield f"Disagreement at minicube faces over that inside, 1 being no seam: {listed}."
        own = {s.reference_ratio for s in seams.values() if s.reference_ratio is not None}
        if own:
            words = " to ".join(dict.fromkeys(ratio(end, 2) for end in (min(own), max(own))))
            yield f"The reference itself has {words} there."


def _repairs(results: Results) -> Iterator[str]:
    ablation = results.ablation
    if ablation is None:
        return
    best = _extreme(ablation.as_reported, largest=True)
    if best is not None:
        yield f"From the report’s setting, most is gained by {best.words}."
    worst = _extreme(ablation.repaired, largest=False)
    if worst is not None:
        yield f"From the repaired side, most is lost by {worst.words}."
    if (best or worst) and ablation.n is not None:
        minutes = "" if ablation.minutes is None else f" of {ablation.minutes:g} minutes"
        yield (
            f"One training{minutes} from scratch a row, scored on {ablation.n} cases: small"
            " differences mean nothing."
        )


@dataclass(frozen=True)
class _Change:
    """A row's difference to its base, and both in words."""

    difference: float
    words: str


def _extreme(side: AblationSide | None, *, largest: bool) -> _Change | None:
    start = side.base.mean_f1 if side and side.base else None
    if side is None or start is None:
        return None
    changes = []
    for row in side.rows:
        mean = row.mean_f1
        if mean is not None:
            what = f"{row.what or row.change} ({row.change})" if row.what else str(row.change)
            words = f"{what}: mean tumour F1 {ratio(start)} to {ratio(mean)}"
            changes.append(_Change(mean - start, words))
    if not changes:
        return None
    chosen = (max if largest else min)(changes, key=lambda change: change.difference)
    hoped = chosen.difference > 0 if largest else chosen.difference < 0
    return chosen if hoped else replace(chosen, words=f"nothing; the nearest is {chosen.words}")


def _context(results: Results) -> Iterator[str]:
    known = [(row, mean) for row in results.context if (mean := row.mean_f1) is not None]
    if known:
        row, mean = max(known, key=lambda pair: pair[1])
        least = min(value for _, value in known)
        yield (
            f"Of {len(known)} amounts, {row.context} is best: mean tumour F1 {ratio(mean)},"
            f" {ratio(mean - least)} above the worst; no test was made."
        )
    unlike = [row for row in results.context if row.differs_from_whole is not None]
    if unlike:
        listed = ", ".join(f"{row.context}: {percent(row.differs_from_whole)}" for row in unlike)
        yield f"Voxels that differ from the whole volume’s prediction, by context – {listed}."


def _finds_all(group: Group) -> bool:
    return all(_f1(group, key) for key in TUMOUR)


def _says_nothing(group: Group) -> bool:
    """No tumour voxel predicted: precision is undefined, and background is never missed."""
    tumour = [group.score(key) for key in TUMOUR]
    background = group.background
    return (
        background is not None
        and background.recall == 1
        and all(score is not None and score.precision is None for score in tumour)
    )


def _f1(group: Group, key: str) -> float | None:
    score = group.score(key)
    return None if score is None else score.f1


def _real(results: Results, name: str) -> Group | None:
    system = results.systems.get(name)
    return system.real if system else None


def _mean_of(group: Group | None) -> float | None:
    return group.mean_f1 if group else None
