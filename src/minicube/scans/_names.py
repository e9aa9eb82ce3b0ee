"""What data sets call sequences and tissues, and what is meant by it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from minicube.scans.case import Sequence
from minicube.scans.labels import LabelScheme, Tissue

__all__ = ["scheme_named", "sequence_named"]

_SEQUENCES: Final = {
    **dict.fromkeys(("t1n", "t1", "t1w"), Sequence.T1N),
    **dict.fromkeys(("t1c", "t1ce", "t1gd", "t1wce", "t1wgd", "t1post", "cet1w"), Sequence.T1C),
    **dict.fromkeys(("t2w", "t2"), Sequence.T2W),
    **dict.fromkeys(("t2f", "flair", "t2flair"), Sequence.T2F),
}

# Looked for in this order: "non-enhancing" holds "enhancing".
_TISSUES: Final = (
    (Tissue.BACKGROUND, r"background|^bg$|^0$"),
    (Tissue.CAVITY, r"cavity|^rc$"),
    (Tissue.CORE, r"necro|non.?enh|^ncr|^net|^netc|^tc$|tumou?r core"),
    (Tissue.OEDEMA, r"o?edema|^ed$|^snfh$|flair hyper"),
    (Tissue.ENHANCING, r"enhanc|^et$|^gd"),
)
_COARSE: Final = {Tissue.NECROSIS: Tissue.CORE, Tissue.NON_ENHANCING: Tissue.CORE}


def sequence_named(name: str) -> Sequence | None:
    """Return the sequence that a file or channel name stands for, or None."""
    return _SEQUENCES.get(re.sub(r"[^a-z0-9]", "", name.lower()))


def scheme_named(labels: Any) -> LabelScheme | None:
    """Return the scheme whose values have the names given in a ``dataset.json`` or table.

    Args:
        labels: Value to name (Decathlon), name to value (nnU-Net), or name to the list of
            values that make up a region (nnU-Net with regions).

    Returns:
        The one scheme in which every value means what its name says, or None.
    """
    if not isinstance(labels, Mapping):
        return None
    tissues = _by_region(labels) or _by_value(labels)
    for scheme in LabelScheme:
        if {v: _COARSE.get(t, t) for v, t in scheme.tissues.items()} == tissues:
            return scheme
    return None


def _by_value(labels: Mapping[Any, Any]) -> dict[int, Tissue | None]:
    found: dict[int, Tissue | None] = {}
    for key, other in labels.items():
        value, name = (key, other) if str(key).strip().isdigit() else (other, key)
        if not str(value).strip().isdigit():
            return {}
        found[int(value)] = _tissue_named(str(name))
    return {value: tissue for value, tissue in found.items() if value != 0}


def _by_region(labels: Mapping[Any, Any]) -> dict[int, Tissue | None]:
    """Nested regions, whole ⊃ core ⊃ enhancing: what each holds beyond the next."""
    sets: dict[str, set[int]] = {}
    for name, values in labels.items():
        members = values if isinstance(values, list) else [values]
        if not all(isinstance(v, int) for v in members):
            return {}
        for short, pattern in (
            ("WT", r"whole|^wt$"),
            ("TC", r"core|^tc$"),
            ("ET", r"^(?!.*non).*enhanc|^et$"),
        ):
            if re.search(pattern, str(name).lower()):
                sets[short] = set(members)
                break
    if set(sets) != {"WT", "TC", "ET"} or not any(isinstance(v, list) for v in labels.values()):
        return {}
    return {
        **dict.fromkeys(sets["WT"] - sets["TC"], Tissue.OEDEMA),
        **dict.fromkeys(sets["TC"] - sets["ET"], Tissue.CORE),
        **dict.fromkeys(sets["ET"], Tissue.ENHANCING),
    }


def _tissue_named(name: str) -> Tissue | None:
    for tissue, pattern in _TISSUES:
        if re.search(pattern, name.strip().lower()):
            return tissue
    return None
