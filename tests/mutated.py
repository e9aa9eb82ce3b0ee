"""Files that somebody broke, on purpose or not: the same number always breaks them the same way.

    python tests/mutated.py DOOR [--files 10000] [--first 0] [--minutes M]

knocks at a door with as many files, or for so long, in processes of their own, and tells which
numbers it did not stand: a crash, an exception that no user should see, more than MOST_SECONDS, or
more than MOST_BYTES held. `test_mutated.py` does so with a few.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import gzip
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from minicube import InputError
from minicube._files import checksum, write_json
from minicube._machine import peak_memory
from minicube.dicom import convert, open_study
from minicube.engines import DESCRIPTION as DESCRIBED
from minicube.engines import WEIGHTS, Precision, load_model, open_engine, volume_logits
from minicube.recipe import Recipe
from minicube.scans import find_cases, load_case
from minicube.study import Plan
from minicube.training import RunFolder, TrainingConfig, preset_names
from minicube.training.config import PRESETS
from minicube.volumes import Box, StoredCase, prepare, store_one
from small_cases import small_case, write_small_dataset
from small_dicom import tiny_study
from small_graphs import DESCRIPTION, packed, small_graph
from small_models import write_small_model

AT_ONCE = 2  # files of a study
CHUNK = 200  # numbers to a process
MOST_SECONDS = 20.0
MOST_BYTES = 3 << 30
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """One to four things done to a file, mostly near its beginning, where headers are."""
    found = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        end = len(found) if rng.random() < 0.3 else min(len(found), 2048)
        at = int(rng.integers(0, max(1, end)))
        length = int(rng.integers(1, 17))
        match int(rng.integers(0, 7)):
            case 0:
                found[at : at + 1] = bytes([int(rng.integers(0, 256))])
            case 1:
                found[at : at + length] = rng.bytes(length)
            case 2:
                del found[at : at + length]
            case 3:
                found[at:at] = found[at : at + length]
            case 4:
                number = EXTREMES[int(rng.integers(0, len(EXTREMES)))]
                size = 4 if number > 0xFFFF else 2
                found[at : at + size] = number.to_bytes(size, "little")
            case 5:
                del found[at:]
            case _:
                other = int(rng.integers(0, max(1, end)))
                found[at : at + length] = found[other : other + length]
    return bytes(found)


def knock_dicom(number: int, folder: Path) -> None:
    """Make a case of a study of which some images are broken."""
    rng = np.random.default_rng([1, number])
    paths = sorted(tiny_study(folder / "study").rglob("*.dcm"))
    for index in rng.choice(len(paths), AT_ONCE, replace=False):
        paths[index].write_bytes(mutated(paths[index].read_bytes(), rng))
    with open_study(folder / "study") as study:
        convert(study, {}, folder / "scans")


def knock_nifti(number: int, folder: Path) -> None:
    """Load a case with a file broken before it is packed, after it, or not packed at all."""
    rng = np.random.default_rng([2, number])
    (files,) = find_cases(write_small_dataset(folder, 1))
    path = sorted(files.paths)[int(rng.integers(0, 5))]
    data = path.read_bytes()
    match int(rng.integers(0, 3)):
        case 0:
            data = mutated(data, rng)
        case 1:
            data = gzip.compress(mutated(gzip.decompress(data), rng), 1)
        case _:
            data = mutated(gzip.decompress(data), rng)
    path.write_bytes(data)
    load_case(files)


ODD: tuple[Any, ...] = (
    *(None, True, "", "x" * 300, "../../etc/passwd", "\0", [], {}, [[]], {"": None}, -1, 0, 1),
    *(1 << 31, 1 << 63, -(1 << 63), 10**400, 0.5, -0.0, 1e308, 5e-324, float("inf"), float("nan")),
)


def mutated_values(value: Any, rng: np.random.Generator) -> Any:
    """JSON with none to two of its values, keys or lists changed."""
    found = copy.deepcopy(value)
    for _ in range(int(rng.integers(0, 3))):
        places = list(_places(found))
        if not places:
            break
        inside, key = places[int(rng.integers(0, len(places)))]
        match int(rng.integers(0, 4)):
            case 0 if isinstance(inside, dict):
                inside[ODD[int(rng.integers(1, 5))] or "odd"] = inside.pop(key)
            case 1 if isinstance(inside, list):
                inside[key:key] = inside[key : key + 1] * int(rng.integers(1, 5))
            case 2:
                del inside[key]
            case _:
                inside[key] = copy.deepcopy(ODD[int(rng.integers(0, len(ODD)))])
    return found


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in pairs:
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)


def _text(values: Any, rng: np.random.Generator) -> str:
    """As JSON, its values changed, or else its text."""
    if rng.random() < 0.7:
        return json.dumps(mutated_values(values, rng))
    return mutated(json.dumps(values).encode(), rng).decode(errors="replace")


def knock_onnx(number: int, folder: Path) -> None:
    """Run an exported file with a spoilt graph, description or anything."""
    rng = np.random.default_rng([3, number])
    graph, said = small_graph().SerializeToString(), DESCRIPTION
    match int(rng.integers(0, 3)):
        case 0:
            data = packed(mutated(graph, rng), said)
        case 1:
            data = packed(graph, mutated_values(said, rng))
        case _:
            data = mutated(packed(graph, said), rng)
    path = folder / "model.onnx"
    path.write_bytes(data)
    engine = open_engine(load_model(path), precision=Precision.FP32)
    images = np.ones((4, 8, 8, 8), np.float32)
    assert volume_logits(engine, images).shape == (4, 8, 8, 8)


@cache
def _small_run() -> tuple[dict[str, Any], bytes]:
    with tempfile.TemporaryDirectory() as name:
        run = write_small_model(Path(name) / "run", 1)
        said = json.loads((run / DESCRIBED).read_text(encoding="utf-8"))
        return said, (run / WEIGHTS).read_bytes()


def knock_run(number: int, folder: Path) -> None:
    """Run a run's model with spoilt weights or description."""
    rng = np.random.default_rng([4, number])
    said, weights = _small_run()
    spoil = rng.random() < 0.5
    (folder / WEIGHTS).write_bytes(mutated(weights, rng) if spoil else weights)
    said = said | {"sha256": checksum(folder / WEIGHTS)}
    (folder / DESCRIBED).write_text(json.dumps(said) if spoil else _text(said, rng), "utf-8")
    engine = open_engine(load_model(folder), precision=Precision.FP32)
    assert volume_logits(engine, np.ones((4, 8, 8, 8), np.float32)).shape == (4, 8, 8, 8)


