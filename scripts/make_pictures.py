"""Make the pictures in docs/ anew: phantoms only, no patient.

python scripts/make_pictures.py docs
"""

from __future__ import annotations

import sys
from pathlib import Path

from minicube.phantom import Family, PhantomSpec, make_phantom
from minicube.reporting import contact_sheet

SHEETS = {"phantoms": Family.A, "phantoms-b": Family.B}
CASES = 4


def main() -> None:
    """Write one contact sheet for each family of phantoms."""
    folder = Path(sys.argv[1])
    for name, family in SHEETS.items():
        cases = [make_phantom(PhantomSpec(seed=7, family=family), i) for i in range(CASES)]
        sheet = contact_sheet((case, case.reference) for case in cases)
        sheet.convert("P", palette=1, colors=256).save(folder / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
