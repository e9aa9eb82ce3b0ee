"""HD95 and surface Dice against MONAI's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from minicube.evaluation import mask_distances, surface_distances
from minicube.scans import LabelScheme, Region, read_labels

torch = pytest.importorskip("torch")
metrics = pytest.importorskip("monai.metrics")

# MONAI warns of its own deprecated arguments.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

PREDICTIONS = Path(__file__).parents[2] / "shared" / "data" / "predictions"
TOLERANCES = (0.5, 1.0, 2.0)


def monai_scores(
    found: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    spacing: tuple[float, float, float],
    tolerances: tuple[float, ...] = TOLERANCES,
) -> list[float]:
    """HD95, then the surface Dice at each tolerance."""
    one, other = (torch.from_numpy(np.ascontiguousarray(m))[None, None] for m in (found, truth))
    common = {"include_background": True, "spacing": spacing}
    hd95 = metrics.compute_hausdorff_distance(one, other, percentile=95, **common)
    dice = [metrics.compute_surface_dice(one, other, [t], **common) for t in tolerances]
    return [float(value) for value in (hd95, *dice)]


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.6, 1.3, 3.0)])
@pytest.mark.parametrize("seed", range(6))
def test_blobs(seed: int, spacing: tuple[float, float, float]) -> None:
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(2, 14, 12, 10))
    smooth = noise + sum(np.roll(noise, 1, axis) + np.roll(noise, -1, axis) for axis in (1, 2, 3))
    found, truth = smooth > rng.uniform(0.5, 2.5)
    distances = mask_distances(found, truth, spacing)
    ours = [distances.hd95(), *(distances.nsd(t) for t in TOLERANCES)]
    assert ours == pytest.approx(monai_scores(found, truth, spacing), rel=1e-6)


@pytest.mark.parametrize(
    ("network", "case"), [("waveloss_attention", "004"), ("baseline_attention", "006")]
)
def test_real_predictions(network: str, case: str) -> None:
    if not PREDICTIONS.is_dir():
        pytest.skip("the predictions of shared/data are not present")
    found, truth = (
        read_labels(PREDICTIONS / name, LabelScheme.BRATS2021)[0]
        for name in (f"{network}/BraTS20_Training_{case}.nii.gz", f"reference/{case}.nii.gz")
    )
    distances = surface_distances(found, truth, (1.0, 1.0, 1.0), tuple(Region))
    for region in Region:
        ours = [distances[region].hd95(), distances[region].nsd(1.0)]
        masks = found.region(region), truth.region(region)
        theirs = monai_scores(*masks, (1.0, 1.0, 1.0), (1.0,))
        assert ours == pytest.approx(theirs, rel=1e-6)


def test_where_the_definitions_differ() -> None:
    """MONAI's subvoxel surface Dice weighs by area, and its HD95 of one empty mask is no number."""
    rng = np.random.default_rng(0)
    found, truth = rng.random((2, 9, 9, 9)) > 0.6
    by_voxels = mask_distances(found, truth, (1.0, 1.0, 1.0)).nsd(1.0)
    one, other = (torch.from_numpy(m)[None, None] for m in (found, truth))
    by_area = metrics.compute_surface_dice(
        one, other, [1.0], include_background=True, use_subvoxels=True
    )
    assert by_voxels != pytest.approx(float(by_area), abs=1e-3)
    with pytest.warns(UserWarning, match="all 0"):
        missed = metrics.compute_hausdorff_distance(
            torch.zeros_like(one), other, percentile=95, include_background=True
        )
    assert not np.isfinite(float(missed))
