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


def mean_with_rule(
    cases: Sequence[EnhancingFound], least_ml: float, share_without: float | None = None
) -> float:
    """Mean Dice when less than ``least_ml`` millilitres in all are taken for none.

    Args:
        cases: With and without enhancing tumour.
        least_ml: The threshold.
        share_without: How many of the cases met in use have none, in [0, 1]; those here are
            weighted to it. None takes them as they are.
    """
    weights = [1.0] * len(cases)
    without = sum(not case.is_there for case in cases)
    if share_without is not None:
        many = {False: without, True: len(cases) - without}
        share = {False: share_without, True: 1 - share_without}
        weights = [share[case.is_there] / many[case.is_there] for case in cases]
    return float(np.average([case.dice_with_rule(least_ml) for case in cases], weights=weights))


def fit_least_enhancing(
    cases: Sequence[EnhancingFound], share_without: float | None = None
) -> float:
    """Return the threshold with the best mean Dice; of equally good ones the smallest.

    Isensee et al., "nnU-Net for Brain Tumor Segmentation" (2020, arXiv:2011.00848), choose that of
    the rule for BraTS in the same way.

    Args:
        cases: None of which the model has learnt from.
        share_without: As for :func:`mean_with_rule`.

    Returns:
        Millilitres, halfway between what was found in two cases; 0 for no rule.

    Raises:
        InputError: There are no cases; or a share is given, and all have or all lack enhancing
            tumour.
    """
    if not cases or (share_without is not None and len({c.is_there for c in cases}) < 2):
        raise InputError(
            "A threshold cannot be fitted on these cases.",
            expected="labelled cases, where a share is given with and without enhancing tumour",
            found=f"{len(cases)} cases",
        )
    volumes = sorted({0.0, *(case.found_ml for case in cases)})
    between = [(one + other) / 2 for one, other in pairwise(volumes)]
    return max([0.0, *between], key=lambda ml: mean_with_rule(cases, ml, share_without))
