"""Optional preparation: noise measured inside the brain, and a filter that knows it is Rician.

A magnitude image is the length of a complex signal with Gaussian noise of standard deviation σ
in both parts. Its values follow Rice's distribution: nearly Gaussian where the signal is
well above σ, and pushed up where it is not. The mean of their squares is A² + 2σ² for a
signal A, whatever A is; so squares are averaged, and 2σ² is taken away again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from minicube._errors import InputError, MissingExtra
from minicube.volumes.box import bounding_box

__all__ = ["MAD_OF_A_NORMAL", "denoise_rician", "estimate_noise"]

_PATCH_RADIUS = 1
"""Voxels; patches of 3³ are compared."""

_BLOCK_RADIUS = 3
"""Voxels, patch included; like patches are looked for among the 5³ nearest."""

MAD_OF_A_NORMAL: Final = 0.6744897501960817
"""Median absolute deviation over standard deviation."""

_KOAY_STEPS = 100


def estimate_noise(image: NDArray[np.float32], brain: NDArray[np.bool_]) -> float:
    """Estimate σ from the highest frequencies inside the brain.

    The background of a skull-stripped scan says nothing, so only blocks of 2³ voxels that
    lie in the brain count. In each the eight values are added with the signs of a
    checkerboard and divided by √8 (the diagonal band of Haar's wavelet), which leaves
    of smooth tissue nothing and of white noise its σ; the median of the absolute values over
    0.6745 is robust against edges. Of the blocks the half with the smaller gradient is taken,
    and of that the brighter half, where the distribution is closest to a Gaussian; Koay's
    factor corrects for what is missing.

    Noise that was smoothed, by resampling for one, has less of its power in that band: the
    estimate is then of what is left there, and below the scanner's σ. On whole numbers it
    comes in steps of 0.52.

    Args:
        image: ``(x, y, z)`` magnitudes, any unit.
        brain: ``(x, y, z)``.

    Returns:
        σ in the image's unit, ≥ 0.

    Raises:
        InputError: The shapes differ, or no block of 2³ voxels lies in the brain.
        MissingExtra: SciPy is not installed.

    Reference: Coupé et al., "Robust Rician noise estimation for MR images", Medical Image
    Analysis 14 (2010) 483–493, for the wavelet in the object; Koay and Basser, J. Magn.
    Reson. 179 (2006) 317–322, doi:10.1016/j.jmr.2006.01.016, for the correction.
    """
    _check(image, brain)
    inside = _of_blocks(brain, np.logical_and)
    if not inside.any():
        raise InputError(
            "The noise cannot be estimated: the brain is too small.",
            expected="at least one block of 2 × 2 × 2 voxels inside it",
            found=f"{int(brain.sum())} voxels",
        )
    values = np.where(brain, image, 0).astype(np.float64)
    mean = _of_blocks(values, np.add) / 8
    diagonal = np.abs(_of_blocks(values, np.subtract)) / np.sqrt(8)
    # Means of neighbouring blocks know nothing of the diagonal: choosing by them is fair.
    steep = _steepness(mean)
    chosen = inside & (steep <= np.median(steep[inside]))
    chosen &= mean >= np.median(mean[chosen])
    spread = float(np.median(diagonal[chosen])) / MAD_OF_A_NORMAL
    return _without_rician_narrowing(spread, float(np.median(mean[chosen])))


def denoise_rician(
    image: NDArray[np.float32], brain: NDArray[np.bool_], noise: float | None = None
) -> NDArray[np.float32]:
    """Non-local means of the squared magnitudes, less 2σ².

    The brain's values are carried on beyond its surface before filtering, so that the zeros
    outside pull nothing down.

    Args:
        image: ``(x, y, z)`` magnitudes ≥ 0 in the brain, any unit.
        brain: ``(x, y, z)``.
        noise: σ in the image's unit; estimated when left out. 0 leaves the image as it is.

    Returns:
        ``(x, y, z)`` float32 in the image's unit, ≥ 0, and 0 outside the brain.

    Raises:
        InputError: The shapes differ, the image has negative values (it is no magnitude: a
            z-score, for one), σ is impossible, or the brain is too small to estimate it.
        MissingExtra: DIPY or SciPy is not installed.

    Reference: Wiest-Daesslé et al., "Rician noise removal by non-local means filtering for
    low signal-to-noise ratio MRI", MICCAI 2008, doi:10.1007/978-3-540-85990-1_21; Nowak,
    IEEE Trans. Image Process. 8 (1999) 1408–1419, doi:10.1109/83.791966, for squares and
    their bias; filter of DIPY: Descoteaux et al., MICCAI 2008,
    doi:10.1007/978-3-540-85990-1_15.
    """
    non_local_means = _dipy()
    _check(image, brain)
    if brain.any() and image[brain].min() < 0:
        raise InputError(
            "Only magnitudes can be denoised.",
            expected="values of 0 or more in the brain",
            found=f"a least value of {float(image[brain].min()):g}",
            hint="denoise before intensities are normalised",
        )
    sigma = estimate_noise(image, brain) if noise is None else noise
    if not (np.isfinite(sigma) and sigma >= 0):
        raise InputError("The noise must be a number of at least 0.", found=f"{sigma:g}")
    out = np.zeros(image.shape, np.float32)
    if sigma == 0 or not brain.any():
        out[brain] = image[brain]
        return out
    box = bounding_box(brain).slices
    inside = np.pad(brain[box], _BLOCK_RADIUS)  # the filter mirrors, and needs room for it
    continued = _continued(np.pad(image[box], _BLOCK_RADIUS), inside).astype(np.float64)
    # In units of σ, for the filter's sums are of squares.
    filtered = non_local_means(
        continued / sigma,
        sigma=np.ones(inside.shape),
        mask=inside,
        patch_radius=_PATCH_RADIUS,
        block_radius=_BLOCK_RADIUS,
        rician=True,
        method="classic",
    )
    out[brain] = filtered[inside] * sigma
    return out


def _dipy() -> Callable[..., NDArray[np.float64]]:
    try:
        from dipy.denoise.nlmeans import nlmeans  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise MissingExtra("Denoising", "denoise") from error
    function: Callable[..., NDArray[np.float64]] = nlmeans
    return function


def _check(image: NDArray[np.float32], brain: NDArray[np.bool_]) -> None:
    if image.ndim != 3 or image.shape != brain.shape:
        raise InputError(
            "Image and brain must be volumes on one grid.",
            found=f"an image of {image.shape} and a brain of {brain.shape}",
        )


def _of_blocks(values: NDArray[Any], combine: np.ufunc) -> NDArray[Any]:
    """Combine the eight voxels of every block of 2³, later with earlier along each axis."""
    for axis in range(3):
        after = np.moveaxis(values, axis, 0)
        values = np.moveaxis(combine(after[1:], after[:-1]), 0, axis)
    return values


def _steepness(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared length of the gradient by central differences; 0 along an axis of one voxel."""
    steep = np.zeros_like(values)
    for axis, size in enumerate(values.shape):
        if size > 1:
            steep += np.gradient(values, axis=axis) ** 2
    return steep


def _without_rician_narrowing(spread: float, mean: float) -> float:
    """σ from the standard deviation and the mean of Rician values.

    Koay and Basser's fixed point: with θ = A/σ, the variance is ξ(θ) σ² and
    θ² = ξ(θ) (1 + (mean / spread)²) − 2, where ξ(θ) = 2 + θ² − (π/8) e^(−θ²/2)
    ((2 + θ²) I₀(θ²/4) + θ² I₁(θ²/4))².
    """
    try:
        from scipy.special import ive  # the scaled Bessel functions: the exponential is in them
    except ImportError as error:
        raise MissingExtra("Measuring noise", "denoise") from error
    if spread == 0 or mean <= 0:
        return spread
    ratio = mean / spread
    squared = ratio**2  # θ²
    factor = 1.0
    for _ in range(_KOAY_STEPS):
        quarter = squared / 4
        bessel = (2 + squared) * ive(0, quarter) + squared * ive(1, quarter)
        factor = float(2 + squared - np.pi / 8 * bessel**2)
        squared = max(0.0, factor * (1 + ratio**2) - 2)
    return spread / float(np.sqrt(factor))


def _continued(image: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Give every voxel outside the value of the nearest one inside."""
    from scipy import ndimage

    nearest = ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
    continued: NDArray[np.float32] = image[tuple(nearest)]
    return continued
