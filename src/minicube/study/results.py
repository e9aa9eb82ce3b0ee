"""Every table of a study, made from its plan, what its trainings wrote down and its predictions."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import which
from types import MappingProxyType
from typing import Any, Final

from minicube._files import read_json
from minicube._version import __version__
from minicube.evaluation import CLASSES, CaseScores
from minicube.networks import build_network
from minicube.scans import Region
from minicube.study.contrasts import ablation, comparisons, contexts
from minicube.study.folder import StudyFolder
from minicube.study.material import Source
from minicube.study.scoring import KEYS, Group, Scorer
from minicube.study.setting import CaseFacts, Plan
from minicube.study.systems import SYSTEMS, System
from minicube.study.units import PHANTOM, REAL, Unit, units_of

__all__ = ["compute_results", "fingerprint", "setting_of"]

_GROUPS: Final = (REAL, PHANTOM)


def compute_results(folder: StudyFolder, plan: Plan, source: Source) -> dict[str, Any]:
    """Compute ``results.json``; what was not run yet is left out or None, nothing is NaN.

    Args:
        folder: With predictions and what trainings wrote down.
        plan: Of the study.
        source: Of the references.

    Raises:
        InputError: A prediction or reference cannot be read.
    """
    units = units_of(plan)
    made = [unit for unit in units if folder.unit(unit.name).exists()]
    scorer = Scorer(folder, plan, source)
    systems = {}
    groups: dict[str, dict[str, Group]] = {}
    for name, system in SYSTEMS.items():
        own = [unit for unit in made if unit.system == name]
        if any(unit.fold is not None for unit in own):
            groups[name] = _groups(plan, own, scorer)
            systems[name] = _system(folder, plan, system, own, groups[name], scorer)
    return {
        "format": 1,
        "minicube": __version__,
        "commit": _commit(),
        "config_hash": fingerprint(units, _configs(folder, made)),
        "finished": len(made) == len(units),
        "trainings": {"made": len(made), "planned": len(units)},
        "setting": setting_of(plan, units),
        "data": _data(plan),
        "systems": systems,
        "comparisons": comparisons(groups),
        "ablation": ablation(folder, plan, made, scorer),
        "context": contexts(plan, made, scorer, groups),
        "policy": _policy(groups),
    }


def fingerprint(units: Sequence[Unit], made: Mapping[str, Any] = MappingProxyType({})) -> str:
    """Identifies what a study trains: SHA-256 of every training's config and cases.

    Args:
        units: All of the study.
        made: Of those that are done the config they wrote down, which may be of a version
            that had fewer keys.
    """
    values = {
        unit.name: [
            made.get(unit.name) or unit.config.model_dump(mode="json"),
            unit.learns_from,
            unit.tests,
            unit.start,
        ]
        for unit in units
    }
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _configs(folder: StudyFolder, made: Sequence[Unit]) -> dict[str, Any]:
    return {unit.name: read_json(folder.unit(unit.name))["config"] for unit in made}


def setting_of(plan: Plan, units: Sequence[Unit]) -> dict[str, Any]:
    """Return what every training was given, minutes as they were spent."""
    asked = plan.setting
    pretrained = any(unit.start is not None for unit in units)
    learnt = {case.group for case in plan.cases if case.group == REAL or case.fold is None}
    planned = {unit.system for unit in units}
    return {
        "systems": {name: system.title for name, system in SYSTEMS.items() if name in planned},
        "minutes": asked.minutes,
        "pretraining_minutes": asked.minutes * asked.pretraining_share if pretrained else 0,
        "real_share": asked.real_share if learnt == {*_GROUPS} else None,
        "ablation_minutes": asked.ablation_minutes,
        "folds": len(plan.folds),
        "seeds": list(asked.seeds),
        "threads": asked.threads,
        "processor": plan.processor,
        "phantoms": {"train": asked.phantoms, "test": asked.unseen_phantoms},
        "data": plan.data,
    }


def _data(plan: Plan) -> dict[str, Any]:
    listed = [c for c in plan.cases if c.fold is not None or c.group == REAL]
    cases = [
        {
            "case": case.case,
            "group": case.group,
            "fold": case.fold,
            "voxels": dict(zip(KEYS.values(), case.voxels, strict=True)),
            "enhancement": case.voxels[-1] > 0,
        }
        for case in listed
    ]
    table = []
    real = [case for case in plan.cases if case.group == REAL] or list(plan.cases)
    for fold in plan.folds:
        for words, members in (
            ("train", [case for case in real if case.fold != fold]),
            ("test", [case for case in real if case.fold == fold]),
        ):
            table += _table_one(f"fold {fold + 1}, {words}", members)
    return {"cases": cases, "table1": table}


def _table_one(name: str, cases: Sequence[CaseFacts]) -> list[dict[str, Any]]:
    totals = [sum(case.voxels[i] for case in cases) for i in range(len(KEYS))]
    everything = sum(totals)
    return [
        {
            "set": name,
            "class": key,
            "voxels": voxels,
            "proportion": voxels / everything if everything else None,
        }
        for key, voxels in zip(KEYS.values(), totals, strict=True)
    ]


def _groups(plan: Plan, units: Sequence[Unit], scorer: Scorer) -> dict[str, Group]:
    """Outcomes of the first seed, whose trainings test every case once."""
    first = plan.setting.seeds[0]
    predictions = [
        (unit.name, case)
        for unit in units
        if unit.fold is not None and unit.seed == first
        for case in unit.tests
    ]
    found = {name: scorer.group(predictions, name) for name in _GROUPS}
    return {name: group for name, group in found.items() if group is not None}


def _system(
    folder: StudyFolder,
    plan: Plan,
    system: System,
    units: Sequence[Unit],
    groups: Mapping[str, Group],
    scorer: Scorer,
) -> dict[str, Any]:
    config = system.config
    network = build_network(config.network_config)
    notes = {unit.name: read_json(folder.unit(unit.name)) for unit in units}
    tested = [unit for unit in units if unit.fold is not None]
    return {
        "title": system.title,
        "as_reported": system.as_reported,
        "note": system.note or None,
        "network": {
            "name": config.network.value,
            "widths": list(config.widths),
            "parameters": network.parameter_count,
            "receptive_field": list(network.receptive_field),
            "halo": list(network.halo),
            "cut": None
            if config.minicube is None
            else {"minicube": list(config.minicube), "context": config.context},
        },
        **{name: _group(group) for name, group in groups.items()},
        "curves": [
            {"fold": unit.fold, "seed": unit.seed, "points": notes[unit.name]["curve"]}
            for unit in tested
        ],
        "diverged": [
            {"unit": unit.name, "fold": unit.fold, "seed": unit.seed, "step": step}
            for unit in units
            if (step := notes[unit.name]["diverged"]) is not None
        ],
        "seeds": _seeds(tested, scorer),
        "cost": _cost(plan, system, units, notes, network.parameter_count),
    }


def _group(group: Group) -> dict[str, Any]:
    summary, seams = group.summary, group.seams
    classes = {
        KEYS[tissue]: {
            "precision": score.pooled.precision,
            "recall": score.pooled.recall,
            "f1": score.pooled.dice,
            "n": len(group.outcomes),
            "n_empty": score.n_empty,
        }
        for tissue, score in summary.classes.items()
    }
    return {
        **classes,
        "confusion": summary.confusion.matrix.tolist(),
        "regions": {region.value: _region(group, region) for region in Region},
        "cases": [_case(outcome.facts, outcome.scores) for outcome in group.outcomes],
        "seams": {
            "at_faces": seams.rate_at_faces,
            "interior": seams.rate_inside,
            "ratio": seams.ratio,
            "reference_ratio": group.reference_seams.ratio,
            "n": sum(outcome.seams.at_faces > 0 for outcome in group.outcomes),
        },
    }


def _region(group: Group, region: Region) -> dict[str, Any]:
    summary = group.summary.regions[region]
    spreads = {
        "dice": summary.dice,
        "hd95": summary.hd95,
        "nsd": summary.nsd,
        "lesion_dice": None if summary.lesions is None else summary.lesions.dice,
        "lesion_hd95": None if summary.lesions is None else summary.lesions.hd95,
    }
    return {
        name: {"interval": None, **spread.to_dict(), "n": spread.n, "n_empty": summary.n_empty}
        for name, spread in spreads.items()
        if spread is not None
    }


def _case(facts: CaseFacts, scores: CaseScores) -> dict[str, Any]:
    return {
        "case": facts.case,
        "fold": facts.fold,
        "regions": {
            region.value: {
                "dice": score.dice,
                **({} if score.surface is None else score.surface.to_dict()),
            }
            for region, score in scores.regions.items()
        },
        "classes": {
            KEYS[tissue]: {
                **scores.classes[tissue].counts.to_dict(),
                "f1": scores.classes[tissue].dice,
            }
            for tissue in CLASSES
        },
        "confusion": scores.confusion.matrix.tolist(),
    }


def _seeds(units: Sequence[Unit], scorer: Scorer) -> list[dict[str, Any]]:
    """F1 on the real cases of the first fold, for every seed that it was trained with."""
    found = []
    for unit in units:
        if unit.fold != 0:
            continue
        group = scorer.group([(unit.name, case) for case in unit.tests], REAL)
        if group is not None:
            found.append({"seed": unit.seed, "fold": unit.fold, "f1": group.f1})
    return found


def _cost(
    plan: Plan,
    system: System,
    units: Sequence[Unit],
    notes: Mapping[str, Mapping[str, Any]],
    parameters: int,
) -> dict[str, Any]:
    """Of one fold's training, what it begins with included: means over folds, largest peaks."""
    first = plan.setting.seeds[0]
    tested = [u for u in units if u.fold is not None and u.seed == first]
    before = [u for u in units if u.fold is None]

    def seconds(unit: Unit) -> Mapping[str, float]:
        spent: Mapping[str, float] = notes[unit.name]["seconds"]
        return spent

    causes = sorted({cause for unit in units for cause in seconds(unit)})
    by_cause = {
        cause: sum(seconds(u).get(cause, 0.0) for u in before)
        + sum(seconds(u).get(cause, 0.0) for u in tested) / len(tested)
        for cause in causes
    }
    predicted = [s for u in tested for s in notes[u.name]["prediction_seconds"].values()]
    peaks = [notes[unit.name]["peak_bytes"] for unit in units]
    by_peak = {
        cause: max((p[cause] for p in peaks if p.get(cause) is not None), default=None)
        for cause in ("imports", "training", "prediction")
    }
    return {
        "seconds": sum(by_cause.values()),
        "peak_bytes": max((p for p in by_peak.values() if p is not None), default=None),
        "parameters": parameters,
        "steps": sum(u.config.steps for u in before) + tested[0].config.steps,
        "seconds_a_step": plan.seconds_a_step.get(system.name),
        "seconds_by_cause": by_cause,
        "seconds_to_segment": sum(predicted) / len(predicted) if predicted else None,
        "peak_by_cause": by_peak,
    }


def _policy(groups: Mapping[str, Mapping[str, Group]]) -> str | None:
    for group in (g for found in groups.values() for g in found.values()):
        return " ".join(group.summary.words())
    return None


def _commit() -> str | None:
    """Of the checkout this code lies in; None for an installed package."""
    here = Path(__file__).resolve().parents[3]
    if not (here / ".git").exists():
        return None
    if which("git") is None:
        return None
    command = ["git", "-C", os.fspath(here), "describe", "--always", "--dirty", "--abbrev=40"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None
