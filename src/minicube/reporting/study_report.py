"""The report of a study, finished or still running, read from its folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from markupsafe import Markup

from minicube.reporting.html import page
from minicube.reporting.study_answers import NOT_RUN, answers
from minicube.reporting.study_charts import Heat, heat_table, learning_curves
from minicube.reporting.study_costs import (
    ablation_table,
    ablation_words,
    context_table,
    costs_table,
    peaks_table,
    seconds_bars,
    seeds_table,
    suspicions,
)
from minicube.reporting.study_figures import COMPOSITE, PREDICTIONS, SWEEP
from minicube.reporting.study_pictures import album
from minicube.reporting.study_results import Ablation, Results, Setting, read_results
from minicube.reporting.study_tables import (
    case_scores_table,
    cases_table,
    comparisons_table,
    divergence,
    group_of,
    regions_table,
    seams_table,
    systems_table,
    table_1,
    table_2,
)
from minicube.reporting.tables import Table, percent

__all__ = ["study_report"]

_PARTITION: Final = ("partition", "network-partition")
_NETWORKS: Final = ("network",)
_KINDS: Final = {"real": "Real cases", "phantom": "Phantoms"}


@dataclass(frozen=True)
class _Figure:
    """One system in one setting: a confusion matrix or a chart, whichever there is."""

    title: str
    heat: Heat | None = None
    chart: Markup | None = None
    note: str = ""


def study_report(folder: Path) -> str:
    """Return the report of a study: what was asked, how, what came out, and what it cost.

    Args:
        folder: Holds ``results.json``, and pictures (PNG, WebP, GIF, SVG) in ``pictures``: names
            that begin with ``composite`` are Figure 1, ``partition`` Figure 2, ``network``
            Figure 3, ``predictions`` Figure 6, ``sweep`` the animation; others come last. What
            is not there yet is said to be not run yet.

    Returns:
        One HTML page, with its pictures at most about 4 MB, that needs no other file.

    Raises:
        InputError: There is no ``results.json``, or it is not one that a study writes.
    """
    results = read_results(folder / "results.json")
    pictures = album(folder / "pictures", (COMPOSITE, PREDICTIONS, SWEEP, *_PARTITION, *_NETWORKS))
    return page(
        "study.html.j2",
        not_run=NOT_RUN,
        finished=results.finished,
        progress=_progress(results),
        tiles=_tiles(results),
        answers=answers(results),
        how=_how(results),
        setting=_setting(results),
        table_1=table_1(results),
        cases=cases_table(results),
        composites=pictures.take(COMPOSITE),
        systems=systems_table(results),
        partitions=pictures.take(*_PARTITION),
        networks=pictures.take(*_NETWORKS),
        tables_2=_by_kind({kind: table_2(results, kind) for kind in _KINDS}),
        confusions=_confusions(results),
        curves=_curves(results),
        after_pretraining=bool(results.setting.pretraining_minutes),
        predictions=pictures.take(PREDICTIONS),
        sweeps=pictures.take(SWEEP),
        regions=_by_kind({kind: regions_table(results, kind) for kind in _KINDS}),
        case_scores=case_scores_table(results),
        comparisons=comparisons_table(results),
        seams=seams_table(results),
        seeds=seeds_table(results),
        costs=costs_table(results),
        peaks=peaks_table(results),
        bars=seconds_bars(results),
        ablation=_ablation(results.ablation),
        ablation_words=ablation_words(results),
        suspicions=suspicions(results.ablation),
        context=context_table(results),
        others=pictures.take(),
        left_out=pictures.left_out,
        facts=_origin(results),
    )


def _tiles(results: Results) -> dict[str, str]:
    setting, groups = results.setting, [case.group for case in results.data.cases]
    real = sum(group == "real" for group in groups)
    tiles = {"networks": str(len(results.names)) if results.names else None}
    tiles["real cases"] = str(real) if real else None
    tiles["folds"] = _words(setting.folds)
    tiles["seeds"] = str(len(setting.seeds)) if setting.seeds else None
    tiles["minutes each"] = None if setting.minutes is None else f"{setting.minutes:g}"
    return {heading: value for heading, value in tiles.items() if value is not None}


def _setting(results: Results) -> dict[str, str]:
    setting = results.setting
    facts = {
        "data": setting.data,
        "phantoms": _phantoms(setting),
        "folds": _words(setting.folds),
        "seeds": _seeds(setting),
        "minutes of training, each system and fold": _minutes(setting.minutes),
        "of these on phantoms alone, first": _minutes(setting.pretraining_minutes),
        "minutes of each base of the ablation": _minutes(setting.ablation_minutes),
        "threads": _words(setting.threads),
        "processor": setting.processor,
    }
    return {name: value for name, value in facts.items() if value is not None}


def _how(results: Results) -> tuple[str, ...]:
    """What every system was given, in sentences."""
    setting = results.setting
    ways = {name: results.ways(name) for name in results.names}
    paired = any(len(both) == 2 for both in ways.values())
    sentences = []
    if setting.minutes is not None:
        who = "Every system, repaired or as reported," if paired else "Every system"
        words = [f"{who} trains for {setting.minutes:g} processor minutes for each fold"]
        if before := setting.pretraining_minutes:
            words.append(f": the first {before:g} on phantoms alone, once for all folds and seeds,")
            words.append(f" the other {setting.minutes - before:g} on the cases it learns from")
        if setting.real_share is not None:
            share = percent(setting.real_share, 0)
            words.append(f", {share} of an epoch real and the rest phantoms")
        sentences.append("".join(words) + ".")
    alone = [results.title(name) for name, both in ways.items() if "as reported" not in both]
    if alone and paired:
        sentences.append(f"{', '.join(alone)}: repaired alone, since the report did not run it.")
    return (*sentences, "Scores are of cases that a training never learnt from.")


def _progress(results: Results) -> str:
    made, planned = results.trainings.get("made"), results.trainings.get("planned")
    return "" if made is None or planned is None else f"{made} of {planned} trainings are made. "


def _seeds(setting: Setting) -> str | None:
    first, *more = setting.seeds or (None,)
    others = f", and on the first fold {', '.join(map(str, more))}" if more else ""
    return None if first is None else f"{first}{others}"


def _origin(results: Results) -> dict[str, str]:
    facts = {
        "made by": None if results.minicube is None else f"minicube {results.minicube}",
        "commit": results.commit,
        "config hash": results.config_hash,
        "state": "finished" if results.finished else "not finished",
    }
    return {name: value for name, value in facts.items() if value is not None}


def _phantoms(setting: Setting) -> str | None:
    counts = {name: count for name, count in setting.phantoms.items() if count is not None}
    return ", ".join(f"{count} to {name}" for name, count in counts.items()) or None


def _by_kind(tables: Mapping[str, Table | None]) -> dict[str, Table | None]:
    """Real cases always have their place; phantoms only when there are any."""
    return {
        _KINDS[kind]: table for kind, table in tables.items() if kind == "real" or table is not None
    }


def _confusions(results: Results) -> list[_Figure]:
    """As reported and repaired side by side, on real cases."""
    figures = []
    for name in results.names:
        for way, system in results.ways(name).items():
            group = group_of(system, "real")
            heat = heat_table(group.confusion) if group else None
            figures.append(_Figure(f"{results.title(name)}, {way}", heat=heat))
    return figures if any(figure.heat for figure in figures) else []


def _curves(results: Results) -> list[_Figure]:
    figures = []
    for name in results.names:
        for way, system in results.ways(name).items():
            title = f"{results.title(name)}, {way}"
            drawn = learning_curves(system.curves, f"Loss of {title}") if system else None
            chart, note = drawn or (None, "")
            if stopped := divergence(system):
                note += f"; {stopped}"
            figures.append(_Figure(title, chart=chart, note=note))
    return figures if any(figure.chart for figure in figures) else []


def _ablation(ablation: Ablation | None) -> dict[str, Table | None]:
    return {
        "From the repaired side: one repair taken back": ablation_table(
            ablation.repaired if ablation else None
        ),
        "From the report’s setting: one repair made": ablation_table(
            ablation.as_reported if ablation else None
        ),
    }


def _minutes(value: float | None) -> str | None:
    return None if value is None else f"{value:g}"


def _words(value: int | None) -> str | None:
    return None if value is None else str(value)
