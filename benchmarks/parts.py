"""Where the time of a case goes: its steps one after another, in a process of its own.

    python benchmarks/parts.py CASE --out FILE --began SECONDS [--model MODEL]

`minicube segment` does some of this at once; here nothing overlaps, so that each step has its own
time and the sum is more than a case takes. Prints one line of JSON: seconds of each step.
`benchmarks/speed.py` calls this; --began is the time on the clock when it did.
"""

# ruff: noqa: E402 - what is imported when is measured

import sys
import time

clock = time.time()

import json
from argparse import ArgumentParser
from pathlib import Path


def main() -> int:
    """Take the steps, and print what each took."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("case", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--began", type=float, required=True)
    parser.add_argument("--model", type=Path)
    given = parser.parse_args()
    seconds = {"Python starts": clock - given.began}
    last = time.perf_counter()

    def took(step: str) -> None:
        nonlocal last
        now = time.perf_counter()
        seconds[step] = now - last
        last = now

    import minicube.cli.segment
    from minicube.engines import load_model, open_engine, segment_volume
    from minicube.inference import Segmentation, shipped_model
    from minicube.inference.quality import quality_warnings
    from minicube.scans import find_cases, load_case
    from minicube.volumes import prepare, restore

    took("minicube and numpy are imported")
    import minicube.engines.openvino_engine  # noqa: F401

    took("OpenVINO is imported")
    model = shipped_model() if given.model is None else load_model(given.model)
    engine = open_engine(model)
    took("the network is compiled")
    (files,) = find_cases(given.case)
    case = load_case(files, with_reference=False)
    took("four files are read")
    prepared = prepare(case)
    images = prepared.images_as(model.description.normalisation)
    took("the brain is cut out and scaled")
    warnings = quality_warnings(case, prepared)
    took("it is looked at for warnings")
    found = segment_volume(engine, images, model.description.cut)
    took("the network runs")
    labels = restore(found, prepared.frame)
    result = Segmentation(case, labels, (model,), 0.0)
    _ = result.volumes_ml, warnings
    took("labels go back onto the scan's grid")
    result.save(given.out)
    took("the file is written")
    print(json.dumps({step: round(value, 4) for step, value in seconds.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
