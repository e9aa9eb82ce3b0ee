"""The cheapest way through a network that stays within so many bytes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from minicube.planning.cost import LevelsCost, NetworkCost, PieceCost
from minicube.planning.partition import LevelCut, Partition, axis_windows
from minicube.volumes import Shape

__all__ = ["Plan", "Task", "least_bytes", "plan_partition"]

_FLOAT = 4
_GIVEN = 2 * _FLOAT  # a number of an image: as it was cut out, and as the engine has it
_MOST_PARTS = 24  # along an axis
_MOST_OVERHEAD = 4.0  # nobody waits longer for less memory
_TOLERANCE = 1 << 20  # bytes, of the least budget


@dataclass(frozen=True)
class Plan:
    """How a volume goes through, and what that takes.

    Args:
        partition: The cuts.
        bytes: Most that is held at once beside the images: features, windows, labels.
        flops: Floating-point operations, halos included.
        overhead: Operations over those of the whole volume at once.
    """

    partition: Partition
    bytes: int
    flops: float
    overhead: float


@dataclass(frozen=True)
class Task:
    """A volume for a network.

    Args:
        cost: Of the network.
        shape: Voxels of the volume along x, y, z, any.
        feature_bytes: Of a number between layers: 4 in fp32, 2 in bf16.
    """

    cost: NetworkCost
    shape: Shape
    feature_bytes: int = _FLOAT

    @cached_property
    def padded(self) -> Shape:
        """The shape in whole strides."""
        x, y, z = (
            -(-n // stride) * stride for n, stride in zip(self.shape, self.cost.stride, strict=True)
        )
        return x, y, z

    def held(self, piece: PieceCost, voxels: int) -> float:
        """Bytes that a piece holds for so many voxels."""
        return piece.bytes * voxels * self.feature_bytes / _FLOAT + piece.fixed

    @property
    def labels(self) -> int:
        """Bytes of the label map."""
        return math.prod(self.shape)

    @property
    def whole_flops(self) -> float:
        """Operations of the whole volume at once."""
        on_top = self.cost.answered.flops * math.prod(self.padded)
        return self.cost.whole.flops * self._whole_voxels + on_top

    @property
    def _whole_voxels(self) -> int:
        return math.prod(n + 2 * self.cost.margin for n in self.padded)

    @property
    def whole_bytes(self) -> float:
        """Bytes of the whole volume at once, what goes in included."""
        given = self._whole_voxels * self.cost.sequences * _GIVEN
        on_top = self.held(self.cost.answered, math.prod(self.padded))
        return given + self.held(self.cost.whole, self._whole_voxels) + on_top


@dataclass(frozen=True)
class _Way:
    """A candidate."""

    cuts: tuple[LevelCut, ...]
    bytes: float
    flops: float


def plan_partition(task: Task, budget: int) -> Plan | None:
    """Return the plan with the fewest operations that holds at most ``budget`` bytes, if any.

    None of more than four times the operations of the whole volume is one.
    """
    plan = _cheapest(task, budget)
    return plan if plan is not None and plan.overhead <= _MOST_OVERHEAD else None


def _cheapest(task: Task, budget: int) -> Plan | None:
    left = budget - task.labels
    if task.whole_bytes <= left:
        return _as_plan(task, Partition(), task.whole_bytes, task.whole_flops)
    if task.cost.whole_only is not None:
        return None
    if not task.cost.levels:
        return _plan_tiles(task, left)
    way = _best_way(task, 0, task.padded, left)
    return None if way is None else _as_plan(task, Partition(way.cuts), way.bytes, way.flops)


def least_bytes(task: Task) -> int:
    """The smallest budget, in bytes, that :func:`plan_partition` finds a plan for; to 1 MB."""
    high = int(task.whole_bytes) + task.labels + _TOLERANCE
    low = 0
    while high - low > _TOLERANCE:
        middle = (low + high) // 2
        if plan_partition(task, middle) is None:
            low = middle
        else:
            high = middle
    return high


def _as_plan(task: Task, partition: Partition, held: float, flops: float) -> Plan:
    return Plan(partition, math.ceil(held) + task.labels, flops, flops / task.whole_flops)


def _best_way(task: Task, first: int, shape: Shape, budget: float) -> _Way | None:
    """From level ``first`` down, in parts; of one volume's ways the one with least to compute."""
    ways = []
    for cost in task.cost.levels:
        if cost.first == first:
            way = _cut_between(task, cost, shape, budget)
            if way is not None:
                ways.append(way)
    return min(ways, key=lambda way: way.flops, default=None)


