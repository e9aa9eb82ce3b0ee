"""The table of docs/tuning.md: what alpha and beta do, from the results of searches.

python benchmarks/tversky.py docs/tuning/repeats.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import mean
from typing import Any


def main() -> None:
    """Print a row for each pair of alpha and beta, and the differences within each seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    results = json.loads(parser.parse_args().results.read_text(encoding="utf-8"))
    by_pair: dict[tuple[float, float], dict[int, Any]] = {}
    for trial in results["trials"]:
        if trial["state"] == "finished":
            values = trial["values"]
            pair = (values["loss.alpha"], values["loss.beta"])
            by_pair.setdefault(pair, {})[values["seed"]] = trial
    print(f"judged on {len(results['cases']['held out'])} cases")
    print("alpha beta | Dice of each seed | mean, WT, TC, ET | WT precision, recall")
    for (alpha, beta), trials in sorted(by_pair.items()):
        seeds = ", ".join(f"{seed}: {trial['dice']:.3f}" for seed, trial in trials.items())
        dice = [mean(t["dice"] for t in trials.values())]
        dice += [mean(t["regions"][r]["dice"] for t in trials.values()) for r in ("WT", "TC", "ET")]
        whole = [t["regions"]["WT"] for t in trials.values()]
        rates = [mean(w[name] for w in whole) for name in ("precision", "recall")]
        print(
            f"{alpha} {beta} | {seeds} | {', '.join(f'{d:.3f}' for d in dice)} "
            f"| {', '.join(f'{rate:.2f}' for rate in rates)}"
        )
    low, *others = sorted(by_pair)
    for pair in others:
        shared = by_pair[pair].keys() & by_pair[low].keys()
        gains = [by_pair[pair][s]["dice"] - by_pair[low][s]["dice"] for s in sorted(shared)]
        print(f"{pair} less {low}, same seed: {', '.join(f'{gain:+.3f}' for gain in gains)}")


if __name__ == "__main__":
    main()
