"""How good a model is on your own cases: segment each, compare with its reference, print.

    python benchmarks/accuracy.py CASES [--labels SCHEME] [--model FILE] [--json FILE]

CASES is a folder of labelled cases in any layout; the model is the shipped one if none is named.
Dice of WT, TC and ET on each case's own grid, mean and median; where the reference has nothing of
a region, 1 for an answer without it and 0 for a false alarm. Needs no PyTorch for exported models.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from minicube._files import write_json
from minicube._version import __version__
from minicube.engines import load_model
from minicube.evaluation import (
    CaseScores,
    cases_table,
    evaluate_case,
    regions_table,
    summarise,
)
from minicube.inference import Segmenter, model_place
from minicube.scans import CaseFiles, LabelScheme, find_cases, load_case


def main() -> None:
    """Judge a model and print the tables."""
    arguments = _arguments()
    model = None if arguments.model is None else load_model(model_place(arguments.model))
    segmenter = Segmenter(model)
    scores = []
    console = Console()
    for files in find_cases(arguments.cases):
        if files.reference is None:
            console.print(f"{files.identity}: no reference, left out")
            continue
        scores.append(_score(segmenter, files, arguments.labels))
        dice = {region.value: score.dice for region, score in scores[-1].regions.items()}
        told = ", ".join(f"{name} {d:.3f}" for name, d in dice.items() if d is not None)
        console.print(f"{files.identity}: {told}")
    summary = summarise(scores)
    console.print(cases_table(scores), regions_table(summary))
    if arguments.json is not None:
        (used,) = segmenter.models
        result = {
            "minicube": __version__,
            "model": used.description.name,
            "sha256": used.description.sha256,
            "cases": [score.to_dict() for score in scores],
            "summary": summary.to_dict(),
        }
        write_json(arguments.json, result)


def _score(segmenter: Segmenter, files: CaseFiles, labels: LabelScheme | None) -> CaseScores:
    case = load_case(files, labels=labels)
    assert case.reference is not None  # or it would have been left out
    return evaluate_case(segmenter.segment(case).labels, case.reference, identity=files.identity)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=Path)
    parser.add_argument("--labels", type=LabelScheme, default=None)
    parser.add_argument("--model", type=Path, default=None)
    parser.add_argument("--json", type=Path, default=None)
    return parser.parse_args()


if __name__ == "__main__":
    main()
