"""CarveMix: a tumour, with what is around it, set into another case's head.

A handful of labelled cases has a handful of tumours, each in one head. Carved out and set into the
others they are as many again, on anatomy that is real.
"""

from __future__ import annotations

import edt
import numpy as np
from numpy.typing import NDArray

__all__ = ["Window", "carved"]

_SEAM = 2.0  # voxels over which one head gives way to the other

Window = tuple[NDArray[np.float32], NDArray[np.uint8]]
"""Images ``(sequence, x, y, z)`` and labels ``(x, y, z)`` of one place in a case."""


def carved(head: Window, donor: Window, rng: np.random.Generator) -> Window:
    """Set the donor's tumour into the head, at the place in the window where it is.

    Zhang et al. 2021, `CarveMix <https://arxiv.org/abs/2108.06883>`_, equations 1 to 4: of the
    signed distance to the tumour's surface, negative inside, all below a random threshold is
    taken, from half the tumour's depth inside to all of it outside. Unlike theirs the border
    is mixed over two voxels, lest it be learnt.

    Args:
        head: A window; images are z-scores, and 0 outside the brain.
        donor: One of the same shape from another case.
        rng: Draws the threshold.

    Returns:
        A window of the same shape: 0 outside the head's brain, and in sequences that either
        lacks. The head as it was where the donor's has no tumour, or no sequence that the head has.
    """
    images, labels = head
    others, tumour = donor[0], donor[1] > 0
    common = images.any(axis=(1, 2, 3)) & others.any(axis=(1, 2, 3))
    if not tumour.any() or not common.any():
        return head
    inside, outside = edt.edt(tumour), edt.edt(~tumour)
    depth = min(float(inside.max()), sum(tumour.shape))  # infinite where all is tumour
    threshold = rng.uniform(-depth / 2, 0) if rng.random() < 0.5 else rng.uniform(0, depth)
    share = np.clip((threshold - (outside - inside)) / _SEAM + 0.5, 0, 1).astype(np.float32)
    brain = images.any(axis=0)
    share *= others.any(axis=0)
    mixed = share * others + (1 - share) * images
    mixed *= brain
    mixed[~common] = 0
    return mixed, np.where(brain, np.where(share >= 0.5, donor[1], labels), 0).astype(np.uint8)