def knock_config(number: int, folder: Path) -> None:
    """Read a run's config, or a preset in TOML."""
    rng = np.random.default_rng([5, number])
    names = preset_names()
    name = names[int(rng.integers(0, len(names)))]
    if rng.random() < 0.5:
        path = folder / "config.json"
        path.write_text(_text(TrainingConfig.read(name).model_dump(mode="json"), rng), "utf-8")
    else:
        path = folder / "config.toml"
        path.write_bytes(mutated((PRESETS / f"{name}.toml").read_bytes(), rng))
    TrainingConfig.read(path)


def knock_recipe(number: int, folder: Path) -> None:
    """Read a recipe."""
    rng = np.random.default_rng([6, number])
    recipes = sorted((Path(__file__).parents[1] / "recipes").glob("*.toml"))
    data = recipes[int(rng.integers(0, len(recipes)))].read_bytes()
    path = folder / "recipe.toml"
    path.write_bytes(mutated(data, rng))
    Recipe.read(path)


def knock_study(number: int, folder: Path) -> None:
    """Read the plan of a study that has begun."""
    rng = np.random.default_rng([7, number])
    case = {"case": "a", "group": "real", "fold": 0, "voxels": [9, 1, 1, 1], "millimetre": True}
    case |= {"box_start": [0, 0, 0], "box_stop": [4, 4, 4], "origin": None}
    plan: dict[str, Any] = {"setting": {"minutes": 1.0, "ablation_minutes": 0.0, "folds": 2}}
    plan |= {"cases": [case, case | {"case": "b", "fold": 1}], "seconds_a_step": {"segnet": 0.1}}
    plan |= {"processor": "one", "data": "some"}
    (folder / "study.json").write_text(_text(plan, rng), "utf-8")
    Plan.read(folder)


