"""Does taking Rician noise away change what a trained model finds?

    python benchmarks/denoise.py CASES [--labels brats2021] [--model RUN] [--json FILE]

Segments every labelled case twice with one model, as it is and denoised first.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from minicube.engines import Model, load_model
from minicube.evaluation import compare, evaluate_case
from minicube.inference import Segmenter, shipped_model
from minicube.scans import LabelScheme, Region, find_cases, load_case


def main() -> None:
    """Segment, score and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--labels", type=LabelScheme)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    model = load_model(given.model) if given.model else shipped_model()
    denoising = Model(model.place, model.description.model_copy(update={"denoise": True}))
    ways = {"as it is": Segmenter(model), "denoised": Segmenter(denoising)}
    dice: dict[str, dict[str, list[float]]] = {
        way: {region.value: [] for region in Region} for way in ways
    }
    files = [one for one in find_cases(given.cases) if one.reference is not None]
    for one in files:
        case = load_case(one, labels=given.labels)
        assert case.reference is not None
        for way, segmenter in ways.items():
            found = segmenter.segment(case)
            scores = evaluate_case(found.labels, case.reference, identity=case.identity)
            for region, score in scores.regions.items():
                dice[way][region.value].append(score.dice or 0.0)
        shown = "  ".join(
            f"{region.value} {dice['as it is'][region.value][-1]:.4f} → "
            f"{dice['denoised'][region.value][-1]:.4f}"
            for region in Region
        )
        print(f"{case.identity:<24}{shown}", flush=True)
    for region in Region:
        test = compare(dice["denoised"][region.value], dice["as it is"][region.value])
        print(
            f"{region.value}: denoised less as it is, mean of {test.n} cases "
            f"{test.mean_difference:+.4f} [{test.low:+.4f}, {test.high:+.4f}], p = {test.p}"
        )
    if given.json:
        given.json.write_text(json.dumps(dice, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
