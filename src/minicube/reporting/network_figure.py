"""A network drawn from its layers (the report's Figure 3): a U, or a row where nothing is skipped.

What is drawn is what ran: sizes and channels are those that the traced layers gave, levels follow
from their strides, and a skip is seen where a convolution takes more channels than the layer
before it gave.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from markupsafe import Markup

from minicube._errors import InputError
from minicube.reporting.svg import LINE, SMALL, arrow, drawing, text, text_width, times

if TYPE_CHECKING:
    from minicube.networks.trace import Layer

__all__ = ["draw_network"]

_TRANSPOSED: Final = "transposed convolution"
_POOLING: Final = "pooling"
_MARGIN: Final = 24.0
_TOP: Final = 56.0
_PITCH: Final = 46.0
_SMALLEST: Final = 24.0
_GROWTH: Final = 86.0
_NARROWEST: Final = 5.0
_WIDENING: Final = 28.0
_BETWEEN: Final = 58.0
_HOOK: Final = 14.0
_LEAST_WIDTH: Final = 560.0
_ARROWS: Final = {"same": "one", "point": "four", "down": "two", "up": "three", "skip": "grey"}


@dataclass(frozen=True)
class _Box:
    """What a layer gave, and where it stands.

    Args:
        channels: It has.
        shape: Voxels along x, y, z.
        level: 0 is the top.
        step: How it came from the box before: a key of the arrows' colours, or "" for the input.
        words: The layer in words.
        copied: The box whose content is joined to it from a skip.
        x: Its middle.
    """

    channels: int
    shape: tuple[int, int, int]
    level: int
    step: str
    words: str
    copied: _Box | None = None
    x: float = 0.0


@dataclass
class _Plan:
    """Sizes that all boxes of one drawing share.

    Args:
        boxes: In the order they ran.
        flat: All in one row.
    """

    boxes: list[_Box]
    flat: bool
    rows: list[float] = field(default_factory=list)  # middle of each level

    def __post_init__(self) -> None:
        self.largest = max(max(box.shape) for box in self.boxes)
        self.most = max(box.channels for box in self.boxes)
        middle = _TOP
        for level in range(1 + max(self.row(box) for box in self.boxes)):
            tallest = max(self.height(box) for box in self.boxes if self.row(box) == level)
            self.rows.append(middle + LINE + tallest / 2)
            middle += LINE + tallest + _BETWEEN
        self.bottom = middle - _BETWEEN + LINE + 8

    def row(self, box: _Box) -> int:
        return 0 if self.flat else box.level

    def height(self, box: _Box) -> float:
        return _SMALLEST + _GROWTH * max(box.shape) / self.largest

    def width(self, channels: int) -> float:
        return _NARROWEST + _WIDENING * math.sqrt(channels / self.most)

    def left(self, box: _Box) -> float:
        """Left end of a box together with what is copied beside it."""
        copied = self.width(box.copied.channels) if box.copied else 0.0
        return box.x - self.width(box.channels) / 2 - copied

    def right(self, box: _Box) -> float:
        return box.x + self.width(box.channels) / 2

    def edge(self, box: _Box, side: int) -> float:
        """y of the upper (-1) or lower (1) side."""
        return self.rows[self.row(box)] + side * self.height(box) / 2


def draw_network(
    layers: Sequence[Layer], title: str, *, input_shape: tuple[int, int, int] | None = None
) -> str:
    """Draw a network: channels above each box, x × y × z below, arrows for layers, a legend.

    Args:
        layers: From ``minicube.networks.trace.trace``. Of a network that runs more than once
            (tri-planar), the first run is drawn.
        title: Stands above the drawing.
        input_shape: Voxels along x, y, z that go in; the first layer does not tell. None leaves
            the input out.

    Returns:
        An SVG file's content.

    Raises:
        InputError: There are no layers.
    """
    if not layers:
        raise InputError("A network without layers cannot be drawn.")
    run = _first_run(layers)
    boxes = _boxes(run, input_shape)
    flat = all(box.copied is None for box in boxes)
    plan = _Plan(boxes, flat)
    _place(plan)
    parts = [_drawn(plan, box) for box in plan.boxes]
    parts += [_stepped(plan, one, other) for one, other in itertools.pairwise(plan.boxes)]
    parts += [_skipped(plan, box) for box in plan.boxes if box.copied]
    parts += _size_labels(plan)
    width = max(_LEAST_WIDTH, max(map(plan.right, plan.boxes)) + 2 * _MARGIN)
    legend, bottom = _legend(run, not flat, width, plan.bottom + LINE)
    return drawing(width, bottom, title, [*parts, *legend])


def _first_run(layers: Sequence[Layer]) -> list[Layer]:
    rest = itertools.takewhile(lambda layer: layer.name != layers[0].name, layers[1:])
    return [layers[0], *rest]


def _boxes(layers: Sequence[Layer], input_shape: tuple[int, int, int] | None) -> list[_Box]:
    """Levels by stride; what was there before a step down waits to be joined on the way up."""
    boxes: list[_Box] = []
    waiting: list[_Box] = []
    level = 0 if input_shape is not None or layers[0].stride == 1 else -1
    if input_shape is not None:
        slices = all(layer.shape[2] == 1 for layer in layers)
        entering = (*input_shape[:2], 1) if slices else input_shape
        boxes.append(_Box(layers[0].channels_in, entering, level, "", "input"))
    for layer, after in itertools.zip_longest(layers, layers[1:]):
        copied = None
        if layer.kind == _TRANSPOSED:
            level -= 1
            copied = _joined(layer, after, waiting.pop() if waiting else None)
        elif layer.stride > 1:
            level += 1
            waiting += boxes[-1:]
        channels = f"{layer.channels_in} to {layer.channels} channels"
        words = f"{layer.name}: {_in_words(layer)}, {channels}"
        boxes.append(_Box(layer.channels, layer.shape, level, _step(layer), words, copied))
    return boxes


def _joined(up: Layer, after: Layer | None, before: _Box | None) -> _Box | None:
    """``before``, where the layer after ``up`` takes its channels as well."""
    if after is None or before is None or after.channels_in != up.channels + before.channels:
        return None
    return before


def _step(layer: Layer) -> str:
    if layer.kind == _TRANSPOSED:
        return "up"
    if layer.stride > 1:
        return "down"
    return "same" if layer.kernel > 1 else "point"


def _in_words(layer: Layer) -> str:
    name = f"max-{layer.kind}" if layer.kind == _POOLING else str(layer.kind)
    power = "³" if layer.shape[2] > 1 else "²"
    stride = f", stride {layer.stride}" if layer.stride > 1 else ""
    return f"{name} {layer.kernel}{power}{stride}"


def _place(plan: _Plan) -> None:
    """Set x: a convolution goes right, a step down or up stays in its column."""
    placed: list[_Box] = []
    number = {id(box): i for i, box in enumerate(plan.boxes)}
    for box in plan.boxes:
        copied = placed[number[id(box.copied)]] if box.copied is not None else None
        box = replace(box, copied=copied)
        placed.append(replace(box, x=_place_of(plan, box, placed[-1] if placed else None)))
    plan.boxes = placed


def _place_of(plan: _Plan, box: _Box, before: _Box | None) -> float:
    label = text_width(times(box.shape)) + 8
    if before is None:
        return _MARGIN + max(plan.width(box.channels), label) / 2
    if plan.flat:
        return before.x + label + _PITCH / 2
    if box.copied is not None:
        # Room for the copy, and between both for what the skip's arrow says.
        ahead = plan.width(box.channels) / 2 + plan.width(box.copied.channels)
        free = text_width(_cropping(box)) + 12
        return max(before.x + ahead / 2, plan.right(box.copied) + free + ahead)
    if box.step in ("down", "up"):
        return before.x
    return before.x + (_PITCH if box.shape == before.shape else max(_PITCH, label))


def _cropping(box: _Box) -> str:
    """What happens to a skip on its way, in words."""
    if box.copied is None or box.copied.shape == box.shape:
        return ""
    return f"cropped to {times(box.shape)}"


def _drawn(plan: _Plan, box: _Box) -> Markup:
    top, height = plan.edge(box, -1), plan.height(box)
    rectangle = Markup(
        '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}">'
        "<title>{}</title></rect>"
    )
    width = plan.width(box.channels)
    last = box is plan.boxes[-1]
    look = "end" if last or not box.step else "box"
    parts = [rectangle.format(look, box.x - width / 2, top, width, height, box.words)]
    label = str(box.channels)
    if box.copied is not None:
        copied = plan.width(box.copied.channels)
        words = f"copied from {box.copied.words.partition(':')[0]}"
        parts.append(rectangle.format("copy", plan.left(box), top, copied, height, words))
        label = f"{box.copied.channels} + {label}"
    middle = (plan.left(box) + plan.right(box)) / 2
    parts.append(text((middle, top - 5), label, "small", "middle"))
    return Markup("").join(parts)


def _stepped(plan: _Plan, one: _Box, other: _Box) -> Markup:
    """The arrow from a box to the one after it."""
    look = _ARROWS[other.step]
    if plan.row(one) == plan.row(other):
        y = plan.rows[plan.row(one)]
        return arrow((plan.right(one) + 3, y), (plan.left(other) - 3, y), look)
    if other.step == "down":
        start, stop = plan.edge(one, 1) + LINE + 4, plan.edge(other, -1) - LINE - 2
    else:
        start, stop = plan.edge(one, -1) - LINE - 2, plan.edge(other, 1) + LINE + 4
    if other.x < plan.right(one) + _HOOK:
        return arrow((other.x, start), (other.x, stop), look)
    # Moved aside to make room for what the skip's arrow says: round the corner.
    y = plan.rows[plan.row(one)]
    corner = Markup('<path class="arrow {}" d="M{:.1f} {y:.1f}H{:.1f}"/>')
    across = corner.format(look, plan.right(one) + 3, other.x, y=y)
    return across + arrow((other.x, y), (other.x, stop), look)


def _skipped(plan: _Plan, box: _Box) -> Markup:
    """The long arrow from the way down to the way up."""
    if box.copied is None:
        return Markup("")
    y = plan.rows[plan.row(box)] - plan.height(box) / 4
    start, stop = plan.right(box.copied) + 3, plan.left(box) - 3
    drawn = arrow((start, y), (stop, y), _ARROWS["skip"])
    return drawn + text(((start + stop) / 2, y - 5), _cropping(box), "small quiet", "middle")


def _size_labels(plan: _Plan) -> list[Markup]:
    """x × y × z once below each run of boxes that share it."""
    labels = []
    for _, run in itertools.groupby(plan.boxes, key=lambda box: (plan.row(box), box.shape)):
        boxes = list(run)
        middle = (plan.left(boxes[0]) + plan.right(boxes[-1])) / 2
        below = max(plan.edge(box, 1) for box in boxes) + SMALL + 3
        labels.append(text((middle, below), times(boxes[0].shape), "small quiet", "middle"))
    return labels


def _legend(
    layers: Sequence[Layer], skips: bool, width: float, top: float
) -> tuple[list[Markup], float]:
    """Each kind of arrow once, and where the legend ends."""
    entries = dict.fromkeys((_ARROWS[_step(layer)], _in_words(layer)) for layer in layers)
    if skips:
        entries[_ARROWS["skip"], "skip: copied and joined"] = None
    slices = all(layer.shape[2] == 1 for layer in layers)
    notes = f"channels above, {'pixels x × y' if slices else 'voxels x × y × z'} below"
    drawn, x, y = [], _MARGIN, top + LINE
    for look, words in entries:
        wide = 34 + text_width(words) + 18
        if x > _MARGIN and x + wide > width - _MARGIN:
            x, y = _MARGIN, y + LINE + 4
        drawn.append(arrow((x, y - 4), (x + 26, y - 4), look))
        drawn.append(text((x + 34, y), words, "small"))
        x += wide
    y += LINE + 4
    drawn.append(text((_MARGIN, y), notes, "small quiet"))
    return drawn, y + LINE
