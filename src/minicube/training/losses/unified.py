"""Unified focal loss: one parameter pair for a focal and a Focal-Tversky loss."""

from __future__ import annotations

import torch
from torch import Tensor

from minicube.training.losses.config import LossConfig
from minicube.training.losses.overlap import mean_over_classes, power, tversky_per_class
from minicube.training.losses.probability import class_weights, widened
from minicube.training.losses.voxelwise import focused, surprise, voxel_mean
from minicube.training.ranks import ALONE, Ranks

__all__ = ["unified_focal"]


def unified_focal(
    logits: Tensor, target: Tensor, config: LossConfig, ranks: Ranks = ALONE
) -> Tensor:
    """Asymmetric unified focal loss: λ · focal + (1 − λ) · Focal-Tversky.

    Class 0 is the common one, which the focal part suppresses; all others are rare, and the
    Focal-Tversky part enhances them:

    - focal, mean over voxels: −(1 − δ) (1 − p_t)^γ log p_t where the truth is class 0,
      −δ log p_t elsewhere;
    - Focal-Tversky, mean over classes: L of class 0, L^(1 − γ) of each other class, where L is
      the Tversky loss with 1 − δ for false positives and δ for false negatives, and the
      power is taken as in :func:`~minicube.training.losses.overlap.power`.

    The paper writes the second as a sum over classes, its authors' code takes the mean; so
    does this, for then both parts keep their scale whatever the number of classes.

    Args:
        logits: ``(B, C, X, Y, Z)``, class 0 background.
        target: ``(B, X, Y, Z)`` int64, in 0 … C − 1.
        config: ``delta`` (δ), ``suppress`` (γ), ``mix`` (λ), ``smooth``, ``activation`` and
            ``class_weights`` (of voxels in the first part, of classes in the second) count.
        ranks: Whose samples the batch is, all of them together.

    Returns:
        A scalar ≥ 0.

    Reference: Yeung et al., "Unified Focal loss", Computerized Medical Imaging and Graphics 95
    (2022) 102026, arXiv:2102.04525, the asymmetric variant.
    """
    focal = _focal(logits, target, config, ranks)
    return config.mix * focal + (1 - config.mix) * _tversky(logits, target, config, ranks)


def _focal(logits: Tensor, target: Tensor, config: LossConfig, ranks: Ranks) -> Tensor:
    logits = widened(logits)
    values = surprise(logits, target, config.activation)  # (B, 1 or C, X, Y, Z)
    suppressed = (1 - config.delta) * focused(values, config.suppress)
    values = torch.where(target.unsqueeze(1) == 0, suppressed, config.delta * values).mean(dim=1)
    weights = class_weights(config, logits)
    return voxel_mean(values, None if weights is None else weights[target], ranks)


def _tversky(logits: Tensor, target: Tensor, config: LossConfig, ranks: Ranks) -> Tensor:
    penalties = (1 - config.delta, config.delta)
    losses = tversky_per_class(logits, target, config, penalties, ranks)
    enhanced = power(losses[1:], 1 - config.suppress)
    return mean_over_classes(torch.cat([losses[:1], enhanced]), config)
