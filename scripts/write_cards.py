"""Write the tables of the models' cards from what was judged.

    python scripts/write_cards.py

Reads `benchmarks/results/cross_validation*.json`, which `minicube recipe RECIPE --data MATERIAL
--out RUNS --only tiny/fold --table --json FILE` writes (with `--without t2f` and its like for the
sequences). Tables stand between comments such as `<!-- cases -->` and `<!-- /cases -->`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from minicube._files import read_json, write_text
from minicube.scans import Region

HOME: Final = Path(__file__).parents[1]
WEIGHTS: Final = HOME / "src" / "minicube" / "weights"
RESULTS: Final = HOME / "benchmarks" / "results"
ROWS: Final = {"default": "real-all", "tiny": "tiny"}
REGIONS: Final = [region.value for region in Region]
WITHOUT: Final = {"t1n": "T1", "t1c": "T1 with contrast", "t2w": "T2", "t2f": "FLAIR"}


def main() -> None:
    """Write each card anew."""
    for model in ROWS:
        path = WEIGHTS / model / "README.md"
        write_text(path, card(model, path.read_text(encoding="utf-8")))


def card(model: str, text: str) -> str:
    """A card with its tables as the results say."""
    for name, table in {"cases": cases(model), "missing": missing(model)}.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        text, n = re.subn(f"{begin}.*?{end}", begin + table + end, text, flags=re.DOTALL)
        if n != 1:
            raise SystemExit(f"the card of {model} has {n} tables called {name}, not 1")
    return text


def cases(model: str) -> str:
    """Dice case by case, of the first seed, and its means; of further seeds the means."""
    (_, first), *more = _judged(model).items()
    rows = [[name, *_dice(dice)] for name, dice in first["cases"].items()]
    rows += _means(first, "")
    for seed, found in more:
        rows += _means(found, f", seed {seed}")
    return _table(["case", *REGIONS], rows)


def missing(model: str) -> str:
    """Means of the first seed, without one sequence after the other."""
    rows = []
    for sequence, words in {"": "none", **WITHOUT}.items():
        found = next(iter(_judged(model, sequence).values()))
        rows.append([words, *_dice({region: s["mean"] for region, s in found["all"].items()})])
    return _table(["missing", *REGIONS], rows)


def _judged(model: str, without: str = "") -> Mapping[str, Any]:
    name = f"cross_validation_without_{without}" if without else "cross_validation"
    seeds: Mapping[str, Any] = read_json(RESULTS / f"{name}.json")[ROWS[model]]
    return seeds


def _means(found: Mapping[str, Any], of: str) -> list[list[str]]:
    rows = []
    for kind in ("mean", "median"):
        whole = found["all"]
        values = _dice({region: s[kind] for region, s in whole.items()})
        n = whole[REGIONS[0]]["n"]
        rows.append([f"**{kind}{of}** (n = {n})", *(f"**{value}**" for value in values)])
    for part in ("high grade", "low grade"):
        values = _dice({region: s["mean"] for region, s in found[part].items()})
        rows.append([f"{part}, mean{of} (n = {found[part][REGIONS[0]]['n']})", *values])
    return rows


def _dice(of: Mapping[str, float]) -> list[str]:
    return [f"{of[region]:.3f}" if region in of else "–" for region in REGIONS]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    main()
