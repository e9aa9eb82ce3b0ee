"""What is tidied up in a label map after the network: what a person, or the model, asks for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from minicube._errors import InputError
from minicube.scans import LabelMap, Region, Tissue, components, enclosed
from minicube.volumes import bounding_box

__all__ = ["PostProcessing", "postprocess"]

_TOUCHING: Final = 26  # voxels that share a face, an edge or a corner are of one component


@dataclass(frozen=True)
class PostProcessing:
    """The steps, in the order in which they are done.

    Args:
        largest: Keep only the largest component of the whole tumour.
        drop_below_ml: Components of the whole tumour smaller than this become background,
            millilitres.
        fill_holes: What the whole tumour encloses becomes oedema, and what the tumour core
            encloses becomes core.
        least_enhancing_ml: Enhancing tumour of less than this in all becomes core,
            millilitres; None for what the model says. Isensee et al., "nnU-Net for Brain Tumor
            Segmentation" (2020, arXiv:2011.00848), on post-processing for BraTS.

    Raises:
        InputError: A volume is negative or no number.
    """

    largest: bool = False
    drop_below_ml: float = 0.0
    fill_holes: bool = False
    least_enhancing_ml: float | None = None

    def __post_init__(self) -> None:
        for ml in (self.drop_below_ml, self.least_enhancing_ml or 0.0):
            if not 0 <= ml < float("inf"):
                raise InputError(
                    "A volume for post-processing cannot be used.",
                    expected="millilitres, 0 or more",
                    found=str(ml),
                )

    def or_else(self, least_enhancing_ml: float) -> PostProcessing:
        """The same with the threshold of enhancing tumour where none was asked for."""
        if self.least_enhancing_ml is not None:
            return self
        return replace(self, least_enhancing_ml=least_enhancing_ml)

    def in_words(self) -> str:
        """For a report."""
        least = self.least_enhancing_ml or 0.0
        steps = [
            (self.largest, "the largest component kept"),
            (self.drop_below_ml, f"components below {self.drop_below_ml:g} ml dropped"),
            (self.fill_holes, "holes filled"),
            (least, f"less than {least:g} ml of enhancing tumour counted as core"),
        ]
        return ", ".join(words for asked, words in steps if asked) or "none"


def postprocess(labels: LabelMap, voxel_ml: float, how: PostProcessing) -> LabelMap:
    """Do the steps that are asked for.

    Args:
        labels: ``(x, y, z)``, in a scheme with oedema, core and enhancing tumour.
        voxel_ml: Volume of one voxel, millilitres.
        how: The steps.

    Returns:
        A new map in the same scheme; ``labels`` itself when no step is asked for.
    """
    tumour = labels.region(Region.WT)
    least_enhancing_ml = how.least_enhancing_ml or 0.0
    asked = how.largest or how.drop_below_ml or how.fill_holes or least_enhancing_ml
    if not (asked and tumour.any()):
        return labels
    array = labels.array.copy()
    box = bounding_box(tumour).slices
    inside, tumour = array[box], tumour[box]
    if how.largest or how.drop_below_ml:
        inside[tumour & ~_kept(tumour, voxel_ml, how)] = 0
    if how.fill_holes:
        _fill(inside, labels)
    enhancing = inside == labels.scheme.value_of(Tissue.ENHANCING)
    if enhancing.sum() * voxel_ml < least_enhancing_ml:
        inside[enhancing] = labels.scheme.value_of(Tissue.CORE)
    return LabelMap(array, labels.scheme)


def _kept(tumour: NDArray[np.bool_], voxel_ml: float, how: PostProcessing) -> NDArray[np.bool_]:
    """The components of a mask that stay."""
    parts = components(tumour, _TOUCHING)
    ml = np.bincount(parts.ravel()) * voxel_ml
    stays = ml >= how.drop_below_ml
    stays[0] = False
    if how.largest:
        largest = 1 + ml[1:].argmax()
        stays &= np.arange(len(ml)) == largest
    kept: NDArray[np.bool_] = stays[parts]
    return kept


def _fill(array: NDArray[np.uint8], labels: LabelMap) -> None:
    for region, tissue in ((Region.WT, Tissue.OEDEMA), (Region.TC, Tissue.CORE)):
        mask = np.isin(array, labels.scheme.region_values(region))
        array[enclosed(mask)] = labels.scheme.value_of(tissue)
