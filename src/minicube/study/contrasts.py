"""What a study sets against each other: systems, single changes, amounts of context."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Final

from minicube._files import read_json
from minicube.evaluation import compare, holm
from minicube.scans import Region
from minicube.study.folder import StudyFolder, context_unit
from minicube.study.scoring import Group, Scorer
from minicube.study.setting import Plan
from minicube.study.systems import SYSTEMS, ablation_rows
from minicube.study.units import CONTEXT_SYSTEM, CONTEXTS, REAL, Unit

__all__ = ["SUSPICIONS", "ablation", "comparisons", "contexts"]

SUSPICIONS: Final[Mapping[str, str]] = {
    "intensities": "intensities went in as the scanner gives them, never normalised",
    "normalisation layers": "the 3D networks had none",
    "ReLU at the output": "a ReLU after the last convolution keeps every logit from going below 0",
    "activation": "sigmoid, though the classes exclude each other",
    "sampling": "every minicube counted alike, though 98 % of the voxels are background",
    "shuffling": "cases always came in the same order",
    "optimiser, rate and schedule": "Adam at 0.01, never lowered and never clipped",
    "depth": "the report’s own suspicion: too few levels",
    "width": "few channels, to fit the report’s graphics card",
    "loss": "the report’s own suspicion for its first trials: Focal-Tversky, with the exponent γ"
    " where its source has 1/γ; its results are of weighted Dice",
    "loss, activation, weights": "the loss as a whole: each part may need the others",
    "augmentation": "the report considered it and left it out",
    "crop": "the report cut every head to 192 × 192 × 160",
}
"""What the rows of the ablation ask: by what they change, why it may have kept the networks from
learning."""


def comparisons(groups: Mapping[str, Mapping[str, Group]]) -> list[dict[str, Any]]:
    """Paired tests of Dice between the repaired systems on real cases, one family a region."""
    names = [n for n in groups if not SYSTEMS[n].as_reported and REAL in groups[n]]
    cases = {n: {o.facts.case: o.scores for o in groups[n][REAL].outcomes} for n in names}
    found: list[dict[str, Any]] = []
    for region in Region:
        family: list[dict[str, Any]] = []
        for first, second in itertools.combinations(names, 2):
            pairs = [
                (a, b)
                for case in sorted(cases[first].keys() & cases[second].keys())
                if (a := cases[first][case].regions[region].dice) is not None
                and (b := cases[second][case].regions[region].dice) is not None
            ]
            if not pairs:
                continue
            test = compare([a for a, _ in pairs], [b for _, b in pairs])
            family.append(
                {
                    "first": first,
                    "second": second,
                    "region": region.value,
                    "n": test.n,
                    "mean_difference": test.mean_difference,
                    "interval": [test.low, test.high],
                    "p": test.p,
                }
            )
        for row, adjusted in zip(family, holm([row["p"] for row in family]), strict=True):
            found.append({**row, "p_holm": adjusted})
    return found


def ablation(
    folder: StudyFolder, plan: Plan, made: Sequence[Unit], scorer: Scorer
) -> dict[str, Any] | None:
    """One thing changed a row, scored on the real cases of one fold."""
    units = {unit.name: unit for unit in made if unit.system == "ablation"}
    if not units:
        return None
    sides: dict[str, Any] = {"repaired": {"rows": []}, "as_reported": {"rows": []}}
    for row in ablation_rows():
        unit = units.get(row.name)
        if unit is None:
            continue
        group = scorer.group([(unit.name, case) for case in unit.tests], REAL)
        if group is None:
            continue
        values = {
            "what": row.what,
            "change": row.change,
            "suspicion": SUSPICIONS.get(row.what),
            "f1": group.f1,
            "mean": group.mean_f1,
            "steps": unit.config.steps,
            "diverged": read_json(folder.unit(unit.name))["diverged"],
        }
        if row.change:
            sides[row.side]["rows"].append(values)
        else:
            sides[row.side]["base"] = values
    tested = next(iter(units.values()))
    return {
        "minutes": plan.setting.ablation_minutes,
        "fold": tested.fold,
        "n": len(tested.tests),
        **sides,
    }


def contexts(
    plan: Plan,
    made: Sequence[Unit],
    scorer: Scorer,
    groups: Mapping[str, Mapping[str, Group]],
) -> list[dict[str, Any]]:
    """The system without context, its minicubes predicted with ever more of it."""
    without = groups.get(CONTEXT_SYSTEM, {}).get(REAL)
    if without is None:
        return []
    units = [
        unit
        for unit in made
        if unit.system == CONTEXT_SYSTEM
        and unit.fold is not None
        and unit.seed == plan.setting.seeds[0]
    ]
    real = {case.case for case in plan.cases if case.group == REAL}
    where = {case: unit.name for unit in units for case in unit.tests if case in real}
    whole = context_unit("whole volume")
    rows = []
    for context in ("0", *CONTEXTS):
        if context == "0":
            group: Group | None = without
        else:
            group = scorer.group([(context_unit(context), case) for case in where], REAL)
        if group is None:
            continue
        unlike = [
            scorer.disagreement(where[c] if context == "0" else context_unit(context), whole, [c])
            for c in where
        ]
        known = [share for share in unlike if share is not None]
        rows.append(
            {
                "context": int(context) if context.isdecimal() else context,
                "f1": group.f1,
                "mean": group.mean_f1,
                "n": len(group.outcomes),
                "seam_ratio": group.seams.ratio,
                "differs_from_whole": sum(known) / len(known) if known else None,
            }
        )
    return rows
