"""Write the tables of docs/licences.md from what is installed beside this Python.

python scripts/list_licences.py

For maintainers, when a dependency is added. All extras have to be installed. What stands above the
mark is written by hand and stays.
"""

from __future__ import annotations

import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "licences.md"
MARK: Final = "<!-- below: written by scripts/list_licences.py -->\n"
_SHORT: Final = 40
_SPDX: Final = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "BSD 2-Clause License": "BSD-2-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
"""What some packages say for want of an SPDX name. "BSD" alone does not say which of the two."""


def direct() -> dict[str, list[str]]:
    """Packages that pyproject.toml names, with the extras that do; "base" for the base install."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {"base": project["dependencies"], **project["optional-dependencies"]}
    out: dict[str, list[str]] = defaultdict(list)
    for extra, lines in wanted.items():
        for requirement in map(Requirement, lines):
            if requirement.name != project["name"]:
                out[canonicalize_name(requirement.name)].append(extra)
    return dict(out)


def licence(package: str) -> str:
    """What a package's metadata says, as an SPDX name where it has one."""
    about = metadata.metadata(package)
    if expression := about.get("License-Expression"):
        return str(expression)
    said = [
        line.rpartition(" :: ")[2]
        for line in about.get_all("Classifier", [])
        if line.startswith("License :: OSI Approved :: ")
    ]
    plain = str(about.get("License") or "").strip()
    if not said and plain:
        # Some put the whole text there.
        said = [plain if len(plain) <= _SHORT else plain.splitlines()[0][:_SHORT]]
    return " AND ".join(_SPDX.get(name, name) for name in said) or "not stated"


def needs(package: str) -> set[str]:
    """What a package brings along by itself, here."""
    lines = map(Requirement, metadata.requires(package) or [])
    return {
        canonicalize_name(line.name)
        for line in lines
        if line.marker is None or line.marker.evaluate({"extra": ""})
    }


def brought(named: dict[str, list[str]]) -> dict[str, list[str]]:
    """Packages that come along with those, with the extras that bring them."""
    out: dict[str, list[str]] = defaultdict(list)
    extras = dict.fromkeys(extra for extras in named.values() for extra in extras)
    for extra in extras:
        todo = [package for package, by in named.items() if extra in by]
        seen = set(todo)
        while todo:
            new = needs(todo.pop()) - seen
            seen |= new
            todo += new
        for package in sorted(seen - set(named)):
            out[package].append(extra)
    return {package: ["base"] if "base" in by else by for package, by in sorted(out.items())}


def _table(rows: Iterable[tuple[str, list[str]]]) -> str:
    lines = ["| package | licence | comes with |", "| --- | --- | --- |"]
    lines += [f"| {name} | {licence(name)} | {', '.join(by)} |" for name, by in rows]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the page."""
    named = direct()
    try:
        tables = (
            f"\n## Named in pyproject.toml\n\n{_table(sorted(named.items()))}"
            f"\n## What those bring along\n\n{_table(brought(named).items())}"
        )
    except metadata.PackageNotFoundError as error:
        sys.exit(f"{error.name} is not installed; all extras have to be")
    above = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    PAGE.write_text(above + MARK + tables, encoding="utf-8")


if __name__ == "__main__":
    main()
