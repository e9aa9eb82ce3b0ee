"""Losses that compare volumes: Dice of tissues and of regions, Tversky, Focal-Tversky.

Volumes are counted over the whole batch, of all ranks, before a ratio is taken, so that a window
without a class does not score it.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from minicube.scans import NETWORK_SCHEME, Region
from minicube.training.losses.config import LossConfig
from minicube.training.losses.probability import class_weights, one_hot, probabilities
from minicube.training.ranks import ALONE, Ranks

__all__ = [
    "CHORD_END",
    "dice",
    "focal_tversky",
    "mean_over_classes",
    "power",
    "region_dice",
    "tversky",
    "tversky_per_class",
]

CHORD_END: Final = 1e-4
"""Losses below it are raised to a power < 1 along the chord from 0, where the slope is finite."""


def dice(logits: Tensor, target: Tensor, config: LossConfig, ranks: Ranks = ALONE) -> Tensor:
    """Soft Dice loss, mean over classes: 1 − (2 Σ p y + s) / (Σ p + Σ y + s).

    Args:
        logits: ``(B, C, X, Y, Z)``, class 0 background.
        target: ``(B, X, Y, Z)`` int64, in 0 … C − 1.
        config: ``activation``, ``background``, ``class_weights`` and ``smooth`` (s) count.
        ranks: Whose samples the batch is, all of them together.

    Returns:
        A scalar in [0, 1].

    Reference: equation (1) of the report, s = 1; Milletari et al., "V-Net", 3DV 2016,
    arXiv:1606.04797, for the soft form.
    """
    probability = probabilities(logits, config.activation)
    truth = one_hot(target, logits.shape[1])
    axes = _all_but_classes(logits)
    counts = [(probability * truth).sum(axes), (probability + truth).sum(axes)]
    overlap, total = ranks.sum(torch.stack(counts))  # (C,) each
    first = 0 if config.background else 1
    index = (2 * overlap[first:] + config.smooth) / (total[first:] + config.smooth)
    return 1 - mean_over_classes(index, config)


def region_dice(logits: Tensor, target: Tensor, config: LossConfig, ranks: Ranks = ALONE) -> Tensor:
    """Soft Dice loss, mean over the nested regions that BraTS scores: WT, TC, ET.

    A region's probability is the sum of its tissues'. A tissue taken for another of the same
    region costs nothing there.

    Args:
        logits: ``(B, 4, X, Y, Z)``, the classes of :data:`minicube.scans.NETWORK_SCHEME`.
        target: ``(B, X, Y, Z)`` int64, in 0 … 3.
        config: ``smooth`` counts.
        ranks: Whose samples the batch is, all of them together.

    Returns:
        A scalar in [0, 1].

    Reference: the sum as in :func:`dice`; regions instead of tissues as in Isensee et al.,
    "nnU-Net for Brain Tumor Segmentation", BrainLes 2020, arXiv:2011.00848.
    """
    probability = probabilities(logits, config.activation)
    losses = []
    for region in Region:
        values = NETWORK_SCHEME.region_values(region)
        inside = torch.stack([probability[:, value] for value in values]).sum(0)
        truth = torch.stack([target == value for value in values]).any(0)
        counts = [(inside * truth).sum(), inside.sum() + truth.sum()]
        overlap, total = ranks.sum(torch.stack(counts))
        losses.append(1 - (2 * overlap + config.smooth) / (total + config.smooth))
    return torch.stack(losses).mean()


def tversky(logits: Tensor, target: Tensor, config: LossConfig, ranks: Ranks = ALONE) -> Tensor:
    """Tversky loss, mean over classes: 1 − TI, see :func:`tversky_per_class`.

    Args:
        logits: ``(B, C, X, Y, Z)``, class 0 background.
        target: ``(B, X, Y, Z)`` int64, in 0 … C − 1.
        config: ``alpha`` and ``beta`` count, and what counts for Dice.
        ranks: Whose samples the batch is, all of them together.

    Returns:
        A scalar in [0, 1]; with alpha = beta = 1/2 it is Dice.

    Reference: equations (4) and (5) of the report; Salehi et al., MLMI 2017,
    arXiv:1706.05721.
    """
    losses = tversky_per_class(logits, target, config, (config.alpha, config.beta), ranks)
    return mean_over_classes(losses if config.background else losses[1:], config)


def focal_tversky(
    logits: Tensor, target: Tensor, config: LossConfig, ranks: Ranks = ALONE
) -> Tensor:
    """Focal-Tversky loss, summed over classes: Σ (1 − TI)^(1/γ).

    The slope of the root is infinite at a loss of 0: below :data:`CHORD_END` (ε) the chord
    from the origin stands in for it, with the slope ε^(1/γ − 1), at most 464 (γ = 3).

    Args:
        logits: ``(B, C, X, Y, Z)``, class 0 background.
        target: ``(B, X, Y, Z)`` int64, in 0 … C − 1.
        config: ``gamma`` and ``inverted_exponent`` count, and what counts for Tversky. Class
            weights, scaled to a mean of 1 over the classes counted, multiply the summands.
        ranks: Whose samples the batch is, all of them together.

    Returns:
        A scalar from 0 to the number of classes counted: the sum grows with them.

    Reference: equations (6) and (7) of the report; Abraham and Khan, ISBI 2019,
    arXiv:1810.07842.
    """
    losses = tversky_per_class(logits, target, config, (config.alpha, config.beta), ranks)
    losses = losses if config.background else losses[1:]
    exponent = config.gamma if config.inverted_exponent else 1 / config.gamma
    return len(losses) * mean_over_classes(power(losses, exponent), config)


def tversky_per_class(
    logits: Tensor,
    target: Tensor,
    config: LossConfig,
    penalties: tuple[float, float],
    ranks: Ranks = ALONE,
) -> Tensor:
    """Tversky loss of each class: (α FP + β FN) / (TP + α FP + β FN + s/2).

    That is 1 − (TP + s/2) / (TP + α FP + β FN + s/2), written so that small losses keep
    their digits.

    Args:
        logits: ``(B, C, X, Y, Z)``.
        target: ``(B, X, Y, Z)`` int64, in 0 … C − 1.
        config: ``activation`` and ``smooth`` (s) count.
        penalties: α of false positives, β of false negatives.
        ranks: Whose samples the batch is, all of them together.

    Returns:
        ``(C,)``, each in [0, 1].
    """
    probability = probabilities(logits, config.activation)
    truth = one_hot(target, logits.shape[1])
    axes = _all_but_classes(logits)
    counts = [(probability * truth).sum(axes), (probability * ~truth).sum(axes)]
    counts.append(((1 - probability) * truth).sum(axes))
    true_positive, false_positive, false_negative = ranks.sum(torch.stack(counts))  # (C,) each
    wrong = penalties[0] * false_positive + penalties[1] * false_negative
    losses: Tensor = wrong / (true_positive + wrong + config.smooth / 2)
    return losses


def power(losses: Tensor, exponent: float) -> Tensor:
    """Raise losses ≥ 0 to a power > 0; if it is < 1, by its chord below :data:`CHORD_END`.

    Continuous, 0 at 0, exact from there on, and of finite slope everywhere.
    """
    if exponent >= 1:
        return losses**exponent
    chord = losses * CHORD_END ** (exponent - 1)
    # Clamped, or the branch not taken would still send 0 · ∞ = NaN backwards.
    return torch.where(losses < CHORD_END, chord, losses.clamp(min=CHORD_END) ** exponent)


def mean_over_classes(values: Tensor, config: LossConfig) -> Tensor:
    """Mean of ``(C,)`` or of the last of them, weighted by the class weights of the same."""
    weights = class_weights(config, values)
    if weights is None:
        return values.mean()
    weights = weights[-len(values) :]
    return (weights * values).sum() / weights.sum()


def _all_but_classes(logits: Tensor) -> list[int]:
    return [axis for axis in range(logits.ndim) if axis != 1]
