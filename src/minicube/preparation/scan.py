"""From raw scans to the case that networks know, and what is found back onto the scan's grid."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from minicube._errors import InputError
from minicube.preparation._itk import Matrix, Volume, at_most, moved
from minicube.preparation.atlas import CENTRE, GRID, TO_ATLAS, atlas_head, grid_affine
from minicube.preparation.brain import LARGEST, brain_in, lay_on_atlas
from minicube.preparation.registration import in_words, register, rigid_part, same_middle, turn_of
from minicube.preparation.way_back import labels_onto, shares_onto
from minicube.scans import Case, Geometry, LabelMap, RawScan, Sequence

__all__ = ["PreparedScan", "Step", "prepare_scan"]

_DRAWN_ON: Final = (Sequence.T1C, Sequence.T1N, Sequence.T2F, Sequence.T2W)
_COMPARED_MM: Final = -8.0  # of depth: brain and skull, which move together, and no jaw
_FAR_MM: Final = -60.0  # of depth, beyond the atlas
_COARSE_MM: Final = 4.0
_FAR_APART: Final = (20.0, 20.0)  # mm, degrees
_HINT: Final = "take the skull off with other software, and give the stripped scans"
_SIZES: Final = (0.72, 1.2)  # of a brain's sides against the template's; 15 real ones 0.81 to 1.04


@dataclass(frozen=True)
class Step:
    """What was done.

    Args:
        name: Of the step.
        words: What was found.
        seconds: Processor time of the whole process meanwhile.
    """

    name: str
    words: str
    seconds: float


@dataclass(frozen=True, eq=False)
class PreparedScan:
    """Raw scans made ready, and the way back.

    Args:
        case: What a network is shown: 1 mm, upright as BraTS has heads, the brain alone.
        head: The same with everything around the brain, for pictures.
        original: The brain on the grid of the series that results are drawn on, the other
            sequences interpolated onto it.
        drawn_on: That series.
        to_scan: From points of the prepared grid to points of that series, rigid.
        ways: From points of that series to points of each sequence, rigid.
        steps: What was done, in order.
    """

    case: Case
    head: Case
    original: Case
    drawn_on: Sequence
    to_scan: Matrix
    ways: Mapping[Sequence, Matrix]
    steps: tuple[Step, ...]

    def labels_back(self, labels: LabelMap) -> LabelMap:
        """Bring labels onto the RAS+ grid of the series they are drawn on.

        Args:
            labels: On the grid of ``case``.
        """
        return labels_onto(labels, self.case.affine, self.original.geometry, self.to_scan)

    def map_back(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        """Bring a map, such as a probability, there; ``(x, y, z)`` as :meth:`labels_back`."""
        volume = Volume(array, self.case.affine)
        return shares_onto(volume, self.original.geometry, self.to_scan)


def prepare_scan(raw: RawScan) -> PreparedScan:
    """Register the sequences to each other and to the atlas, and find the brain.

    Sequences are registered rigidly to T1 with contrast (else to the first there is of T1, FLAIR
    and T2), where the atlas lies affinely; the scans are turned and moved to it, never stretched.
    A scan that was stripped before keeps its brain.

    Args:
        raw: From :func:`minicube.scans.load_raw`.

    Raises:
        InputError: Two images do not overlap, or no brain is found.
    """
    drawn_on = next(s for s in _DRAWN_ON if s in raw.images)
    scans = {s: Volume(raw.images[s], raw.geometries[s].ras_affine) for s in raw.images}
    fixed, stripped = scans[drawn_on], raw.brain(drawn_on)
    atlas, clock = atlas_head(), _Clock()

    laid = lay_on_atlas(fixed, atlas, stripped=stripped is not None)
    to_scan = rigid_part(laid, CENTRE) @ TO_ATLAS
    sizes = np.linalg.norm(laid[:3, :3], axis=0)
    clock.note(f"{drawn_on.label} to the atlas", _laid_in_words(to_scan, sizes))

    depth = moved(atlas.depth, fixed.shape, fixed.affine, np.linalg.inv(laid), outside=_FAR_MM)
    ways = {drawn_on: np.eye(4)}
    middle = laid[:3, 3]
    for sequence in scans:
        if sequence is not drawn_on:
            ways[sequence] = _way(fixed, scans[sequence], depth.array > _COMPARED_MM)
            step = f"{sequence.label} to {drawn_on.label}"
            clock.note(step, in_words(ways[sequence], middle))

    heads, seen = _on_grid(scans, {s: ways[s] @ to_scan for s in scans})
    clock.note("onto 1 mm", f"{' × '.join(map(str, GRID))} voxels")

    grid = Geometry(GRID, grid_affine())
    if stripped is None:
        way = np.linalg.inv(laid) @ to_scan
        depth = moved(atlas.depth, GRID, grid.affine, way, outside=_FAR_MM)
        brain = brain_in(((heads[s], seen[s]) for s in scans), depth.array) & seen[drawn_on]
    else:
        mask = Volume(stripped.astype(np.float32), fixed.affine)
        brain = moved(mask, GRID, grid.affine, to_scan).array > 0.5
    if not brain.any():
        raise InputError(f"{raw.identity}: no brain was found.", hint=_HINT)
    how = "found" if stripped is None else "as the scan was stripped before"
    clock.note("brain", f"{np.count_nonzero(brain) / 1e6:.2f} litres, {how}")

    warnings = (*raw.warnings, *_warnings(raw, ways, middle, sizes))
    head = Case(raw.identity, heads, grid, brain)
    case = Case(raw.identity, _stripped(heads, brain), grid, brain, warnings=warnings)
    home = raw.geometries[drawn_on]
    kept = shares_onto(Volume(brain.astype(np.float32), grid.affine), home, to_scan) > 0.5
    there = {s: moved(scans[s], home.ras_shape, home.ras_affine, ways[s]).array for s in scans}
    original = Case(raw.identity, _stripped(there, kept), home, kept, warnings=warnings)
    clock.note("cases", "written down")
    return PreparedScan(case, head, original, drawn_on, to_scan, ways, tuple(clock.steps))


def _on_grid(
    scans: Mapping[Sequence, Volume], ways: Mapping[Sequence, Matrix]
) -> tuple[dict[Sequence, NDArray[np.float32]], dict[Sequence, NDArray[np.bool_]]]:
    """Images on the prepared grid, and where each has voxels; elsewhere 0."""
    heads, seen = {}, {}
    for sequence, scan in scans.items():
        fine = at_most(scan, 1.0)
        image = moved(fine, GRID, grid_affine(), ways[sequence], outside=np.nan).array
        seen[sequence] = ~np.isnan(image)
        heads[sequence] = np.nan_to_num(image, copy=False)
    return heads, seen


class _Clock:
    """Writes down steps, and the processor time since the one before."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._last = time.process_time()

    def note(self, name: str, words: str) -> None:
        now = time.process_time()
        self.steps.append(Step(name, words, round(now - self._last, 2)))
        self._last = now


