"""From how little enhancing tumour on it is believed, fitted on cases that a model has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from minicube._errors import InputError

__all__ = ["EnhancingFound", "fit_least_enhancing", "mean_with_rule"]


@dataclass(frozen=True)
class EnhancingFound:
    """What was found of the enhancing tumour of one case.

    Args:
        found_ml: In all, millilitres.
        is_there: Whether the reference has any.
        dice: Of what was found; where neither map has any 1, a false alarm 0.
    """

    found_ml: float
    is_there: bool
    dice: float

    def dice_with_rule(self, least_ml: float) -> float:
        """Dice when less than ``least_ml`` millilitres in all are taken for none."""
        if self.found_ml >= least_ml:
            return self.dice
        return 0.0 if self.is_there else 1.0


def mean_with_rule(cases: Sequence[EnhancingFound], least_ml: float) -> float:
    """Mean Dice when less than ``least_ml`` millilitres in all are taken for none."""
    return float(np.mean([case.dice_with_rule(least_ml) for case in cases]))


def fit_least_enhancing(cases: Sequence[EnhancingFound]) -> float:
    """Return the threshold with the best mean Dice; of equally good ones the smallest.

    Isensee et al., "nnU-Net for Brain Tumor Segmentation" (2020, arXiv:2011.00848), choose that of
    the rule for BraTS in the same way.

    Args:
        cases: None of which the model has learnt from.

    Returns:
        Millilitres, halfway between what was found in two cases; 0 for no rule.

    Raises:
        InputError: There are no cases.
    """
    if not cases:
        raise InputError("A threshold cannot be fitted without cases.")
    volumes = sorted({0.0, *(case.found_ml for case in cases)})
    between = [(one + other) / 2 for one, other in pairwise(volumes)]
    return max([0.0, *between], key=lambda least_ml: mean_with_rule(cases, least_ml))