def _cut_between(task: Task, cost: LevelsCost, shape: Shape, budget: float) -> _Way | None:
    x, y, z = (n // cost.factor for n in shape)
    voxels = x * y * z
    handed = cost.handed * voxels * task.feature_bytes
    risen = cost.risen * voxels * task.feature_bytes
    top = _best_part(task, cost, shape, (budget - handed, budget - risen))
    if top is None:
        return None
    part, held, flops = top
    cut = LevelCut(cost.first, cost.last, part)
    below = _Way((), task.held(cost.below, voxels), cost.below.flops * voxels)
    if handed + below.bytes > budget:
        # What comes up is put together from parts: it is held beside them.
        inner = _best_way(task, cost.last, (x, y, z), budget - handed - risen)
        if inner is None:
            return None
        below = _Way(inner.cuts, inner.bytes + risen, inner.flops)
    most = max(handed + held[0], handed + below.bytes, risen + held[1])
    return _Way((cut, *below.cuts), most, flops + below.flops)


def _best_part(
    task: Task, cost: LevelsCost, shape: Shape, budgets: tuple[float, float]
) -> tuple[Shape, tuple[float, float], float] | None:
    """The part with least to compute; with it the bytes held on the way down and up."""
    given = _given_bytes(task, cost)
    best = None
    for part in _parts(shape, cost.factor):
        down, widest_down = _windows(shape, part, cost.encode_halo)
        up, widest_up = _windows(shape, part, cost.decode_halo)
        held_down = given * widest_down + task.held(cost.encode, widest_down)
        comes_up = cost.risen * task.feature_bytes * widest_up / cost.factor**3
        held_up = given * widest_up + task.held(cost.decode, widest_up) + comes_up
        if held_down > budgets[0] or held_up > budgets[1]:
            continue
        flops = cost.encode.flops * down + cost.decode.flops * up
        if best is None or flops < best[2]:
            best = part, (held_down, held_up), flops
    return best


def _given_bytes(task: Task, cost: LevelsCost) -> int:
    """Of a voxel of a window that is copied out of what it is cut from."""
    if cost.first == 0:
        return task.cost.sequences * _GIVEN
    above = next(c for c in task.cost.levels if c.last == cost.first)
    return above.handed * task.feature_bytes


def _parts(shape: Shape, step: int) -> Iterator[Shape]:
    """Shapes of parts, multiples of ``step``: every axis whole, halved, in thirds, …"""
    sides = []
    for n in shape:
        counts = range(1, min(_MOST_PARTS, n // step) + 1)
        sides.append(sorted({-(-n // (count * step)) * step for count in counts}, reverse=True))
    # Cut along z before y before x: slices stay whole as long as they can.
    x, y, z = sides
    yield from itertools.product(x, y, z)


def _windows(shape: Shape, part: Shape, halo: int) -> tuple[int, int]:
    """Voxels of all windows together, and of the largest."""
    axes = [axis_windows(n, size, halo) for n, size in zip(shape, part, strict=True)]
    return math.prod(total for total, _ in axes), math.prod(longest for _, longest in axes)


def _plan_tiles(task: Task, budget: float) -> Plan | None:
    """Tiles of a network without levels, each with its whole halo."""
    cost, stride = task.cost, task.cost.stride
    halo = [-(-h // s) * s for h, s in zip(cost.halo, stride, strict=True)]
    best: Plan | None = None
    sides = [
        sorted({-(-n // (count * s)) * s for count in range(1, n // s + 1)}, reverse=True)
        for n, s in zip(task.padded, stride, strict=True)
    ]
    for tile in itertools.product(*sides):
        axes = [axis_windows(*axis) for axis in zip(task.padded, tile, halo, strict=True)]
        largest = math.prod(longest for _, longest in axes)
        held = largest * cost.sequences * _GIVEN + task.held(cost.whole, largest)
        flops = cost.whole.flops * math.prod(total for total, _ in axes)
        if held <= budget and (best is None or flops < best.flops):
            x, y, z = tile
            best = _as_plan(task, Partition(tile=(x, y, z)), held, flops)
    return best