def _way(fixed: Volume, moving: Volume, inside: NDArray[np.bool_]) -> Matrix:
    """Scanner coordinates are believed first, then the middles of the heads."""
    starts = [np.eye(4), same_middle(fixed, moving)]
    return register(fixed, moving, starts=starts, inside=inside)[0]


def _stripped(
    images: Mapping[Sequence, NDArray[np.float32]], brain: NDArray[np.bool_]
) -> dict[Sequence, NDArray[np.float32]]:
    return {s: np.where(brain, image, np.float32(0)) for s, image in images.items()}


def _laid_in_words(to_scan: Matrix, sizes: NDArray[np.float64]) -> str:
    shares = " × ".join(f"{share:.2f}" for share in sizes)
    return f"turned by {turn_of(to_scan):.1f}°; the brain is {shares} of the atlas'"


def _warnings(
    raw: RawScan,
    ways: Mapping[Sequence, Matrix],
    middle: NDArray[np.float64],
    sizes: NDArray[np.float64],
) -> Iterator[str]:
    yield (
        "the scans were registered and the brain was found by minicube: look at the pictures of "
        "it before anything is read from the labels"
    )
    apart = {s: max(raw.geometries[s].ras_spacing) for s in raw.geometries}
    thick = [s.label for s, mm in apart.items() if mm >= _COARSE_MM]
    if thick:
        yield (
            f"slices up to {max(apart.values()):.1f} mm apart ({', '.join(thick)}): small tumour "
            "parts fall between them, and the model knows scans of 1 mm"
        )
    for sequence, way in ways.items():
        shift = np.linalg.norm(way[:3, :3] @ middle + way[:3, 3] - middle)
        if shift > _FAR_APART[0] or turn_of(way) > _FAR_APART[1]:
            yield f"{sequence.label} was {in_words(way, middle)}: more than a patient moves"
    if sizes.min() < _SIZES[0] or sizes.max() > _SIZES[1] or sizes.prod() > LARGEST:
        yield "the atlas fits badly: the brain is likely to be wrong, and so what is found in it"
