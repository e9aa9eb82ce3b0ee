"""How well raw scans are prepared: registration, brain, the way back, and a real raw case.

    python benchmarks/preparation.py --out benchmarks/results/preparation.json

Phantoms with skull and scalp are moved by known turns and shifts, and some of their sequences cut
into thick slices; real stripped cases get a skull drawn around them. Times are processor seconds.
The real scans are those of ../shared/data; without them, those parts are left out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import edt
import numpy as np
from numpy.typing import NDArray

from minicube.inference import segment
from minicube.phantom import Family, PhantomSpec, make_phantom
from minicube.preparation import PreparedScan, displacement, prepare_scan
from minicube.scans import (
    Case,
    Geometry,
    LabelMap,
    RawScan,
    Region,
    Sequence,
    find_cases,
    load_case,
    load_raw,
)
from minicube.volumes import resample

SHARED = Path(__file__).parents[2] / "shared" / "data"
MOVING = (Sequence.T1N, Sequence.T2W, Sequence.T2F)
Matrix = NDArray[np.float64]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--phantoms", type=int, default=6)
    parser.add_argument("--real", type=int, default=12)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    results: dict[str, Any] = {"phantoms": list(_phantoms(asked.phantoms))}
    results["phantoms_in_all"] = _summary(results["phantoms"])
    if SHARED.is_dir():
        results["real_with_drawn_skull"] = list(_real(asked.real))
        dices = [row["brain_dice"] for row in results["real_with_drawn_skull"]]
        results["real_in_all"] = _of(dices)
        results["raw_clinical"] = _clinical()
    text = json.dumps(results, indent=1, ensure_ascii=False)
    print(text)
    if asked.out:
        asked.out.write_text(text + "\n", encoding="utf-8")


def _phantoms(count: int) -> Iterator[dict[str, Any]]:
    for index in range(count):
        spec = PhantomSpec(seed=77, family=list(Family)[index % 2], skull=True)
        case = make_phantom(spec, index)
        raw, truths = moved_apart(case, np.random.default_rng(index), thick=index % 3 > 0)
        prepared = prepare_scan(raw)
        points = _brain_points(case)
        errors = {s: displacement(prepared.ways[s], truths[s], points) for s in MOVING}
        before = {s: displacement(np.eye(4), truths[s], points) for s in MOVING}
        row = {
            "case": case.identity,
            "slices_mm": {s.value: round(max(raw.geometries[s].ras_spacing)) for s in Sequence},
            "moved_mm": {s.value: round(float(e.mean()), 1) for s, e in before.items()},
            "error_mean_mm": {s.value: round(float(e.mean()), 3) for s, e in errors.items()},
            "error_max_mm": {s.value: round(float(e.max()), 3) for s, e in errors.items()},
            **_brain_row(prepared, case.brain, case.geometry),
            **_back_row(prepared, case),
            "seconds": {step.name: step.seconds for step in prepared.steps},
        }
        print(json.dumps(row), flush=True)
        yield row


def moved_apart(
    case: Case, rng: np.random.Generator, *, thick: bool
) -> tuple[RawScan, dict[Sequence, Matrix]]:
    """A phantom as four series, each on its own grid: turned up to 15°, shifted up to 20 mm.

    The arrays stay as they are and the grids move, so nothing is interpolated but what thick
    slices average.

    Args:
        case: With a skull.
        rng: Draws the moves.
        thick: Whether T2 and FLAIR have slices of 5 mm.

    Returns:
        The series, and the true way from points of T1 with contrast to those of each.
    """
    images, geometries, truths = {}, {}, {}
    for sequence in Sequence:
        move = np.eye(4) if sequence is Sequence.T1C else _random_move(rng, case)
        image, affine = np.asarray(case.images[sequence]), case.affine
        if thick and sequence in (Sequence.T2W, Sequence.T2F):
            image, affine = _in_slices(image, affine, 5)
        images[sequence] = image
        geometries[sequence] = Geometry(image.shape, move @ affine)
        truths[sequence] = move
    return RawScan(case.identity, images, geometries), truths


def _random_move(rng: np.random.Generator, case: Case) -> Matrix:
    axis = rng.normal(size=3)
    x, y, z = axis / np.linalg.norm(axis)
    angle = np.deg2rad(rng.uniform(5, 15))
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    way = rng.normal(size=3)
    shift = way / np.linalg.norm(way) * rng.uniform(8, 20)
    middle = case.affine[:3, :3] @ (np.array(case.shape) / 2) + case.affine[:3, 3]
    move = np.eye(4)
    move[:3, :3] = turn
    move[:3, 3] = middle + shift - turn @ middle
    return move


def _in_slices(
    image: NDArray[np.float32], affine: Matrix, mm: int
) -> tuple[NDArray[np.float32], Matrix]:
    """Slices of so many millimetres, each the mean of what lies in it."""
    x, y, z = image.shape
    z = z // mm
    slices = image[:, :, : z * mm].reshape(x, y, z, mm).mean(axis=3, dtype=np.float32)
    coarse = affine @ np.diag([1.0, 1.0, mm, 1.0])
    coarse[:3, 3] += affine[:3, 2] * (mm - 1) / 2
    return np.asarray(slices, np.float32), coarse


def _real(count: int) -> Iterator[dict[str, Any]]:
    for folder in sorted((SHARED / "real").iterdir())[:count]:
        case = load_case(folder, with_reference=False)
        raw = with_skull(case, np.random.default_rng(7))
        prepared = prepare_scan(raw)
        row = {"case": folder.name, **_brain_row(prepared, case.brain, case.geometry)}
        print(json.dumps(row), flush=True)
        yield row


def with_skull(case: Case, rng: np.random.Generator) -> RawScan:
    """A stripped case with a head drawn around it: 2 mm of fluid, 6 of bone, 6 of scalp, air."""
    away = np.asarray(edt.edt(~case.brain))
    wobble = resample(rng.normal(0, 1.5, (16, 16, 10)).astype(np.float32), case.shape)
    fluid, bone = away <= 2, away <= 8 + wobble
    scalp = away <= 14 + 2 * wobble
    images = {}
    for sequence, image in case.images.items():
        level = float(np.median(image[case.brain]))
        wet = 2.2 if sequence is Sequence.T2W else 0.35
        fat = 1.6 if sequence in (Sequence.T1N, Sequence.T1C) else 1.2
        shell = np.select([fluid, bone, scalp], [wet, 0.1, fat], 0.03) * level
        shell = np.abs(shell + rng.normal(0, 0.05 * level, case.shape))
        images[sequence] = np.where(case.brain, image, shell).astype(np.float32)
    grids = dict.fromkeys(images, case.geometry)
    return RawScan(case.identity, images, grids)


def _brain_row(
    prepared: PreparedScan, brain: NDArray[np.bool_], home: Geometry
) -> dict[str, float | bool]:
    """How the brain agrees with the true one, on the grid of T1 with contrast."""
    assert prepared.original.geometry.ras_shape == home.ras_shape
    found = prepared.original.brain
    return {
        "brain_dice": _dice(found, brain),
        "brain_too_large_by": round(float(found.sum() / brain.sum() - 1), 4),
        "warned_of_a_bad_fit": any("fits badly" in words for words in prepared.case.warnings),
    }


def _back_row(prepared: PreparedScan, case: Case) -> dict[str, float]:
    """What the way there and back costs labels: the reference, on the grid and back again."""
    assert case.reference is not None
    there = _onto_prepared(prepared, case.reference, case.affine)
    back = prepared.labels_back(there)
    return {
        f"there_and_back_{region.value}": _dice(back.region(region), case.reference.region(region))
        for region in Region
        if case.reference.region(region).any()
    }


def _onto_prepared(prepared: PreparedScan, labels: LabelMap, affine: Matrix) -> LabelMap:
    """Labels of the scan on the prepared grid: the nearest voxel's."""
    way = np.linalg.inv(affine) @ prepared.to_scan @ prepared.case.affine
    out = np.zeros(prepared.case.shape, np.uint8)
    x, y, z = (np.arange(n) for n in out.shape)
    for k in z:
        index = np.stack(np.broadcast_arrays(x[:, None], y[None], k, 1)).reshape(4, -1)
        place = np.rint(way[:3] @ index).astype(int)
        inside = ((place >= 0) & (place < np.array(labels.array.shape)[:, None])).all(axis=0)
        plane = np.zeros(index.shape[1], np.uint8)
        plane[inside] = labels.array[tuple(place[:, inside])]
        out[:, :, k] = plane.reshape(len(x), len(y))
    return LabelMap(out, labels.scheme)


