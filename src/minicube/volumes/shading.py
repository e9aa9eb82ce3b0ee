"""Coil shading: measured inside the brain, and taken out of prepared images."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from minicube.volumes.denoise import MAD_OF_A_NORMAL
from minicube.volumes.prepare import Prepared, normalise

__all__ = ["even", "fit_shading"]

_POWERS: Final = [p for p in itertools.product(range(3), repeat=3) if 0 < sum(p) <= 2]
_VOXELS = 20_000  # that are fitted to, about
_MAGNITUDES = 0.9  # share of the brain above 0, with less of which an image has no logarithm
_TUKEY = 4.685  # standard deviations from which on a voxel has no weight
_ROUNDS = 20


def fit_shading(image: NDArray[np.float32], brain: NDArray[np.bool_]) -> NDArray[np.float32] | None:
    """Find the smooth factor that a coil multiplied a scan by.

    Its logarithm is a polynomial of second order in x, y and z, fitted to those of the
    intensities by least squares that are weighted anew in each of twenty rounds, so that
    tumour and fluid, far from the most of the brain, count little or not at all.

    Args:
        image: ``(x, y, z)`` magnitudes, any unit.
        brain: ``(x, y, z)``.

    Returns:
        ``(x, y, z)`` float32 > 0, whose geometric mean over what was fitted to is 1; None where
        more than a tenth of the brain is not above 0, as of scans that were normalised before.

    Reference: that the logarithm makes a sum of it: Sled et al., IEEE Trans. Med. Imaging 17
    (1998) 87-97, equations 1 and 2; the weights, Tukey's biweight: Holland and Welsch,
    Communications in Statistics A6 (1977) 813-827.
    """
    lit = np.flatnonzero(brain & (image > 0))
    if lit.size <= _MAGNITUDES * np.count_nonzero(brain):
        return None
    lit = lit[:: max(1, lit.size // _VOXELS)]
    axes = [np.linspace(-1, 1, size) if size > 1 else np.zeros(1) for size in image.shape]
    x, y, z = (axis[at] for axis, at in zip(axes, np.unravel_index(lit, image.shape), strict=True))
    terms = np.stack([np.ones(lit.size), *(x**i * y**j * z**k for i, j, k in _POWERS)], axis=1)
    found = _robust_fit(terms, np.log(image.ravel()[lit].astype(np.float64)))
    found[0] = -(terms[:, 1:].mean(axis=0) @ found[1:])
    shading = np.full(image.shape, found[0], np.float32)
    x, y, z = np.ix_(*axes)
    for (i, j, k), share in zip(_POWERS, found[1:], strict=True):
        shading += (share * x**i * y**j * z**k).astype(np.float32)  # of two axes at the most
    return np.exp(shading, out=shading)


def even(prepared: Prepared) -> Prepared:
    """The same with each sequence's shading taken out, and z-scored again.

    Args:
        prepared: From :func:`minicube.volumes.prepare`. A sequence without a shading that can
            be measured, or that is not there, is left as it is.
    """
    images, scales = prepared.images.copy(), list(prepared.scales)
    for channel, scale in enumerate(prepared.scales):
        scan = scale.undone(images[channel])
        if (shading := fit_shading(scan, prepared.brain)) is not None:
            scan /= shading
            images[channel], scales[channel] = normalise(scan, prepared.brain)
    return replace(prepared, images=images, scales=tuple(scales))


def _robust_fit(terms: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    weights = np.ones(values.size)
    for _ in range(_ROUNDS):
        weighted = terms.T * weights
        found = np.asarray(np.linalg.lstsq(weighted @ terms, weighted @ values)[0], np.float64)
        off = np.abs(values - terms @ found)
        spread = float(np.median(off)) / MAD_OF_A_NORMAL
        if spread == 0:
            break
        weights = np.square(1 - np.square(np.minimum(off / (_TUKEY * spread), 1)))
    return found
