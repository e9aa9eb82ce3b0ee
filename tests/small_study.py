"""A made-up results.json of a study, whole: the format that the study writes, not its numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

TITLES = {
    "segnet": "Exploratory CNN",
    "unet2d": "2D U-Net",
    "unet3d-report": "3D U-Net without context",
    "unet3d-context": "3D U-Net with context",
    "vnet": "V-Net",
}
SKILL = {
    "segnet": 0.55,
    "unet2d": 0.75,
    "unet3d-report": 0.8,
    "unet3d-context": 0.85,
    "vnet": 0.7,
}
CLASSES = ("background", "edema", "non_enhancing", "enhancing")
TUMOUR = CLASSES[1:]
VOXELS = (105_000_000, 700_000, 350_000, 280_000)


def made_up_results() -> dict[str, Any]:
    """Every key of format 1, for five systems, four of them in both settings."""
    rng = np.random.default_rng(5)
    systems = {}
    for name in TITLES:
        if name != "vnet":  # the report discusses it and did not run it
            systems[f"{name}-as-reported"] = _system(name, rng, as_reported=True)
        systems[name] = _system(name, rng, as_reported=False)
    return {
        "format": 1,
        "minicube": "0.2.0",
        "commit": "abc1234",
        "config_hash": "0123456789abcdef",
        "finished": True,
        "trainings": {"made": 71, "planned": 71},
        "setting": {
            "systems": {name: system["title"] for name, system in systems.items()},
            "minutes": 20.0,
            "pretraining_minutes": 12.0,
            "real_share": 2 / 3,
            "folds": 3,
            "seeds": [0, 1],
            "threads": 2,
            "processor": "Some Processor 3000",
            "phantoms": {"train": 96, "test": 6},
            "data": "real",
            "ablation_minutes": 4.0,
        },
        "data": {"cases": _cases(), "table1": _table1()},
        "systems": systems,
        "comparisons": _comparisons(),
        "ablation": _ablation(),
        "context": [
            {
                "context": context,
                "f1": dict(zip(TUMOUR, (0.6 + gain, 0.5 + gain, 0.55 + gain), strict=True)),
                "mean": 0.55 + gain,
                "n": 12,
                "seam_ratio": ratio,
                "differs_from_whole": differs,
            }
            for context, gain, ratio, differs in (
                (0, 0.0, 1.9, 0.0041),
                (10, 0.02, 1.4, 0.0012),
                (20, 0.03, 1.2, 0.0004),
                ("whole volume", 0.035, 1.01, 0.0),
            )
        ],
        "policy": "Where neither has the class, Dice is 1; a false alarm scores 0.",
    }


def confusion_of(skill: float) -> list[list[int]]:
    """Voxels: predictions as rows, reference as columns; without skill all is background."""
    counts = np.zeros((4, 4), np.int64)
    for column, voxels in enumerate(VOXELS):
        right = 0.999 if column == 0 else skill
        counts[column, column] = round(voxels * right) if skill else 0
        others = [row for row in range(4) if row != column]
        rest = voxels - counts[column, column]
        if not skill:
            counts[0, column] = voxels
            continue
        parts = [rest // 3, rest // 3, rest - 2 * (rest // 3)]
        for row, part in zip(others, parts, strict=True):
            counts[row, column] = part
    rows: list[list[int]] = counts.tolist()
    return rows


def _scores(confusion: list[list[int]]) -> dict[str, Any]:
    counts = np.array(confusion)
    scores = {}
    for i, name in enumerate(CLASSES):
        tp, predicted, reference = counts[i, i], counts[i].sum(), counts[:, i].sum()
        scores[name] = {
            "precision": float(tp / predicted) if predicted else None,
            "recall": float(tp / reference),
            "f1": float(2 * tp / (predicted + reference)),
            "n": 12,
            "n_empty": 2 if name == "enhancing" else 0,
        }
    return scores


def _group(skill: float, rng: np.random.Generator) -> dict[str, Any]:
    confusion = confusion_of(skill)

    def spread(value: float, width: float) -> dict[str, Any]:
        ends = [value - width, value + width]
        return {"mean": value, "median": value * 1.02, "interval": ends, "n": 12, "n_empty": 0}

    regions = {
        region: {
            "dice": spread(skill * part, 0.06),
            "hd95": spread(40 - 30 * skill * part, 5.0),
            "nsd": spread(skill * part * 0.7, 0.05),
            "lesion_dice": spread(skill * part * 0.6, 0.08),
        }
        for region, part in (("WT", 1.0), ("TC", 0.85), ("ET", 0.8))
    }
    cases = [
        {
            "case": f"case-{i:02d}",
            "fold": i % 3,
            "regions": {
                r: {"dice": float(rng.uniform(0.3, 0.9)), "hd95": 9.0, "nsd": 0.5}
                for r in ("WT", "TC", "ET")
            },
            "classes": {c: {"tp": 5, "fp": 2, "fn": 1, "f1": 0.77} for c in TUMOUR},
        }
        for i in range(12)
    ]
    seams = {
        "at_faces": 0.012 * (2 - skill),
        "interior": 0.01,
        "ratio": 1.2 * (2 - skill),
        "reference_ratio": 1.01,
        "n": 12,
    }
    return {
        **_scores(confusion),
        "confusion": confusion,
        "regions": regions,
        "cases": cases,
        "seams": seams,
    }


def _system(name: str, rng: np.random.Generator, *, as_reported: bool) -> dict[str, Any]:
    skill = 0.0 if as_reported else SKILL[name]
    steps = 120 if as_reported else 480
    return {
        "title": TITLES[name],
        "as_reported": as_reported,
        "note": "narrower than 64-128-256: 16-32-64" if name == "unet3d-context" else None,
        "network": {
            "name": name,
            "widths": [16, 32, 64, 96],
            "parameters": 1_624_692,
            "receptive_field": [204, 204, 1] if name == "unet2d" else [116, 116, 116],
            "halo": [94, 94, 0] if name == "unet2d" else [54, 54, 54],
            "cut": {"minicube": [96, 96, 80], "context": 0} if name != "vnet" else None,
        },
        "real": _group(skill, rng),
        "phantom": _group(min(1.0, skill * 1.1), rng),
        "curves": [
            {"fold": fold, "seed": seed, "points": _curve(steps, skill, rng)}
            for fold in range(3)
            for seed in range(2)
        ],
        "diverged": [],
        "seeds": [
            {
                "seed": seed,
                "fold": 0,
                "f1": dict.fromkeys(TUMOUR, skill * 0.8 + 0.02 * seed if skill else 0.0),
            }
            for seed in range(2)
        ],
        "cost": {
            "seconds": 1234.5,
            "peak_bytes": 1_934_567_890,
            "parameters": 1_624_692,
            "steps": steps,
            "seconds_a_step": 1.31,
            "seconds_by_cause": {
                "loading": 20.0,
                "augmentation": 130.0 * (not as_reported),
                "network": 900.0 * (1 + skill),
                "scoring": 60.0,
            },
            "peak_by_cause": {
                "imports": 400_000_000,
                "training": 1_934_567_890,
                "prediction": 900_000_000,
            },
        },
    }


def _curve(steps: int, skill: float, rng: np.random.Generator) -> list[dict[str, float]]:
    points = []
    for step in range(0, steps + 1, 40):
        train = 1.8 * np.exp(-2 * skill * step / steps) + rng.normal(0, 0.02)
        test = train + 0.25 * step / steps * skill + rng.normal(0, 0.02)
        points.append({"step": step, "train": float(train), "test": float(test)})
    return points


def _cases() -> list[dict[str, Any]]:
    return [
        {
            "case": f"{group}-{i:02d}",
            "group": group,
            "fold": i % 3 if group == "real" else None,
            "voxels": {c: v // 12 for c, v in zip(CLASSES, VOXELS, strict=True)},
            "enhancement": i % 6 != 0,
        }
        for group, count in (("real", 12), ("phantom", 6))
        for i in range(count)
    ]


def _table1() -> list[dict[str, Any]]:
    total = sum(VOXELS)
    return [
        {
            "set": f"fold {fold}, {part}",
            "class": name,
            "voxels": voxels * share // 12,
            "proportion": voxels / total,
        }
        for fold in (1, 2, 3)
        for part, share in (("train", 8), ("test", 4))
        for name, voxels in zip(CLASSES, VOXELS, strict=True)
    ]


def _comparisons() -> list[dict[str, Any]]:
    rows = []
    for first, second, gain, p in (
        ("unet3d-report", "unet2d", 0.04, 0.01),
        ("unet2d", "unet3d-context", -0.07, 0.0004),
        ("unet3d-context", "unet3d-report", 0.02, 0.3),
    ):
        rows += [
            {
                "first": first,
                "second": second,
                "region": region,
                "n": 12,
                "mean_difference": gain * part,
                "interval": [gain * part - 0.03, gain * part + 0.03],
                "p": p,
                "p_holm": min(1.0, 3 * p),
            }
            for region, part in (("WT", 1.0), ("TC", 1.2), ("ET", 0.9))
        ]
    return rows


def _ablation() -> dict[str, Any]:
    def row(mean: float, **words: Any) -> dict[str, Any]:
        f1 = dict(zip(TUMOUR, (mean + 0.1, mean - 0.1, mean), strict=True))
        return {"f1": f1, "mean": mean, "steps": 170, **words}

    changes = (
        ("normalisation of intensities", "raw intensities", 0.31, 0.02),
        ("normalisation layers", "none", 0.35, 0.0),
        ("loss", "Focal-Tversky", 0.44, 0.0),
        ("depth", "three levels", 0.43, 0.0),
        ("learning rate", "0.01, constant", 0.38, 0.05),
        ("augmentation", "none", 0.49, 0.0),
    )
    return {
        "minutes": 4.0,
        "fold": 0,
        "n": 4,
        "repaired": {
            "base": row(0.47),
            "rows": [
                row(r, what=w, change=c, suspicion=f"why {w}", diverged=None)
                for w, c, r, _ in changes
            ],
        },
        "as_reported": {
            "base": {"f1": dict.fromkeys(TUMOUR, 0.0), "mean": 0.0, "steps": 160},
            "rows": [
                {
                    "what": w,
                    "change": f"not {c}",
                    "suspicion": f"why {w}",
                    "f1": dict.fromkeys(TUMOUR, b),
                    "mean": b,
                    "diverged": 31 if w == "learning rate" else None,
                }
                for w, c, _, b in changes
            ],
        },
    }