@cache
def _small_stored() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as name:
        stored = store_one(prepare(small_case(1)), Path(name))
        return {path.name: path.read_bytes() for path in stored.folder.iterdir()}


def knock_stored(number: int, folder: Path) -> None:
    """Read a window of a prepared case that was spoilt behind its checksums' back."""
    rng = np.random.default_rng([8, number])
    files = dict(_small_stored())
    facts = json.loads(files.pop("case.json"))
    name = sorted(files)[int(rng.integers(0, len(files)))]
    files[name] = mutated(files[name], rng)
    facts["files"][name] = [len(files[name]), 0]
    for each, data in files.items():
        (folder / each).write_bytes(data)
    (folder / "case.json").write_text(
        json.dumps(facts) if rng.random() < 0.5 else _text(facts, rng), "utf-8"
    )
    stored = StoredCase(folder)
    stored.is_whole()
    stored.read(Box((0, 0, 0), (16, 16, 16)))
    assert stored.spots


def knock_split(number: int, folder: Path) -> None:
    """Read what a run began with."""
    rng = np.random.default_rng([9, number])
    origin = {"scheme": "brats2023", "t1n": "0" * 64}
    write_json(folder / "split.json", {"train": ["a"], "validation": ["b"]})
    write_json(folder / "sources.json", {"a": origin, "b": origin})
    name = ("split.json", "sources.json")[int(rng.integers(0, 2))]
    values = json.loads((folder / name).read_text(encoding="utf-8"))
    (folder / name).write_text(_text(values, rng), "utf-8")
    run = RunFolder(folder)
    run.read_split()
    run.read_sources()


DOORS: dict[str, Callable[[int, Path], None]] = {
    "dicom": knock_dicom,
    "nifti": knock_nifti,
    "onnx": knock_onnx,
    "run": knock_run,
    "config": knock_config,
    "recipe": knock_recipe,
    "study": knock_study,
    "stored": knock_stored,
    "split": knock_split,
}


def stood(door: str, number: int) -> bool:
    """Knock once.

    Returns:
        Whether the broken files were good enough; False: they were refused with a sentence.
    """
    with tempfile.TemporaryDirectory() as name, contextlib.suppress(InputError):
        DOORS[door](number, Path(name))
        return True
    return False


def knock_all(door: str, first: int, count: int) -> int:
    """Knock with numbers in a row, telling each before it is tried; how many were read."""
    read = 0
    for number in range(first, first + count):
        print(number, flush=True)  # noqa: T201
        began = time.monotonic()
        read += stood(door, number)
        if time.monotonic() - began > MOST_SECONDS:
            raise TimeoutError(f"{number} took {time.monotonic() - began:.0f} s")
        if (peak_memory() or 0) > MOST_BYTES:
            raise MemoryError(f"{number} held {peak_memory()} bytes")
    return read


def main() -> int:
    """Knock, a process for every few hundred."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("door", choices=DOORS)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--chunk", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.chunk:
        print("read", knock_all(given.door, given.first, given.files))  # noqa: T201
        return 0
    of_each = AT_ONCE if given.door == "dicom" else 1
    first, last, read, bad = given.first, given.first + given.files // of_each, 0, []
    until = time.monotonic() + 60 * given.minutes if given.minutes else None
    while first < last if until is None else time.monotonic() < until:
        last = max(last, first + CHUNK) if until is not None else last
        words = [sys.executable, __file__, given.door, "--chunk", "--first", str(first)]
        words += ["--files", str(min(CHUNK, last - first))]
        done = subprocess.run(words, capture_output=True, text=True)
        *_, told = done.stdout.split() or [str(first)]
        if done.returncode:
            bad.append(int(told))
            print(f"{told}: code {done.returncode}\n{done.stderr[-1500:]}", flush=True)  # noqa: T201
            first = int(told) + 1
            continue
        read += int(told)
        first += CHUNK
    tried = min(first, last) - given.first
    print(f"{tried} tried, {read} read, {tried - read - len(bad)} refused, not stood: {bad}")  # noqa: T201
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
