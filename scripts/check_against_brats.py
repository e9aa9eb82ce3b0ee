"""Compare our lesion-wise scores with those of the official ``brats-evaluation``.

That package is AGPL: it is no dependency, is not imported, and runs as a program of its own, in an
environment of its own:

    python -m venv official && official/bin/pip install brats-evaluation==0.0.10
    python scripts/check_against_brats.py official/bin/python \
        --predictions FOLDER --references FOLDER --labels brats2021

A prediction belongs to the reference whose name its own name ends with. Every number must agree to
10⁻⁹; the exit code is 1 when one does not. ``--write`` keeps the official numbers for the tests.

What is compared is what that package measures (with panoptica 2.1.7): components matched one to
one by Dice; mean Dice and HD95 of the matched ones; Dice and HD95 of the whole region, HD95 as the
percentile of both directions pooled. Two of its habits are followed here, and nowhere else: it
applies the spacing to the axes in reverse order, and measures whole regions in voxels. On a grid of
1 mm neither shows.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import nibabel as nib

from minicube._errors import InputError
from minicube.evaluation import (
    BRATS2026_LESIONS,
    confusion,
    lesion_scores,
    surface_distances,
)
from minicube.scans import LabelMap, LabelScheme, Region, read_labels

TOLERANCE = 1e-9
Numbers = dict[str, float | None]


def main() -> int:
    """Run the official program, score the same cases here, and print the largest differences."""
    arguments = _arguments()
    pairs = _pairs(arguments.predictions, arguments.references)
    scheme = LabelScheme(arguments.labels)
    official, versions = _official(arguments.interpreter, pairs, scheme)
    worst: dict[str, float] = {}
    for name, (prediction, reference) in pairs.items():
        for region, numbers in _ours(prediction, reference, scheme).items():
            for what, value in numbers.items():
                apart = _apart(value, official[name][region][what])
                worst[what] = max(worst.get(what, 0.0), apart)
                if apart > TOLERANCE:
                    print(f"{name} {region} {what}: {value} here, {official[name][region][what]}")
    print(f"{len(pairs)} cases, {len(Region)} regions, against {versions}")
    for what, apart in worst.items():
        print(f"  {what:16} largest difference {apart:.2g}")
    if arguments.write is not None:
        kept = {"source": versions, "cases": official}
        arguments.write.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return int(any(apart > TOLERANCE for apart in worst.values()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("interpreter", type=Path, help="Python of the official environment")
    parser.add_argument("--predictions", type=Path, required=True, nargs="+", help="folders")
    parser.add_argument("--references", type=Path, required=True, help="folder")
    parser.add_argument("--labels", default="brats2023", help="scheme of all files")
    parser.add_argument("--write", type=Path, help="JSON file for the official numbers")
    return parser.parse_args()


def _pairs(folders: list[Path], references: Path) -> dict[str, tuple[Path, Path]]:
    """Prediction and reference by ``<folder>/<reference>``."""
    found = {
        f"{folder.name}/{reference.name.removesuffix('.nii.gz')}": (prediction, reference)
        for folder in folders
        for reference in sorted(references.glob("*.nii.gz"))
        for prediction in sorted(folder.glob("*.nii.gz"))
        if prediction.name.endswith(reference.name)
    }
    if not found:
        raise InputError(f"No prediction's name ends with that of a reference in {references}.")
    return found


def _official(
    interpreter: Path, pairs: Mapping[str, tuple[Path, Path]], scheme: LabelScheme
) -> tuple[dict[str, dict[str, Numbers]], str]:
    """What the official program says of each case and region, and which version it is."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        # It finds the counterpart of a file by five digits in its name.
        names = {f"case-{i:05d}.nii.gz": name for i, name in enumerate(pairs)}
        for file, name in names.items():
            for role, path in zip(("pred", "ref"), pairs[name], strict=True):
                (folder / role).mkdir(exist_ok=True)
                _write_brats2023(path, scheme, folder / role / file)
        summary = folder / "summary.json"
        words = ("--config", "gli", "--ref_path", folder / "ref", "--pred_path", folder / "pred")
        _run(interpreter, "-m", "brats_evaluation.evaluation", *words, "--summary_json", summary)
        answer = json.loads(summary.read_text(encoding="utf-8"))
    question = (
        "from importlib.metadata import version as v;"
        "print('brats-evaluation', v('BraTS_evaluation'), 'with panoptica', v('panoptica'))"
    )
    numbers = {
        names[case["subject_name"]]: {
            region.value: _translated(case[region.lower()]) for region in Region
        }
        for case in answer["metrics"]
    }
    return numbers, _run(interpreter, "-c", question).strip()


def _write_brats2023(path: Path, scheme: LabelScheme, target: Path) -> None:
    labels, geometry = read_labels(path, scheme)
    array = labels.to(LabelScheme.BRATS2023).array
    nib.Nifti1Image(array, geometry.affine).to_filename(target)


def _run(*words: Path | str) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    if done.returncode:
        raise InputError("The official program failed.", found=done.stderr[-2000:])
    return done.stdout


def _translated(region: Mapping[str, Any]) -> Numbers:
    matched = region["tp"] > 0
    both = region["global_bin_volume_ref"] > 0 and region["global_bin_volume_pred"] > 0
    return {
        "lesions": region["n_ref_instances"],
        "missed": region["fn"],
        "false_alarms": region["fp"],
        "dice_found": region["sq_dsc"] if matched else None,
        "hd95_found": region["sq_hd95"] if matched else None,
        "dice": region["global_bin_dsc"] if both else None,
        "hd95_pooled": region["global_bin_hd95"] if both else None,
    }


def _ours(prediction: Path, reference: Path, scheme: LabelScheme) -> dict[str, Numbers]:
    (found, geometry), (truth, _) = (read_labels(path, scheme) for path in (prediction, reference))
    x, y, z = nib.affines.voxel_sizes(geometry.affine).tolist()
    return {region.value: _numbers(found, truth, region, spacing=(z, y, x)) for region in Region}


def _numbers(
    found: LabelMap, truth: LabelMap, region: Region, spacing: tuple[float, float, float]
) -> Numbers:
    score = lesion_scores(found, truth, region, spacing, rule=BRATS2026_LESIONS)
    matched = [lesion for lesion in score.each if lesion.found]
    whole = surface_distances(found, truth, (1.0, 1.0, 1.0), (region,))[region]
    return {
        "lesions": score.lesions,
        "missed": score.missed,
        "false_alarms": score.false_alarms,
        "dice_found": fmean(lesion.dice for lesion in matched) if matched else None,
        "hd95_found": fmean(lesion.hd95 for lesion in matched) if matched else None,
        "dice": confusion(found, truth).region(region).dice if whole.defined else None,
        "hd95_pooled": whole.hd95(pooled=True) if whole.defined else None,
    }


def _apart(one: float | None, other: float | None) -> float:
    if one is None or other is None:
        return 0.0 if one is other else float("inf")
    return abs(one - other)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as problem:
        sys.exit(problem.text())