def _clinical() -> dict[str, Any]:
    """A clinical case, raw and as others prepared it."""
    began = time.process_time()
    folder = SHARED / "unlabelled" / "TCGA-FG-6692_raw_with_skull"
    prepared = prepare_scan(load_raw(find_cases(folder)[0]))
    seconds = time.process_time() - began
    found = segment(prepared.case)
    back = found.carried(prepared.original, prepared.labels_back(found.labels), prepared.map_back)
    others = segment(load_case(SHARED / "unlabelled" / "TCGA-FG-6692_sri24_bet"))
    regions = [region.value for region in Region]
    return {
        "ml_raw_on_its_own_grid": {name: back.volumes_ml[name] for name in regions},
        "ml_raw_at_1_mm": {name: found.volumes_ml[name] for name in regions},
        "ml_prepared_by_others": {name: others.volumes_ml[name] for name in regions},
        "brain_litres": round(float(prepared.case.brain.sum() / 1e6), 3),
        "brain_litres_by_others": round(float(others.case.brain.sum() / 1e6), 3),
        "steps": {step.name: [step.words, step.seconds] for step in prepared.steps},
        "preparing_seconds": round(seconds, 1),
    }


def _brain_points(case: Case) -> NDArray[np.float64]:
    index = np.argwhere(case.brain)[::499]
    return np.asarray(index @ case.affine[:3, :3].T + case.affine[:3, 3], np.float64)


def _dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return round(float(2 * (one & other).sum() / (one.sum() + other.sum())), 4)


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    of_all = {
        "error_mean_mm": [e for row in rows for e in row["error_mean_mm"].values()],
        "error_max_mm": [e for row in rows for e in row["error_max_mm"].values()],
        "brain_dice": [row["brain_dice"] for row in rows],
    }
    return {name: _of(values) for name, values in of_all.items()}


def _of(values: list[float]) -> dict[str, float]:
    if not values:
        return {"n": 0}
    return {
        "n": len(values),
        "mean": round(statistics.fmean(values), 4),
        "least": min(values),
        "most": max(values),
    }


if __name__ == "__main__":
    main()
