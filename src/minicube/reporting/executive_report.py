"""The numbers that the executive report prints, to stand beside ours.

Source: Buchwald, Heumann, Tobin, Puran Youssef and Zemann, "Brain Tumour Segmentation on the Basis
of a U-Net Architecture", executive report, University of Potsdam: its Tables 1 and 2.
"""

from __future__ import annotations

from typing import Final

__all__ = ["BACKGROUND_SHARE", "TABLE_1", "TABLE_2"]

TABLE_1: Final = {
    "train": {
        "background": ("2.2 · 10⁹", "0.982"),
        "edema": ("2.6 · 10⁷", "0.011"),
        "non_enhancing": ("7.2 · 10⁶", "0.003"),
        "enhancing": ("8.0 · 10⁶", "0.004"),
    },
    "test": {
        "background": ("4.7 · 10⁸", "0.982"),
        "edema": ("5.3 · 10⁶", "0.011"),
        "non_enhancing": ("1.6 · 10⁶", "0.003"),
        "enhancing": ("1.7 · 10⁶", "0.004"),
    },
}
"""Set and class to voxels and proportion, as printed."""

_NOTHING_FOUND: Final = {
    "background": ("1.0", "0.975", "0.988"),
    "edema": ("0", "NaN", "NaN"),
    "non_enhancing": ("0", "NaN", "NaN"),
    "enhancing": ("0", "NaN", "NaN"),
}

TABLE_2: Final = {"unet3d-report": _NOTHING_FOUND, "unet3d-context": _NOTHING_FOUND}
"""System and class to precision, recall and F1, as printed; both systems have the same."""

BACKGROUND_SHARE: Final = 0.982
"""Of all voxels, by Table 1."""
