"""A volume run in parts that give exactly what the whole gives (the design's "exact partition").

Parts begin on the network's grid; they end where the volume ends, so that every layer pads there
as it would in the whole; and what a halo made wrong is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from minicube.planning import LevelCut, LevelsCost, NetworkCost, Partition
from minicube.planning.partition import grown, parts_of
from minicube.volumes import Box, Shape

__all__ = ["Answer", "Features", "Images", "PartsEngine", "run_exactly"]

Answer = tuple[Box, NDArray[np.float32]]
"""A box of the volume, and the logits ``(class, *box.shape)`` there."""


class Images(Protocol):
    """What a network is given, window by window."""

    @property
    def shape(self) -> Shape:
        """Voxels along x, y, z."""
        ...

    def read(self, box: Box) -> NDArray[np.float32]:
        """Images ``(sequence, *box.shape)``; 0 outside the brain and outside the volume."""
        ...


class Features(Protocol):
    """An engine's own arrays, ``(channel, x, y, z)``: cut and filled like numpy's."""

    @property
    def shape(self) -> Any:
        """Channels, and voxels along x, y, z."""
        ...

    def __getitem__(self, index: Any) -> Features: ...

    def __setitem__(self, index: Any, value: Any) -> None: ...


class PartsEngine(Protocol):
    """Runs a network whole, or some of its levels."""

    @property
    def cost(self) -> NetworkCost:
        """Of the network."""
        ...

    def logits(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Images ``(sequence, x, y, z)`` to logits ``(class, x, y, z)``, less the margin."""
        ...

    def take(self, images: NDArray[np.float32]) -> Features:
        """Images as this engine has them."""
        ...

    def give(self, features: Features) -> NDArray[np.float32]:
        """Logits as numpy has them."""
        ...

    def room(self, channels: int, shape: Shape) -> Features:
        """Room for features between levels."""
        ...

    def encode(self, x: Features, cut: LevelCut) -> Features:
        """What the levels of a cut hand down."""
        ...

    def below(self, x: Features, first: int) -> Features:
        """What comes up from level ``first`` for what was handed down to it."""
        ...

    def decode(self, x: Features, below: Features, cut: LevelCut) -> Features:
        """What the levels of a cut give; logits, where they begin at the top."""
        ...


def run_exactly(engine: PartsEngine, images: Images, partition: Partition) -> Iterator[Answer]:
    """Run a volume as a partition says; boxes tile it, and no more than one is held here.

    Args:
        engine: Of a network that can be cut so.
        images: Of any shape; what the stride asks for on top is added at the far ends.
        partition: From :func:`minicube.planning.plan_partition`.
    """
    stride = engine.cost.stride
    shape = _in_strides(images.shape, stride)
    volume = Box((0, 0, 0), images.shape)
    for core, logits in _run_padded(engine, images, shape, partition):
        box = core.within(volume)
        if min(box.shape) > 0:
            x, y, z = box.relative_to(core.start).slices
            yield box, logits[:, x, y, z]


def _run_padded(
    engine: PartsEngine, images: Images, shape: Shape, partition: Partition
) -> Iterator[Answer]:
    cost = engine.cost
    if partition.cuts:

        def source(box: Box) -> Features:
            return engine.take(images.read(box))

        for core, features in _run_levels(engine, source, shape, partition.cuts):
            yield core, engine.give(features)
        return
    halo = _in_strides(cost.halo, cost.stride) if partition.tile else (0, 0, 0)
    for core in parts_of(shape, partition.tile or shape):
        window = grown(core, halo, shape)
        margin = cost.margin
        seen = Box(
            (window.start[0] - margin, window.start[1] - margin, window.start[2] - margin),
            (window.stop[0] + margin, window.stop[1] + margin, window.stop[2] + margin),
        )
        x, y, z = core.relative_to(window.start).slices
        yield core, engine.logits(images.read(seen))[:, x, y, z]


def _run_levels(
    engine: PartsEngine,
    source: Callable[[Box], Features],
    shape: Shape,
    cuts: Sequence[LevelCut],
) -> Iterator[tuple[Box, Features]]:
    """What the first level gives, part by part: the way down, all below, the way up."""
    cut, *inner = cuts
    cost = _cost_between(engine.cost, cut)
    f = cost.factor
    x, y, z = (n // f for n in shape)
    cores = parts_of(shape, cut.part)
    handed = engine.room(cost.handed, (x, y, z))
    for core in cores:
        window = grown(core, (cost.encode_halo,) * 3, shape)
        out = engine.encode(source(window), cut)
        inside = core.relative_to(window.start).coarser(f)
        handed[(slice(None), *core.coarser(f).slices)] = out[(slice(None), *inside.slices)]
        del out
    below = _run_below(engine, handed, cut.last, inner, cost.risen)
    del handed
    for core in cores:
        window = grown(core, (cost.decode_halo,) * 3, shape)
        came_up = below[(slice(None), *window.coarser(f).slices)]
        out = engine.decode(source(window), came_up, cut)
        yield core, out[(slice(None), *core.relative_to(window.start).slices)]
        del out


def _run_below(
    engine: PartsEngine, x: Features, first: int, cuts: Sequence[LevelCut], channels: int
) -> Features:
    if not cuts:
        return engine.below(x, first)
    _, *voxels = x.shape
    shape = (int(voxels[0]), int(voxels[1]), int(voxels[2]))
    out = engine.room(channels, shape)

    def source(box: Box) -> Features:
        return x[(slice(None), *box.slices)]

    for core, features in _run_levels(engine, source, shape, cuts):
        out[(slice(None), *core.slices)] = features
    return out


def _cost_between(cost: NetworkCost, cut: LevelCut) -> LevelsCost:
    return next(c for c in cost.levels if (c.first, c.last) == (cut.first, cut.last))


def _in_strides(shape: Shape, stride: Shape) -> Shape:
    x, y, z = (-(-n // s) * s for n, s in zip(shape, stride, strict=True))
    return x, y, z
