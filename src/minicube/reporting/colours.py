"""One colour for each tissue, apart for every kind of colour vision and on grey.

From the palette of Okabe and Ito, "Color Universal Design" (2008): no two of them are confused
in protanopia, deuteranopia or tritanopia; a test computes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from minicube.scans import Tissue

__all__ = ["COLOURS", "as_hex"]

COLOURS: Final[Mapping[Tissue, tuple[int, int, int]]] = {
    Tissue.OEDEMA: (86, 180, 233),
    Tissue.CORE: (213, 94, 0),
    Tissue.NON_ENHANCING: (213, 94, 0),
    Tissue.NECROSIS: (0, 114, 178),
    Tissue.ENHANCING: (240, 228, 66),
    Tissue.CAVITY: (204, 121, 167),
}
"""Red, green, blue in 0–255. Core and non-enhancing tumour never meet in one scheme."""


def as_hex(tissue: Tissue) -> str:
    """Return the tissue's colour for HTML, such as ``#56b4e9``."""
    return "#{:02x}{:02x}{:02x}".format(*COLOURS[tissue])
