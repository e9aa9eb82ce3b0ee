"""What preparation did to raw scans, as pictures: is all in place, and where is the brain.

They show the brain and little around it, so that no face is in a report.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from minicube.reporting.planes import PLANES, Panel, View, mark_sides, on_screen, outline_of
from minicube.scans import Case, Sequence
from minicube.volumes import bounding_box

__all__ = ["Preparation", "preparation_rows"]

_MARGIN: Final = 12  # voxels of 1 mm shown around the brain
_FIELD: Final = 24  # of the chequers, mm
_OUTLINE: Final = (255, 80, 60)


@dataclass(frozen=True, eq=False)
class Preparation:
    """What was done to raw scans.

    Args:
        head: All sequences on one grid of 1 mm, skull on, and the brain that was found.
        drawn_on: The sequence that the others were registered to.
        steps: Names of what was done to what was found.
    """

    head: Case
    drawn_on: Sequence
    steps: Mapping[str, str]


def preparation_rows(done: Preparation) -> Iterator[tuple[str, list[Panel]]]:
    """Draw each step in three planes through the middle of the brain.

    Yields:
        What is shown, and its axial, coronal and sagittal picture: the brain's outline over the
        sequence that the others were registered to, then each of these in chequers with it.
    """
    head = done.head
    view = _view(head)
    base = _grey(head, done.drawn_on)
    yield (
        f"the brain on {done.drawn_on.label}",
        [_panel(view, axis, base, outline=head.brain) for axis in (2, 1, 0)],
    )
    chequers = _chequers(head.shape)
    for sequence in head.images:
        if sequence is not done.drawn_on:
            mixed = np.where(chequers, base, _grey(head, sequence))
            name = f"{sequence.label} in chequers with {done.drawn_on.label}"
            yield name, [_panel(view, axis, mixed) for axis in (2, 1, 0)]


def _view(head: Case) -> View:
    box = bounding_box(head.brain)
    parts = [
        slice(max(0, a - _MARGIN), min(n, b + _MARGIN))
        for a, b, n in zip(box.start, box.stop, head.shape, strict=True)
    ]
    x, y, z = ((a + b) // 2 for a, b in zip(box.start, box.stop, strict=True))
    # Off the midline, where the falx would be all there is to see.
    return View((x + 12, y, z), (parts[0], parts[1], parts[2]), 1.0)


def _panel(
    view: View, axis: int, grey: NDArray[np.uint8], outline: NDArray[np.bool_] | None = None
) -> Panel:
    picture = np.repeat(on_screen(grey, axis, view)[..., None], 3, axis=2)
    if outline is not None:
        brain = on_screen(outline, axis, view)
        picture[brain & outline_of(brain.astype(np.uint8))] = _OUTLINE
    image = Image.fromarray(np.ascontiguousarray(picture))
    mark_sides(image, axis)
    return Panel(PLANES[axis], "", image)


def _grey(head: Case, sequence: Sequence) -> NDArray[np.uint8]:
    """As bytes, so that the brain, not the scalp, spans them."""
    image = head.images[sequence]
    low, high = np.percentile(image[head.brain], (0.5, 99.5)).tolist()
    scaled = (image - low) * (255 / max(high - low, 1e-6))
    return np.asarray(scaled.clip(0, 255), np.uint8)


def _chequers(shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    x, y, z = (np.arange(n) // _FIELD for n in shape)
    return np.asarray((x[:, None, None] + y[:, None] + z) % 2 == 0)
