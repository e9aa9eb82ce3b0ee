"""What an engine is, and a volume run through one: whole, or cut as the model was made for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from minicube.scans import NETWORK_SCHEME, LabelMap
from minicube.volumes import Box, Minicube, Shape, concatenate, partition

__all__ = ["Cut", "Engine", "cut_volume", "segment_volume", "volume_logits"]


class Engine(Protocol):
    """Runs one network."""

    @property
    def stride(self) -> Shape:
        """Voxels along x, y, z; what the network answers for is a multiple of it."""
        ...

    @property
    def margin(self) -> int:
        """Voxels on each side that the network takes and does not answer for."""
        ...

    def logits(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Images ``(sequence, x, y, z)`` to logits ``(class, x, y, z)``, less the margin."""
        ...


@dataclass(frozen=True)
class Cut:
    """How a volume is cut up to be predicted in parts, as the report did.

    Args:
        minicube: Voxels of a part along x, y, z.
        context: Voxels a part is given beyond that along each axis, both sides together.
    """

    minicube: Shape
    context: int = 0


def cut_volume(shape: Shape, cut: Cut) -> tuple[list[Minicube], Box]:
    """Cut a volume into whole minicubes.

    Args:
        shape: Voxels of the volume along x, y, z.
        cut: How.

    Returns:
        The parts of the smallest whole number of minicubes around the volume, and that frame
        as a box that is centred on the volume, so that the cuts are too.
    """
    start, stop = [], []
    for n, size in zip(shape, cut.minicube, strict=True):
        surplus = -n % size
        start.append(-(surplus // 2))
        stop.append(n + surplus - surplus // 2)
    frame = Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
    return partition(frame.shape, cut.minicube, context=cut.context), frame


def volume_logits(
    engine: Engine, images: NDArray[np.float32], cut: Cut | None = None
) -> NDArray[np.float32]:
    """Run a volume, whole or in parts.

    Args:
        engine: Any.
        images: ``(sequence, x, y, z)`` of any shape, 0 outside the brain.
        cut: None runs the whole volume at once.

    Returns:
        Logits ``(class, x, y, z)``; of parts that hold nothing at all, zeros.
    """
    x, y, z = images.shape[1:]
    if cut is None:
        return _answer(engine, images, Box((0, 0, 0), (x, y, z)), 0)
    parts, frame = cut_volume((x, y, z), cut)
    framed = frame.cut(images)
    context = cut.context // 2
    answers = [_answer(engine, framed, part.core, context) for part in parts]
    back = Box((0, 0, 0), (x, y, z)).relative_to(frame.start)
    return back.cut(concatenate(answers, parts))


def segment_volume(engine: Engine, images: NDArray[np.float32], cut: Cut | None = None) -> LabelMap:
    """Keep the likeliest class of each voxel of :func:`volume_logits`.

    Returns:
        Labels ``(x, y, z)`` in :data:`NETWORK_SCHEME`.
    """
    logits = volume_logits(engine, images, cut)
    return LabelMap(logits.argmax(axis=0).astype(np.uint8), NETWORK_SCHEME)


def _answer(
    engine: Engine, images: NDArray[np.float32], core: Box, context: int
) -> NDArray[np.float32]:
    """Logits of a box, seen with so many voxels of context on each side, zeros beyond the volume.

    What the stride asks for on top is added at the far ends.
    """
    reach = max(context, engine.margin)
    answered = (n + 2 * (reach - engine.margin) for n in core.shape)
    extra = [-n % stride for n, stride in zip(answered, engine.stride, strict=True)]
    start = _moved(core.start, (-reach, -reach, -reach))
    stop = _moved(core.stop, (reach + extra[0], reach + extra[1], reach + extra[2]))
    window = np.ascontiguousarray(Box(start, stop).cut(images))
    x, y, z = core.shape
    if not window.any():
        return np.zeros((len(NETWORK_SCHEME.values), x, y, z), np.float32)
    skip = reach - engine.margin
    logits = engine.logits(window)
    return logits[:, skip : skip + x, skip : skip + y, skip : skip + z]


def _moved(corner: Shape, by: Shape) -> Shape:
    return corner[0] + by[0], corner[1] + by[1], corner[2] + by[2]
