"""What an engine is, and a volume run through one: whole, or cut as the model was made for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from minicube.engines.exact import Answer, Images, PartsEngine, run_exactly
from minicube.planning import Partition
from minicube.scans import NETWORK_SCHEME, LabelMap
from minicube.volumes import Box, Minicube, Shape, partition

__all__ = [
    "Cut",
    "Engine",
    "HeldImages",
    "Precision",
    "cut_volume",
    "keep_likeliest",
    "segment_volume",
    "volume_answers",
    "volume_logits",
]


class Precision(StrEnum):
    """Number format of a network's arithmetic."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    INT8 = "int8"


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


@dataclass(frozen=True, eq=False)
class HeldImages:
    """Images that lie in memory.

    Args:
        array: ``(sequence, x, y, z)`` of any shape, 0 outside the brain.
    """

    array: NDArray[np.float32]

    @property
    def shape(self) -> Shape:
        """Voxels along x, y, z."""
        x, y, z = self.array.shape[1:]
        return x, y, z

    def read(self, box: Box) -> NDArray[np.float32]:
        """Images ``(sequence, *box.shape)``; 0 outside the volume."""
        return box.cut(self.array)


def volume_logits(
    engine: Engine, images: NDArray[np.float32], cut: Cut | Partition | None = None
) -> NDArray[np.float32]:
    """Run a volume, whole or in parts.

    Args:
        engine: Any; a partition asks for one that runs parts.
        images: ``(sequence, x, y, z)`` of any shape, 0 outside the brain.
        cut: The model's own parts, which are its answer; or a partition, which gives the
            answer of the whole; None runs the whole volume at once.

    Returns:
        Logits ``(class, x, y, z)``; of minicubes that hold nothing at all, zeros.
    """
    whole = HeldImages(images)
    out = np.zeros((len(NETWORK_SCHEME.values), *whole.shape), np.float32)
    for box, logits in volume_answers(engine, whole, cut):
        x, y, z = box.slices
        out[:, x, y, z] = logits
    return out


def segment_volume(
    engine: Engine, images: Images | NDArray[np.float32], cut: Cut | Partition | None = None
) -> LabelMap:
    """Keep the likeliest class of each voxel of :func:`volume_logits`, part by part.

    Returns:
        Labels ``(x, y, z)`` in :data:`NETWORK_SCHEME`.
    """
    given = HeldImages(images) if isinstance(images, np.ndarray) else images
    labels = np.zeros(given.shape, np.uint8)
    for box, logits in volume_answers(engine, given, cut):
        x, y, z = box.slices
        keep_likeliest(logits, labels[x, y, z])
    return LabelMap(labels, NETWORK_SCHEME)


def keep_likeliest(logits: NDArray[np.float32], labels: NDArray[np.uint8]) -> None:
    """Write the likeliest class of each voxel of ``(class, x, y, z)`` into ``(x, y, z)``.

    The first of equals, as argmax; by planes, since an index of eight bytes a voxel is large.
    """
    for x in range(logits.shape[1]):
        best = logits[0, x].copy()
        labels[x] = 0
        for value in range(1, len(logits)):
            better = logits[value, x] > best
            labels[x][better] = value
            np.maximum(best, logits[value, x], out=best)


def volume_answers(engine: Engine, images: Images, cut: Cut | Partition | None) -> Iterator[Answer]:
    """Boxes that tile the volume, and the logits there; as for :func:`volume_logits`."""
    volume = Box((0, 0, 0), images.shape)
    if cut is None:
        yield volume, _answer(engine, images, volume, 0)
    elif isinstance(cut, Partition):
        yield from run_exactly(cast("PartsEngine", engine), images, cut)
    else:
        parts, frame = cut_volume(images.shape, cut)
        for part in parts:
            core = part.core.relative_to((-frame.start[0], -frame.start[1], -frame.start[2]))
            box = core.within(volume)
            x, y, z = box.relative_to(core.start).slices
            yield box, _answer(engine, images, core, cut.context // 2)[:, x, y, z]


def _answer(engine: Engine, images: Images, core: Box, context: int) -> NDArray[np.float32]:
    """Logits of a box, seen with so many voxels of context on each side, zeros beyond the volume.

    What the stride asks for on top is added at the far ends.
    """
    reach = max(context, engine.margin)
    answered = (n + 2 * (reach - engine.margin) for n in core.shape)
    extra = [-n % stride for n, stride in zip(answered, engine.stride, strict=True)]
    start = _moved(core.start, (-reach, -reach, -reach))
    stop = _moved(core.stop, (reach + extra[0], reach + extra[1], reach + extra[2]))
    window = np.ascontiguousarray(images.read(Box(start, stop)))
    x, y, z = core.shape
    if not window.any():
        return np.zeros((len(NETWORK_SCHEME.values), x, y, z), np.float32)
    skip = reach - engine.margin
    logits = engine.logits(window)
    return logits[:, skip : skip + x, skip : skip + y, skip : skip + z]


def _moved(corner: Shape, by: Shape) -> Shape:
    return corner[0] + by[0], corner[1] + by[1], corner[2] + by[2]
