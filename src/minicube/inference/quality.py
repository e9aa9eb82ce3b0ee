"""What makes a scan unlike those that a model knows, as far as the scan itself shows it.

Every check is a function of what it looks at, and answers in a sentence or with None. Thresholds
lie outside what 29 stripped brains of several sites measured, which stands beside each; most had
been prepared as BraTS does.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from minicube.scans import Case, Sequence, components
from minicube.volumes import Prepared, Scale

__all__ = [
    "already_normalised",
    "clipped",
    "coarse",
    "cut_off",
    "fluid_at_the_surface",
    "not_covered",
    "odd_orientation",
    "quality_warnings",
    "same_images",
    "skull_left",
    "unusual_size",
]

_COARSE_MM: Final = 4.0
_LITRES: Final = (0.8, 2.0)  # 1.11 to 1.64
_FACE_CM2: Final = 5.0  # 0
_LOWER_FACE_CM2: Final = 45.0  # up to 38: the brainstem goes on, and cerebella are cut
_TURNED_BY: Final = 0.03  # of correlation; behind by 0.14 or more
_THIN: Final = 0.2  # of the largest slice; how much brainstem and sinus is in a scan differs
_RIM: Final = 5  # layers of 2 mm in which scalp would be
_BENEATH: Final = 4  # layers below it
_BRIGHTER_BY: Final = 0.5  # standard deviations; at most 0.35, and 0.7 in a clinical head
_FLUID_ML: Final = 8.0  # at most 5.5 where a tenth of it was near the surface
_FLUID_NEAR_SURFACE: Final = 0.1
_BELOW_ZERO: Final = 0.05  # at most 0.009, from interpolation
_ROUNDING: Final = np.float32(1e-3)  # a z-score of what was 0 is not exactly that of 0
_NOT_COVERED: Final = 0.1  # at most 0.033
_AT_THE_MAXIMUM: Final = 5e-4  # below 1e-5

# How thick the brain is from left to right, seen from the side and divided into 8 x 8 fields, thin
# ends left out: rows from back to front, columns from below to above, hundredths of the thickest.
# The mean of the same 29.
_SIDE_VIEW: Final = np.array(
    [
        [14, 38, 62, 65, 60, 41, 13, 0],
        [63, 72, 82, 86, 85, 79, 61, 22],
        [70, 82, 95, 97, 95, 91, 78, 52],
        [31, 69, 100, 100, 97, 93, 82, 60],
        [9, 59, 93, 96, 95, 91, 80, 58],
        [7, 46, 74, 86, 88, 85, 72, 46],
        [0, 8, 39, 74, 80, 74, 58, 22],
        [0, 1, 16, 54, 66, 56, 29, 2],
    ]
)


def quality_warnings(case: Case, prepared: Prepared) -> tuple[str, ...]:
    """Return what a user should know about a scan before trusting what is found in it.

    Args:
        case: As it was read.
        prepared: The same at 1 mm.
    """
    litres = np.count_nonzero(case.brain) * float(np.prod(case.spacing)) / 1e6
    size, cut = unusual_size(litres), cut_off(case.brain, case.spacing)
    found = [coarse(case.spacing), size, cut]
    if size is None and cut is None:  # a part of a brain has another shape
        found.append(odd_orientation(prepared.brain[::2, ::2, ::2]))
    half = (slice(None, None, 2),) * 3  # 2 mm are enough for all that is looked at
    brain = prepared.brain[half]
    images = {s: image[half] for s, image in zip(Sequence, prepared.images, strict=True)}
    if Sequence.T1N in prepared.present:
        found.append(skull_left(images[Sequence.T1N], brain))
    if {Sequence.T1N, Sequence.T2W, Sequence.T2F} <= set(prepared.present):
        t1n, t2w, t2f = (images[s] for s in (Sequence.T1N, Sequence.T2W, Sequence.T2F))
        found.append(fluid_at_the_surface(t1n, t2w, t2f, brain))
    for (sequence, image), scale in zip(images.items(), prepared.scales, strict=True):
        if sequence in prepared.present:
            found.append(already_normalised(sequence, image, brain, scale))
            found.append(not_covered(sequence, image, brain, scale))
            found.append(clipped(sequence, image, brain))
    found.append(same_images({s: images[s] for s in prepared.present}))
    return tuple(warning for warning in found if warning is not None)


def coarse(spacing: tuple[float, float, float]) -> str | None:
    """Warn of slices of 4 mm and more, most of whose voxels are made up in between.

    Args:
        spacing: mm.
    """
    thickest = max(spacing)
    if thickest < _COARSE_MM:
        return None
    return (
        f"the slices are {thickest:.1f} mm apart: small tumour parts fall between them, and the "
        "model knows scans of 1 mm"
    )


def unusual_size(litres: float) -> str | None:
    """Warn of a brain that is smaller or larger than adults' are.

    Args:
        litres: Volume of the brain, fluid included.
    """
    low, high = _LITRES
    if low <= litres <= high:
        return None
    size = "small" if litres < low else "large"
    return (
        f"the brain is unusually {size}: {litres:.2f} litres, where {low:g} to {high:g} are "
        "expected; a child's, a part of one, or badly stripped"
    )


def cut_off(brain: NDArray[np.bool_], spacing: tuple[float, float, float]) -> str | None:
    """Warn of a brain that goes on beyond the scan; below, the brainstem always does.

    Args:
        brain: ``(x, y, z)`` in RAS+, the whole field of view.
        spacing: mm.
    """
    sides = (("left", "right"), ("back", "front"), ("lower end", "upper end"))
    cut = []
    for axis, names in enumerate(sides):
        others = [mm for i, mm in enumerate(spacing) if i != axis]
        for side, name in zip((0, -1), names, strict=True):
            face = np.moveaxis(brain, axis, 0)[side]  # take() would copy the whole
            cm2 = np.count_nonzero(face) * others[0] * others[1] / 100
            if cm2 > (_LOWER_FACE_CM2 if name == "lower end" else _FACE_CM2):
                cut.append(f"{name} ({cm2:.0f} cm²)")
    if not cut:
        return None
    return f"the brain goes on beyond the scan at its {', '.join(cut)}: a part of it is missing"


def odd_orientation(brain: NDArray[np.bool_]) -> str | None:
    """Warn of a brain that does not lie as the file says.

    Its two halves must be alike left to right, it must be longest from back to front, and seen
    from the side it must look like a brain upright rather than one turned round. That left and
    right are exchanged cannot be told.

    Args:
        brain: ``(x, y, z)``, voxels as long as wide and high, cut to its box, in what the file
            says is RAS+.
    """
    advice = "the file's orientation looks wrong"
    likeness = [_overlap(brain, np.flip(brain, axis)) for axis in range(3)]
    if max(likeness) > likeness[0] or brain.shape[1] < max(brain.shape):
        return (
            f"{advice}: what it calls left to right and back to front is not where this brain is "
            "alike on both sides and longest"
        )
    seen = _side_view(brain)
    turned = {
        "back and front": seen[::-1],
        "above and below": seen[:, ::-1],
        "back and front, and above and below,": seen[::-1, ::-1],
    }
    fits = {name: _correlation(view) for name, view in turned.items()}
    best = max(fits, key=lambda name: fits[name])
    if fits[best] > _correlation(seen) + _TURNED_BY:
        return f"{advice}: {best} seem to be exchanged; whether left and right are cannot be told"
    return None


def skull_left(t1n: NDArray[np.float32], brain: NDArray[np.bool_]) -> str | None:
    """Warn of a bright layer near the surface with a darker one beneath, on T1: scalp over bone.

    From its surface inwards a brain becomes brighter on T1, and then stays so.

    Args:
        t1n: z-scores ``(x, y, z)`` at 2 mm.
        brain: ``(x, y, z)``.
    """
    layers = []
    for _ in range(_RIM + _BENEATH):
        inner = _eroded(brain, 1)
        layer = brain & ~inner
        if not layer.any():
            return None
        layers.append(float(t1n[layer].mean()))
        brain = inner
    brightest = int(np.argmax(layers[:_RIM]))
    beneath = layers[brightest + 1 : brightest + 1 + _BENEATH]
    if layers[brightest] - min(beneath) < _BRIGHTER_BY:
        return None
    return (
        "on T1 a bright layer lies over a darker one at the surface: skull or scalp seem to be "
        "left; remove them first"
    )


def fluid_at_the_surface(
    t1n: NDArray[np.float32],
    t2w: NDArray[np.float32],
    t2f: NDArray[np.float32],
    brain: NDArray[np.bool_],
) -> str | None:
    """Warn of a large space at the surface that is dark on T1 and FLAIR and bright on T2.

    A resection cavity is one; so are a cyst and a very wide fissure, which cannot be told from it.
    Sulci are too narrow to count, ventricles too deep.

    Args:
        t1n: z-scores ``(x, y, z)`` at 2 mm.
        t2w: Likewise.
        t2f: Likewise.
        brain: ``(x, y, z)``.
    """
    fluid = brain & (t1n < -1) & (t2f < -1) & (t2w > 0.5)
    spaces = components(_eroded(fluid, 1), 6)
    near = brain & ~_eroded(brain, 3)
    voxels = np.bincount(spaces.ravel())
    at_surface = np.bincount(spaces[near], minlength=voxels.size)
    ml = voxels * 2**3 / 1000
    counts = (ml >= _FLUID_ML) & (at_surface >= _FLUID_NEAR_SURFACE * voxels)
    counts[0] = False
    if not counts.any():
        return None
    return (
        f"a fluid-filled space of {ml[counts].max():.0f} ml or more lies at the brain's surface: "
        "after surgery, or with a cyst, labels around it are not to be trusted"
    )


def already_normalised(
    sequence: Sequence, image: NDArray[np.float32], brain: NDArray[np.bool_], scale: Scale
) -> str | None:
    """Warn of intensities below 0, which no scanner gives.

    Args:
        sequence: For the sentence.
        image: z-scores ``(x, y, z)``.
        brain: ``(x, y, z)``.
        scale: That they were made with.
    """
    share = _share(image < _zero(scale) - _ROUNDING, brain)
    if share < _BELOW_ZERO:
        return None
    return (
        f"{sequence.label} was normalised before ({share:.0%} of the brain is below 0): a shift "
        "and a scale change nothing here, an equalised histogram would"
    )


def not_covered(
    sequence: Sequence, image: NDArray[np.float32], brain: NDArray[np.bool_], scale: Scale
) -> str | None:
    """Warn of a brain that a sequence shows a part of only: the rest of it is 0.

    Args:
        sequence: For the sentence.
        image: z-scores ``(x, y, z)``.
        brain: ``(x, y, z)``, where any sequence shows it.
        scale: That they were made with.
    """
    share = _share(np.abs(image - _zero(scale)) < _ROUNDING, brain)
    if share < _NOT_COVERED:
        return None
    return f"{sequence.label} does not show {share:.0%} of the brain: what lies there may be missed"


def same_images(images: Mapping[Sequence, NDArray[np.float32]]) -> str | None:
    """Warn of one image that was given as several sequences.

    Args:
        images: z-scores ``(x, y, z)`` of those that are there.
    """
    for one, other in combinations(images, 2):
        if np.array_equal(images[one], images[other]):
            return f"{one.label} and {other.label} are the same image: one of them is another's"
    return None


def _share(where: NDArray[np.bool_], brain: NDArray[np.bool_]) -> float:
    return float(np.count_nonzero(where & brain) / np.count_nonzero(brain))


def _zero(scale: Scale) -> np.float32:
    """The z-score of an intensity of 0."""
    return np.float32(-scale.mean / scale.deviation)


def clipped(sequence: Sequence, image: NDArray[np.float32], brain: NDArray[np.bool_]) -> str | None:
    """Warn of many voxels that share the largest value.

    Args:
        sequence: For the sentence.
        image: z-scores ``(x, y, z)``, 0 outside the brain.
        brain: ``(x, y, z)``.
    """
    share = _share(image >= image.max() - np.float32(1e-4), brain)
    if share < _AT_THE_MAXIMUM:
        return None
    return (
        f"{sequence.label} is clipped: {share:.2%} of the brain share its largest value, so what "
        "was brighter cannot be told apart"
    )


def _overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float(np.count_nonzero(one & other) / np.count_nonzero(one | other))


def _side_view(brain: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Voxels from left to right, averaged over 8 x 8 fields ``(y, z)``; thin ends left out."""
    thickness = np.count_nonzero(brain, axis=0)
    y, z = (_thick(thickness.sum(axis=1 - axis)) for axis in range(2))
    thickness = thickness[y, z]
    rows = np.array_split(thickness, 8, axis=0)
    return np.array([[field.mean() for field in np.array_split(row, 8, axis=1)] for row in rows])


def _thick(area: NDArray[np.int64]) -> slice:
    """From the first to the last slice that is not thin."""
    held = np.flatnonzero(area >= _THIN * area.max())
    return slice(int(held[0]), int(held[-1]) + 1)


def _correlation(view: NDArray[np.float64]) -> float:
    return float(np.corrcoef(view.ravel(), _SIDE_VIEW.ravel())[0, 1])


def _eroded(mask: NDArray[np.bool_], voxels: int) -> NDArray[np.bool_]:
    """What is at least so many voxels along the axes from what is not of the mask."""
    out = np.pad(mask, voxels)
    for axis in range(3):
        for _ in range(voxels):
            ahead, behind = np.roll(out, 1, axis), np.roll(out, -1, axis)
            out = out & ahead & behind
    x, y, z = (slice(voxels, -voxels) for _ in range(3))
    return out[x, y, z]
