"""Random changes to a training sample. MONAI's transforms; this file only chooses them.

Every sequence is changed on its own, since scanners do not change all four alike. What lies
outside the brain is 0 again in the end, as it is in every prepared case, and so is a sequence
that is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from minicube.engines.telemetry import left_out
from minicube.scans import Sequence
from minicube.training.config import Augmentation

with left_out("mlflow"):  # MONAI imports it wherever it is installed; it takes seconds
    from monai.transforms import (
        Compose,
        Rand3DElasticd,
        RandAdjustContrastd,
        RandAffined,
        RandBiasFieldd,
        RandFlipd,
        RandGaussianNoised,
        RandGaussianSharpend,
        RandGaussianSmoothd,
        RandScaleIntensityd,
        RandShiftIntensityd,
        RandSimulateLowResolutiond,
        Transform,
    )

__all__ = ["Augment", "augmentation"]

Augment = Callable[[NDArray[np.float32], NDArray[np.uint8], int], tuple[Tensor, Tensor]]

_IMAGES = "images"
_MASKS = "labels and brain"
_SECOND = 1 / 3  # of the samples that lack a sequence, the share that lacks another
_LACKED = {Sequence.T2F: 0.4}  # share of the first that are FLAIR, without which most is missed
_ROTATION = np.pi / 8
_SCALE = (-0.15, 0.2)
_SHADING = (-0.1, 0.1)  # of polynomials up to the third degree; the field is their exponential
_AIR = -3.5  # z-score of no signal: real brains lie 2 to 6 deviations above
_OTHER = 0x9E3779B9  # with one seed, what moves a sample would draw the numbers of what shades it
# MONAI's own values blur by up to a voxel first and then add ten to thirty times the detail.
_SHARPER = {f"sigma1_{axis}": (0.25, 0.4) for axis in "xyz"} | {"alpha": (2.0, 5.0)}


class _RandShadingd(RandBiasFieldd):  # type: ignore[misc]  # MONAI is not typed
    """MONAI's, which multiplies: of the signal, not of z-scores, whose 0 lies in the middle."""

    def __call__(self, data: Mapping[Hashable, Tensor]) -> dict[Hashable, Tensor]:
        keys = [*self.key_iterator(dict(data))]
        shaded = super().__call__({key: data[key] - _AIR for key in keys})
        if not self._do_transform:
            return dict(data)
        return {**data, **{key: shaded[key] + _AIR for key in keys}}


def augmentation(config: Augmentation, *, planar: bool = False) -> Augment:
    """Return the function that changes samples as ``config`` says.

    ``planar`` keeps axial slices in their plane, unbent, and apart from each other: a sample of
    two slices would turn out of itself, and blur into the nothing above and below.

    It takes images ``(sequence, x, y, z)`` (z-scores, 0 outside the brain), labels
    ``(x, y, z)`` and a seed below 2³², and gives tensors of the same shapes, labels int64.
    The result depends on these three alone.
    """
    spatial = _spatial(config, planar)
    intensity = Compose(
        [change for s in Sequence for change in _intensity(s.value, config, planar)]
    )

    def augment(
        images: NDArray[np.float32], labels: NDArray[np.uint8], seed: int
    ) -> tuple[Tensor, Tensor]:
        spatial.set_random_state(seed=seed)
        intensity.set_random_state(seed=seed ^ _OTHER)
        brain = (images != 0).any(axis=0)
        moved = spatial(
            {_IMAGES: torch.as_tensor(images), _MASKS: torch.as_tensor(np.stack([labels, brain]))}
        )
        masks = torch.as_tensor(moved[_MASKS]).as_subclass(Tensor)
        volumes = torch.as_tensor(moved[_IMAGES]).as_subclass(Tensor)
        # MONAI's channels, of each sequence: planar its slices (z, x, y), else one (1, x, y, z).
        channels = volumes.movedim(-1, 1) if planar else volumes[:, None]
        changed = intensity({s.value: channels[i] for i, s in enumerate(Sequence)})
        stacked = torch.stack([torch.as_tensor(changed[s.value]) for s in Sequence])
        out = (stacked.movedim(1, -1) if planar else stacked[:, 0]) * masks[1]
        out[~torch.as_tensor(images).flatten(1).any(dim=1)] = 0
        rng = np.random.default_rng(seed)
        if rng.random() < config.missing:
            count = 1 + int(rng.random() < _SECOND)
            out[rng.choice(len(Sequence), count, replace=False, p=_odds_of_lacking())] = 0
        return out.as_subclass(Tensor), masks[0].long()

    return augment


def _odds_of_lacking() -> list[float]:
    """Of each sequence, in order."""
    rest = (1 - sum(_LACKED.values())) / (len(Sequence) - len(_LACKED))
    return [_LACKED.get(sequence, rest) for sequence in Sequence]


def _spatial(config: Augmentation, planar: bool) -> Compose:
    keys = [_IMAGES, _MASKS]
    geometry = {
        "rotate_range": (0.0, 0.0, _ROTATION) if planar else (_ROTATION,) * 3,
        "scale_range": (_SCALE, _SCALE, (0.0, 0.0)) if planar else (_SCALE,) * 3,
        "mode": ["bilinear", "nearest"],
        "padding_mode": "zeros",
    }
    return Compose(
        [
            RandFlipd(keys, prob=config.flip, spatial_axis=0),
            RandAffined(keys, prob=config.affine, **geometry),
            Rand3DElasticd(
                keys,
                sigma_range=(6, 8),
                magnitude_range=(50, 150),
                prob=0.0 if planar else config.elastic,
                **geometry,
            ),
        ]
    )


def _intensity(key: str, config: Augmentation, planar: bool) -> list[Transform]:
    keys = [key]
    low = (0.5, 1.2)
    return [
        RandAdjustContrastd(keys, prob=config.contrast, gamma=(0.6, 1.6), retain_stats=True),
        RandScaleIntensityd(keys, prob=config.scale, factors=0.25),
        RandShiftIntensityd(keys, prob=config.scale, offsets=0.25),
        _RandShadingd(keys, prob=config.bias, coeff_range=_SHADING),
        RandGaussianSmoothd(keys, prob=config.blur, sigma_x=low, sigma_y=low, sigma_z=low),
        RandGaussianSharpend(keys, **_SHARPER, prob=config.sharpness),
        RandSimulateLowResolutiond(
            keys,
            prob=config.coarse,
            zoom_range=(0.4, 1.0),
            upsample_mode="bilinear" if planar else "trilinear",
        ),
        RandGaussianNoised(keys, prob=config.noise, std=0.3),
    ]
