"""Put a run's model into the package, weights in half precision.

python scripts/ship_model.py RUN src/minicube/weights/provisional CASES --labels brats2021
"""

from __future__ import annotations

import argparse
from pathlib import Path

from minicube.engines import PORTABLE, Numbers, load_model
from minicube.export import ExportRequest, export_model
from minicube.scans import LabelScheme, find_cases

LICENCE = "Apache-2.0 (trained on phantoms alone; anatomy: ICBM-152, see the phantom's NOTICE)"


def main() -> None:
    """Export; refused where half precision costs more than half a point of Dice on the cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("cases", type=Path, help="Labelled, none that the run has learnt from.")
    parser.add_argument("--labels", type=LabelScheme)
    given = parser.parse_args()
    made = export_model(
        ExportRequest(
            model=load_model(given.run),
            out=given.target / PORTABLE,
            numbers=Numbers.FP16,
            cases=find_cases(given.cases),
            labels=given.labels,
            name=given.target.name,
            licence=LICENCE,
        )
    )
    print(f"{made.model.place}: {made.size / 2**20:.1f} MB, Dice {made.dice}")


if __name__ == "__main__":
    main()
