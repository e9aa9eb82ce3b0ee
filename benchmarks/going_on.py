"""What twenty minutes on a few cases of one's own give, and what they cost elsewhere.

    python benchmarks/going_on.py CASES --site NAME NAME … --out RUNS [--model MODEL] [--json FILE]

The cases of a site that MODEL has never seen are dealt into parts. For each part
`minicube train --init MODEL --minutes M` learns from the site's other cases, and Dice is taken
before and after: of the part's cases, which neither has seen, and of CASES of other sites, which
tell what was forgotten. A region that neither map has scores 1, a false alarm 0.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from minicube._files import write_json
from minicube._machine import describe_machine
from minicube.engines import load_model
from minicube.inference import Segmenter, model_place
from minicube.recipe.table import Cases, judge, spread
from minicube.scans import CaseFiles, LabelScheme, find_cases


def main() -> None:
    """Train on each part's others, judge before and after, print the means."""
    given = _arguments()
    labels, console = given.labels, Console()
    files = {f.identity: f for f in find_cases(given.cases) if f.reference is not None}
    if unknown := sorted({*given.site} - files.keys()):
        sys.exit(f"no labelled case in {given.cases} is called {', '.join(unknown)}")
    site = sorted(given.site)
    elsewhere = [files[name] for name in sorted(files.keys() - {*site})]
    model = load_model(model_place(given.model))
    before = judge(Segmenter(model), [*files.values()], labels)
    after: dict[str, Mapping[str, float]] = {}
    forgotten: list[Cases] = []
    for part in range(given.parts):
        judged = site[part :: given.parts]
        run = given.out / f"part-{part}"
        _train(run, [files[n] for n in site if n not in judged], given)
        model = load_model(run)
        segmenter = Segmenter(model)
        after |= judge(segmenter, [files[name] for name in judged], labels)
        forgotten.append(judge(segmenter, elsewhere, labels))
        console.print(f"part {part + 1} of {given.parts}: {model.description.steps} steps")
    own = {name: before[name] for name in site}
    others = {f.identity: before[f.identity] for f in elsewhere}
    machine: Mapping[str, Any] = describe_machine()
    result = {
        "machine": {k: v for k, v in machine["machine"].items() if k != "installed in"},
        "minutes": given.minutes,
        "learnt from": len(site) - len(site[:: given.parts]),
        "site": {"before": spread(own), "after": spread(after), "n": len(site)},
        "elsewhere": {
            "before": spread(others),
            "after": [spread(dice) for dice in forgotten],
            "n": len(others),
        },
        "cases": {name: {"before": own[name], "after": after[name]} for name in site},
    }
    console.print_json(data=result)
    if given.json is not None:
        write_json(given.json, result)


def _train(run: Path, cases: list[CaseFiles], given: argparse.Namespace) -> None:
    """The command that a user gives, on a folder of links to the cases; not again if it is done."""
    if (run / "report.html").exists():  # the last thing that it writes
        return
    folder = run.with_name(f"{run.name}-cases")
    folder.mkdir(parents=True, exist_ok=True)
    for files in cases:
        assert files.reference is not None
        home = folder / files.identity
        if not home.exists():
            home.symlink_to(files.reference.resolve().parent, target_is_directory=True)
    command = [sys.executable, "-m", "minicube", "train", "--data", str(folder), "--out", str(run)]
    command += ["--resume"] if run.exists() else ["--init", given.model]
    command += [] if run.exists() else ["--minutes", str(given.minutes)]
    command += [] if given.labels is None else ["--labels", given.labels.value]
    subprocess.run(command, check=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=Path)
    parser.add_argument("--site", nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="default")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--parts", type=int, default=3)
    parser.add_argument("--labels", type=LabelScheme, default=None)
    parser.add_argument("--json", type=Path, default=None)
    return parser.parse_args()


if __name__ == "__main__":
    main()
