"""From a loss's settings to the loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from torch import Tensor

from minicube._errors import InputError
from minicube.training.losses.config import LossConfig, Term
from minicube.training.losses.overlap import dice, focal_tversky, region_dice, tversky
from minicube.training.losses.probability import widened
from minicube.training.losses.unified import unified_focal
from minicube.training.losses.voxelwise import boundary_cross_entropy, cross_entropy, focal
from minicube.training.ranks import ALONE, Ranks

__all__ = ["Loss", "build_loss", "dice_and_cross_entropy"]

Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits ``(B, C, X, Y, Z)`` and target ``(B, X, Y, Z)`` int64 to a scalar, at least fp32."""

_FUNCTIONS: Final[Mapping[Term, Callable[[Tensor, Tensor, LossConfig, Ranks], Tensor]]] = {
    Term.CROSS_ENTROPY: cross_entropy,
    Term.FOCAL: focal,
    Term.DICE: dice,
    Term.REGION_DICE: region_dice,
    Term.TVERSKY: tversky,
    Term.FOCAL_TVERSKY: focal_tversky,
    Term.UNIFIED_FOCAL: unified_focal,
    Term.BOUNDARY_CROSS_ENTROPY: boundary_cross_entropy,
}


def build_loss(config: LossConfig, classes: int = 4, ranks: Ranks = ALONE) -> Loss:
    """Return the loss that a config names; the terms of a sum count alike.

    Args:
        config: The loss.
        classes: Channels of the logits, background among them; at least 2.
        ranks: Whose samples make the batch: the loss is that of all of them, on each rank.

    Raises:
        InputError: There is not one class weight for each class.
    """
    weights = config.class_weights
    if weights is not None and len(weights) != classes:
        raise InputError(
            "The loss needs one class weight for each class.",
            expected=f"{classes} weights, background first",
            found=f"{len(weights)}: {weights}",
        )
    first, *others = (_FUNCTIONS[term] for term in config.terms)

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        logits = widened(logits)  # once, so that the terms' gradients are added in fp32 too
        total = first(logits, target, config, ranks)
        for term in others:
            total = total + term(logits, target, config, ranks)
        return total

    return loss


def dice_and_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Soft Dice loss over the tumour classes plus cross-entropy over all: the default loss.

    Args:
        logits: ``(B, C, X, Y, Z)``, class 0 background.
        target: ``(B, X, Y, Z)`` int64, in 0 … C − 1.

    Returns:
        A scalar: 1 − mean Dice, in [0, 1], plus the mean cross-entropy, ≥ 0.

    Reference: Isensee et al., "nnU-Net", Nature Methods 2021, doi:10.1038/s41592-020-01008-z,
    for the sum.
    """
    return _DEFAULT(logits, target)


_DEFAULT: Final = build_loss(LossConfig())
