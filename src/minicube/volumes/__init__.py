"""A Case made ready and cut up: resample, crop, normalise, minicubes, the on-disk store."""

from minicube.volumes.box import Box, Shape, bounding_box
from minicube.volumes.denoise import denoise_rician, estimate_noise
from minicube.volumes.origin import PREPARATION, Origin, origin_of, unlike
from minicube.volumes.partition import (
    REPORT_MINICUBE,
    REPORT_REGION,
    ContextPlacement,
    CroppedRegion,
    Minicube,
    composite,
    concatenate,
    partition,
    region_around,
)
from minicube.volumes.prepare import (
    Frame,
    Intensities,
    Prepared,
    Scale,
    normalise,
    prepare,
    restore,
    unscaled,
)
from minicube.volumes.resample import NETWORK_SPACING, resample, resample_labels
from minicube.volumes.shading import even, fit_shading
from minicube.volumes.store import BRAIN, StoredCase, open_stored, store_one

__all__ = [
    "BRAIN",
    "NETWORK_SPACING",
    "PREPARATION",
    "REPORT_MINICUBE",
    "REPORT_REGION",
    "Box",
    "ContextPlacement",
    "CroppedRegion",
    "Frame",
    "Intensities",
    "Minicube",
    "Origin",
    "Prepared",
    "Scale",
    "Shape",
    "StoredCase",
    "bounding_box",
    "composite",
    "concatenate",
    "denoise_rician",
    "estimate_noise",
    "even",
    "fit_shading",
    "normalise",
    "open_stored",
    "origin_of",
    "partition",
    "prepare",
    "region_around",
    "resample",
    "resample_labels",
    "restore",
    "store_one",
    "unlike",
    "unscaled",
]
