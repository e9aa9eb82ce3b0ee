"""A Case to a Segmentation."""

from minicube.inference.averaging import Probabilities
from minicube.inference.cohort import (
    VOLUMES,
    Outcome,
    Stages,
    one_by_one,
    outcome_of,
    overlapped,
    write_volumes,
)
from minicube.inference.memory import MemoryPlan, Needs, plan_ahead
from minicube.inference.postprocess import PostProcessing, postprocess
from minicube.inference.resume import (
    Made,
    keep_made,
    made_before,
    origin_of_segmentation,
    settings_of,
)
from minicube.inference.segment import Limits, Refinements, Segmenter, least_enhancing_of, segment
from minicube.inference.segmentation import DEFAULT_SCHEME, Segmentation, probability_files
from minicube.inference.shipped import model_place, shipped_model, shipped_names

__all__ = [
    "DEFAULT_SCHEME",
    "VOLUMES",
    "Limits",
    "Made",
    "MemoryPlan",
    "Needs",
    "Outcome",
    "PostProcessing",
    "Probabilities",
    "Refinements",
    "Segmentation",
    "Segmenter",
    "Stages",
    "keep_made",
    "least_enhancing_of",
    "made_before",
    "model_place",
    "one_by_one",
    "origin_of_segmentation",
    "outcome_of",
    "overlapped",
    "plan_ahead",
    "postprocess",
    "probability_files",
    "segment",
    "settings_of",
    "shipped_model",
    "shipped_names",
    "write_volumes",
]
