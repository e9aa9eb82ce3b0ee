"""Losses over logits ``(batch, class, x, y, z)`` and class indices ``(batch, x, y, z)``.

All of them compute in fp32, or in fp64 when the logits are fp64, and stay finite with a
finite gradient whatever finite logits are given.
"""

from minicube.training.losses.build import Loss, build_loss, dice_and_cross_entropy
from minicube.training.losses.config import Activation, LossConfig, Term

__all__ = ["Activation", "Loss", "LossConfig", "Term", "build_loss", "dice_and_cross_entropy"]
