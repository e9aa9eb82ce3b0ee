"""Make the pictures in docs/ anew: phantoms and cases simulated from nothing real, no patient.

python scripts/make_pictures.py docs
"""

from __future__ import annotations

import sys
from pathlib import Path

from minicube.phantom import Family, PhantomSpec, make_phantom
from minicube.reporting import contact_sheet
from minicube.scans import Case
from minicube.simulator import Material, simulate

SHEETS = {"phantoms": Family.A, "phantoms-b": Family.B}
CASES = 4


def main() -> None:
    """Write one contact sheet for each family of phantoms, and one of simulated cases."""
    folder = Path(sys.argv[1])
    for name, family in SHEETS.items():
        spec = PhantomSpec(seed=7, family=family)
        write([make_phantom(spec, i) for i in range(CASES)], folder / f"{name}.png")
    write([simulate(seed, Material()) for seed in range(CASES)], folder / "simulated.png")


def write(cases: list[Case], path: Path) -> None:
    """Write one contact sheet."""
    sheet = contact_sheet((case, case.reference) for case in cases)
    sheet.convert("P", palette=1, colors=256).save(path, optimize=True)


if __name__ == "__main__":
    main()
