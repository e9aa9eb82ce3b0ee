"""An exported graph run in pieces between the tensors it can be cut at, whatever the engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from minicube.engines.model import Model
from minicube.engines.portable import IMAGES, LOGITS, handed, risen
from minicube.planning import LevelCut, NetworkCost
from minicube.volumes import Shape

__all__ = ["WHOLE", "Piece", "PiecesEngine"]

Features = NDArray[np.float32]


@dataclass(frozen=True)
class Piece:
    """Part of a graph: from named tensors to a named tensor."""

    inputs: tuple[str, ...]
    output: str


WHOLE: Final = Piece((IMAGES,), LOGITS)


class PiecesEngine(ABC):
    """What engines of exported graphs share; features are numpy arrays ``(channel, x, y, z)``.

    Args:
        model: An exported one.
    """

    feature_bytes = 4  # as they are handed over; what is computed with is measured

    def __init__(self, model: Model) -> None:
        self.model = model
        self.cost: NetworkCost = model.cost

    @abstractmethod
    def run(self, piece: Piece, shape: Shape, *features: Features) -> Features:
        """Run a piece; ``shape`` is that of the answer along x, y, z."""

    @abstractmethod
    def let_go(self) -> None:
        """Forget what the last piece left in memory."""

    @property
    def stride(self) -> Shape:
        """Voxels along x, y, z; what the network answers for is a multiple of it."""
        return self.cost.stride

    @property
    def margin(self) -> int:
        """Voxels on each side that the network takes and does not answer for."""
        return self.cost.margin

    def logits(self, images: Features) -> Features:
        """Images ``(sequence, x, y, z)`` to logits ``(class, x, y, z)``, less the margin."""
        x, y, z = (n - 2 * self.margin for n in images.shape[1:])
        return self.run(WHOLE, (x, y, z), images)

    def take(self, images: Features) -> Features:
        """Images as this engine has them."""
        return images

    def give(self, features: Features) -> Features:
        """Logits as numpy has them."""
        return features

    def room(self, channels: int, shape: Shape) -> Features:
        """Room for features between levels."""
        return np.empty((channels, *shape), np.float32)

    def encode(self, x: Features, cut: LevelCut) -> Features:
        """What the levels of a cut hand down."""
        piece = Piece((_given_to(cut.first),), handed(cut.last))
        return self.run(piece, _shape(x, 2 ** (cut.last - cut.first)), x)

    def below(self, x: Features, first: int) -> Features:
        """What comes up from level ``first`` for what was handed down to it."""
        return self.run(Piece((handed(first),), risen(first)), _shape(x), x)

    def decode(self, x: Features, below: Features, cut: LevelCut) -> Features:
        """What the levels of a cut give; logits, where they begin at the top."""
        output = risen(cut.first) if cut.first else LOGITS
        return self.run(Piece((_given_to(cut.first), risen(cut.last)), output), _shape(x), x, below)


def _given_to(level: int) -> str:
    return handed(level) if level else IMAGES


def _shape(features: Features, factor: int = 1) -> Shape:
    x, y, z = (n // factor for n in features.shape[1:])
    return x, y, z
