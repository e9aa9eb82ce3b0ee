"""Losses over logits ``(batch, class, x, y, z)`` and class indices ``(batch, x, y, z)``."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["dice_and_cross_entropy"]

_SMOOTH = 1.0


def dice_and_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Soft Dice loss over the tumour classes plus cross-entropy over all.

    Dice is counted over the whole batch before the ratio is taken, so that a window without
    a class does not score it, with 1 added above and below as in the report's equation (1).
    Computed in fp32 whatever the logits are.

    Args:
        logits: ``(B, C, X, Y, Z)``, class 0 background.
        target: ``(B, X, Y, Z)`` int64, in 0 … C − 1.

    Returns:
        A scalar: 1 − mean Dice, in [0, 1], plus the mean cross-entropy, ≥ 0.

    Reference: Isensee et al., "nnU-Net", Nature Methods 2021, doi:10.1038/s41592-020-01008-z,
    for the sum; Milletari et al., "V-Net", 3DV 2016, arXiv:1606.04797, for the soft Dice.
    """
    logits = logits.float()
    probability = torch.softmax(logits, dim=1)
    truth = functional.one_hot(target, logits.shape[1]).movedim(-1, 1).to(probability.dtype)
    axes = (0, 2, 3, 4)
    overlap = (probability * truth).sum(axes)[1:]  # (C - 1,)
    total = (probability + truth).sum(axes)[1:]
    dice = (2 * overlap + _SMOOTH) / (total + _SMOOTH)
    return 1 - dice.mean() + functional.cross_entropy(logits, target)
