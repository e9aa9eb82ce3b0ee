"""Files that somebody broke, on purpose or not: the same number always breaks them the same way.

    python tests/mutated.py DOOR [--files 10000] [--first 0]

knocks at a door with as many files, in processes of their own, and tells which numbers it did not
stand: a crash, an exception that no user should see, or more than MOST_SECONDS.
`test_mutated.py` does so with a few.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from minicube import InputError
from minicube.dicom import convert, open_study
from minicube.scans import find_cases, load_case
from small_cases import write_small_dataset
from small_dicom import tiny_study

AT_ONCE = 2  # files of a study
CHUNK = 200  # numbers to a process
MOST_SECONDS = 20.0
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


DOORS: dict[str, Callable[[int, Path], None]] = {"dicom": knock_dicom, "nifti": knock_nifti}


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
    return read


def main() -> int:
    """Knock, a process for every few hundred."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("door", choices=DOORS)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--chunk", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.chunk:
        print("read", knock_all(given.door, given.first, given.files))  # noqa: T201
        return 0
    of_each = AT_ONCE if given.door == "dicom" else 1
    first, last, read, bad = given.first, given.first + given.files // of_each, 0, []
    while first < last:
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
    tried = last - given.first
    print(f"{tried} tried, {read} read, {tried - read - len(bad)} refused, not stood: {bad}")  # noqa: T201
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
