"""What a loss depends on, as plain values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator, model_validator

__all__ = ["Activation", "LossConfig", "Term"]


class Term(StrEnum):
    """A loss by its word in configs; words joined by "+" are added."""

    CROSS_ENTROPY = "ce"
    FOCAL = "focal"
    DICE = "dice"
    REGION_DICE = "region-dice"
    TVERSKY = "tversky"
    FOCAL_TVERSKY = "focal-tversky"
    UNIFIED_FOCAL = "unified-focal"
    BOUNDARY_CROSS_ENTROPY = "boundary-ce"


class Activation(StrEnum):
    """How logits become probabilities."""

    SOFTMAX = "softmax"
    SIGMOID = "sigmoid"


@dataclass(frozen=True)
class _Range:
    low: float
    high: float = math.inf
    with_low: bool = True
    with_high: bool = True
    why: str = ""

    def __contains__(self, value: float) -> bool:
        above = value >= self.low if self.with_low else value > self.low
        below = value <= self.high if self.with_high else value < self.high
        return above and below and math.isfinite(value)  # NaN is in no range

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"be {'at least' if self.with_low else 'above'} {self.low:g}{self.why}"
        brackets = "(["[self.with_low], ")]"[self.with_high]
        return f"lie in {brackets[0]}{self.low:g}, {self.high:g}{brackets[1]}{self.why}"


_RANGES: Final = {
    "smooth": _Range(0, with_low=False),
    "alpha": _Range(0, 1, why=" (the penalty of false positives)"),
    "beta": _Range(0, 1, why=" (the penalty of false negatives)"),
    "gamma": _Range(1, 3, why=" (equation 7 of the report: the exponent is 1/gamma)"),
    "focusing": _Range(0, 5),
    "delta": _Range(0, 1),
    "mix": _Range(0, 1),
    "suppress": _Range(0, 1, with_high=False),
    "boundary_weight": _Range(0),
    "boundary_sigma": _Range(0, with_low=False),
}


class LossConfig(BaseModel):
    """A loss, whole. Settings of terms that are not in the name have no effect.

    Args:
        name: Words of :class:`Term`, joined by "+".
        activation: How logits become probabilities, in every term. Sigmoid takes each class
            on its own, as the report's group did although classes exclude each other.
        background: Whether Dice, Tversky and Focal-Tversky count class 0; the others always do.
        class_weights: One per class, > 0, only their ratios matter: weights of the mean over
            classes in overlap losses, of voxels by their true class in the others.
        smooth: Added above and below in Dice, > 0, of regions too; half of it in Tversky's
            index, so that alpha = beta = 1/2 is Dice.
        alpha: Penalty of false positives in Tversky's index, in [0, 1].
        beta: Penalty of false negatives, in [0, 1]; one of the two is above 0.
        gamma: In [1, 3]; Focal-Tversky's exponent is 1/gamma.
        inverted_exponent: Take gamma itself as the exponent: the error that the report
            suspects of its own training, here for the ablation only.
        focusing: Focal loss's exponent, in [0, 5].
        delta: Unified focal's share of the rare classes and of false negatives, in [0, 1].
        mix: Unified focal's lambda, the share of its focal part, in [0, 1].
        suppress: Unified focal's gamma, in [0, 1).
        boundary_weight: U-Net's w0, ≥ 0: weight added at a boundary.
        boundary_sigma: U-Net's sigma, voxels, > 0: how far that reaches.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "dice+ce"
    activation: Activation = Activation.SOFTMAX
    background: bool = False
    class_weights: tuple[float, ...] | None = None
    smooth: float = 1.0
    alpha: float = 0.5
    beta: float = 0.5
    gamma: float = 4 / 3
    inverted_exponent: bool = False
    focusing: float = 2.0
    delta: float = 0.6
    mix: float = 0.5
    suppress: float = 0.5
    boundary_weight: float = 10.0
    boundary_sigma: float = 5.0

    @property
    def terms(self) -> tuple[Term, ...]:
        """The losses that are added, in the name's order."""
        return tuple(Term(word) for word in self.name.split("+"))

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        words = name.split("+")
        for word in words:
            if word not in set(Term):
                raise ValueError(
                    f"a loss is one of {', '.join(Term)}, or several joined by '+'; "
                    f"{word!r} in {name!r} is none of them"
                )
        if len(set(words)) < len(words):
            raise ValueError(f"the loss {name!r} names a term twice; each counts once")
        return name

    @field_validator("class_weights")
    @classmethod
    def _positive(cls, weights: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if weights is not None and not all(w > 0 and math.isfinite(w) for w in weights):
            raise ValueError(f"every class weight must be above 0 and finite, not {weights}")
        return weights

    @field_validator(*_RANGES)
    @classmethod
    def _in_range(cls, value: float, info: ValidationInfo) -> float:
        wanted = _RANGES[str(info.field_name)]
        if value not in wanted:
            raise ValueError(f"{info.field_name} must {wanted}, not {value:g}")
        return value

    @model_validator(mode="after")
    def _regions_are_of_exclusive_tissues(self) -> Self:
        if Term.REGION_DICE in self.terms and self.activation is not Activation.SOFTMAX:
            raise ValueError(
                "region-dice adds up the probabilities of tissues that exclude each other: "
                'it needs activation = "softmax"'
            )
        return self

    @model_validator(mode="after")
    def _errors_are_penalised(self) -> Self:
        if self.alpha == 0 and self.beta == 0:
            raise ValueError(
                "alpha and beta must not both be 0, or Tversky's index is 1 whatever the answer"
            )
        return self
