"""Losses that are a mean over voxels: cross-entropy, focal, boundary-weighted cross-entropy."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from minicube.training.losses.config import Activation, LossConfig
from minicube.training.losses.probability import class_weights, one_hot, widened
from minicube.training.ranks import ALONE, Ranks

__all__ = [
    "boundary_cross_entropy",
    "boundary_weights",
    "cross_entropy",
    "focal",
    "focused",
    "surprise",
    "voxel_mean",
]

_TINY = 1e-12


def cross_entropy(
    logits: Tensor, target: Tensor, config: LossConfig, ranks: Ranks = ALONE
) -> Tensor:
    """Cross-entropy −log p_t, mean over voxels.

    With softmax p_t is the true class's probability. With sigmoid every class is a yes or a
    no of its own, p_t = p or 1 − p, and the mean runs over classes too.

    Args:
        logits: ``(B, C, X, Y, Z)``, class 0 background.
        target: ``(B, X, Y, Z)`` int64, in 0 … C − 1.
        config: ``activation`` and ``class_weights`` count; the weights are those of the
            voxels' true classes, and the weighted sum is divided by the sum of the weights.
        ranks: Whose samples the batch is, all of them together.

    Returns:
        A scalar ≥ 0.

    Reference: equation (2) of the report; Zhang et al., "Dive into Deep Learning",
    arXiv:2106.11342.
    """
    logits = widened(logits)
    weights = class_weights(config, logits)
    if config.activation is Activation.SOFTMAX:
        local = functional.cross_entropy(logits, target, weight=weights)
        return ranks.mean(local, target.numel() if weights is None else weights[target].sum())
    values = surprise(logits, target, config.activation).mean(dim=1)
    return voxel_mean(values, None if weights is None else weights[target], ranks)


def focal(logits: Tensor, target: Tensor, config: LossConfig, ranks: Ranks = ALONE) -> Tensor:
    """Focal loss −(1 − p_t)^focusing log p_t, mean over voxels; p_t as in cross-entropy.

    Args:
        logits: ``(B, C, X, Y, Z)``, class 0 background.
        target: ``(B, X, Y, Z)`` int64, in 0 … C − 1.
        config: ``focusing`` counts, and what counts for cross-entropy.
        ranks: Whose samples the batch is, all of them together.

    Returns:
        A scalar ≥ 0; with focusing 0 it is cross-entropy.

    Reference: equation (3) of the report; Lin et al., ICCV 2017, arXiv:1708.02002,
    equation (4), and (5) for the class weights.
    """
    logits = widened(logits)
    weights = class_weights(config, logits)
    values = focused(surprise(logits, target, config.activation), config.focusing).mean(dim=1)
    return voxel_mean(values, None if weights is None else weights[target], ranks)


def boundary_cross_entropy(
    logits: Tensor, target: Tensor, config: LossConfig, ranks: Ranks = ALONE
) -> Tensor:
    """Cross-entropy with voxels near a boundary weighted up: Σ w(x) CE(x) / Σ w(x).

    U-Net sums over voxels; here the sum is divided by that of the weights, so that the scale
    is cross-entropy's whatever the size of the window and the number of boundaries in it.

    Args:
        logits: ``(B, C, X, Y, Z)``, class 0 background.
        target: ``(B, X, Y, Z)`` int64, in 0 … C − 1.
        config: ``boundary_weight`` and ``boundary_sigma`` count, see
            :func:`boundary_weights`, and what counts for cross-entropy.
        ranks: Whose samples the batch is, all of them together.

    Returns:
        A scalar ≥ 0; with boundary weight 0 it is cross-entropy.

    Reference: the report's §1.1, third idea; Ronneberger et al., "U-Net", MICCAI 2015,
    arXiv:1505.04597, equations (1) and (2).
    """
    logits = widened(logits)
    values = surprise(logits, target, config.activation).mean(dim=1)
    return voxel_mean(values, boundary_weights(target, config).to(values), ranks)


def boundary_weights(target: Tensor, config: LossConfig) -> Tensor:
    """Weights of voxels: w(x) = w_c + w0 exp(−d² / (2 σ²)).

    U-Net adds the distances to the two nearest of many touching cells. Our classes touch
    without a gap, so d is the distance to the nearest voxel of another class, 1 at the
    boundary. A window of one class has no boundary.

    Args:
        target: ``(B, X, Y, Z)`` int64.
        config: ``class_weights`` (w_c, scaled to a mean of 1; else 1), ``boundary_weight``
            (w0) and ``boundary_sigma`` (σ, voxels) count.

    Returns:
        ``(B, X, Y, Z)`` fp32 on the target's device, > 0.

    Reference: Ronneberger et al., "U-Net", MICCAI 2015, arXiv:1505.04597, equation (2).
    """
    distance = np.stack([_distance_to_another_class(one) for one in target.cpu().numpy()])
    near = np.exp(-(distance**2) / np.float32(2 * config.boundary_sigma**2))
    weights = config.boundary_weight * torch.from_numpy(near).to(target.device)
    classes = class_weights(config, weights)
    return weights + (1 if classes is None else classes[target])


def surprise(logits: Tensor, target: Tensor, activation: Activation) -> Tensor:
    """−log p_t of every voxel: ``(B, 1, …)`` with softmax, ``(B, C, …)`` with sigmoid, ≥ 0."""
    if activation is Activation.SOFTMAX:
        return functional.cross_entropy(logits, target, reduction="none").unsqueeze(1)
    signed = torch.where(one_hot(target, logits.shape[1]), logits, -logits)
    return -functional.logsigmoid(signed)


def focused(values: Tensor, exponent: float) -> Tensor:
    """(1 − p_t)^exponent (−log p_t), from −log p_t ≥ 0 and an exponent ≥ 0."""
    doubt = -torch.expm1(-values)  # 1 − p_t, with all its digits
    # The slope of a power below 1 is infinite at 0, where the product has the slope 0.
    return doubt.clamp(min=_TINY) ** exponent * values


def voxel_mean(values: Tensor, weights: Tensor | None, ranks: Ranks = ALONE) -> Tensor:
    """Mean over all voxels of all ranks, weighted or not."""
    if weights is None:
        return ranks.mean(values.mean(), values.numel())
    weight = weights.sum()
    return ranks.mean((weights * values).sum() / weight, weight)


def _distance_to_another_class(labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Voxels to the nearest voxel of another class; infinite where there is none."""
    distance = np.full(labels.shape, np.inf, np.float32)
    if (labels == labels.flat[0]).all():
        return distance
    for value, box in enumerate(ndimage.find_objects(labels + 1)):
        if box is None:
            continue
        # One voxel more than the class's box holds the nearest voxel outside of the class.
        box = tuple(slice(max(0, side.start - 1), side.stop + 1) for side in box)
        mask = labels[box] == value
        distance[box][mask] = ndimage.distance_transform_edt(mask)[mask]
    return distance
