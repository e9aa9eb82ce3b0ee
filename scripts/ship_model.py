"""Put the trainings of a recipe into the package: ``default`` in half precision, ``tiny`` in int8.

python scripts/ship_model.py RECIPE --data MATERIAL --out RUNS --temperature 1.2

Refused where fewer bits cost more than half a point of Dice on the recipe's real cases. Those were
learnt from, so their Dice says how alike the two are, and not how good.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from minicube.engines import PORTABLE, Numbers, load_model
from minicube.export import ExportRequest, export_model, write_fitted
from minicube.recipe import SHIPPED, Recipe
from minicube.scans import find_cases

LICENCE = (
    "CC BY-NC-SA 4.0, after the BraTS data it was trained on; anatomy of simulated heads: "
    "ICBM-152, see the phantom's NOTICE"
)
WEIGHTS = Path(__file__).parents[1] / "src" / "minicube" / "weights"
MODELS = {"default": (SHIPPED, Numbers.FP16), "tiny": ("tiny/shipped", Numbers.INT8)}


def main() -> None:
    """Export, and write down what was fitted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--only", choices=MODELS)
    parser.add_argument("--training", help="With --only: another training than that model's.")
    given = parser.parse_args()
    recipe = Recipe.read(given.recipe)
    for name, (training, numbers) in MODELS.items():
        if given.only not in (None, name):
            continue
        made = export_model(
            ExportRequest(
                model=load_model(given.out / (given.training or training)),
                out=WEIGHTS / name / PORTABLE,
                numbers=numbers,
                cases=find_cases(given.data / recipe.cases),
                labels=recipe.labels,
                name=name,
                licence=LICENCE,
            )
        )
        write_fitted(
            made.model,
            temperature=given.temperature,
            least_enhancing_ml=recipe.least_enhancing_ml,
        )
        print(f"{made.model.place}: {made.size / 2**20:.2f} MB, Dice {made.dice}")


if __name__ == "__main__":
    main()
