"""The report of one case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from minicube.reporting.colours import as_hex
from minicube.reporting.html import page, picture_source
from minicube.reporting.planes import Panel, View, most_telling, render_planes, view_of
from minicube.reporting.preparation_figure import Preparation, preparation_rows
from minicube.scans import (
    Case,
    LabelMap,
    Region,
    Sequence,
    Tissue,
    remarks_on_scores,
    volumes_ml,
)

if TYPE_CHECKING:
    from minicube.evaluation import CaseScores

__all__ = ["case_report", "score_notes"]

Volumes = Mapping[Tissue | Region, float | None]

_SHOWN = 2  # sequences in all planes, with and without labels


@dataclass(frozen=True)
class _Picture:
    source: Markup
    width: int
    height: int
    caption: str
    alt: str


def case_report(
    case: Case,
    labels: LabelMap,
    *,
    scores: CaseScores | None,
    provenance: Mapping[str, str],
    preparation: Preparation | None = None,
) -> str:
    """Return the report of one case: pictures, volumes, and scores where there are any.

    Args:
        case: In RAS+. With ``scores``, its reference is drawn beside the labels.
        labels: What was found, on the case's grid.
        scores: How that agrees with the reference.
        provenance: What made the labels: names to values, shown as they are.
        preparation: What was done to raw scans, where they were.

    Returns:
        One HTML page that needs no other file.
    """
    view = view_of(case, labels)
    volumes = volumes_ml(labels, case.geometry, case.images)
    shown = most_telling(case)[:_SHOWN]
    return page(
        "case.html.j2",
        identity=case.identity,
        warnings=case.warnings,
        overview=_overview(case, view),
        sequences=[_sequence(case, labels, scores, sequence, view) for sequence in shown],
        preparation=None if preparation is None else _preparation(preparation),
        tissues=_tissues(labels, volumes),
        regions=_regions(volumes),
        scheme=labels.scheme,
        score_rows=[] if scores is None else _score_rows(scores),
        score_notes=() if scores is None else score_notes(case, scores),
        facts={
            **provenance,
            "sequences": _sequences(case),
            "grid": _grid(case),
            "label scheme": labels.scheme.value,
        },
    )


def _overview(case: Case, view: View) -> list[_Picture]:
    """The sequences that are there, in the axial plane."""
    return [
        _picture(render_planes(case, None, sequence=sequence, view=view)[0], sequence.label, "")
        for sequence in Sequence
        if sequence in case.images
    ]


def _sequence(
    case: Case, labels: LabelMap, scores: CaseScores | None, sequence: Sequence, view: View
) -> dict[str, Any]:
    layers: dict[str, LabelMap | None] = {"without labels": None, "with labels": labels}
    if scores is not None and case.reference is not None:
        layers["with the reference"] = case.reference
    rows = []
    for layer, over in layers.items():
        panels = render_planes(case, over, sequence=sequence, view=view)
        captions = (f"{panel.plane}, {panel.position}" for panel in panels)
        pictures = [_picture(p, c, layer) for p, c in zip(panels, captions, strict=True)]
        rows.append({"layer": layer, "pictures": pictures})
    return {"label": sequence.label, "rows": rows}


def _preparation(done: Preparation) -> dict[str, Any]:
    rows = [
        {"layer": name, "pictures": [_picture(panel, panel.plane, name) for panel in panels]}
        for name, panels in preparation_rows(done)
    ]
    return {"rows": rows, "steps": done.steps}


def _picture(panel: Panel, caption: str, layer: str) -> _Picture:
    width, height = panel.image.size
    alt = ", ".join(filter(None, (caption, panel.plane, panel.position, layer)))
    return _Picture(picture_source(panel.image), width, height, caption, alt)


def _tissues(labels: LabelMap, volumes: Volumes) -> list[dict[str, Any]]:
    return [
        {"colour": as_hex(tissue), "name": tissue.value, "value": value, "ml": volumes[tissue]}
        for value, tissue in labels.scheme.tissues.items()
    ]


def _regions(volumes: Volumes) -> list[dict[str, Any]]:
    return [
        {"name": region.value, "title": region.title, "ml": volumes[region]} for region in Region
    ]


def _score_rows(scores: CaseScores) -> list[dict[str, Any]]:
    regions = {f"{region.value} {region.title}": s for region, s in scores.regions.items()}
    classes = {tissue.value: s for tissue, s in scores.classes.items()}
    return [
        {"name": name, "score": score, "counts": score.counts}
        for name, score in {**regions, **classes}.items()
    ]


def score_notes(case: Case, scores: CaseScores) -> tuple[str, ...]:
    """Return what belongs beside the scores of a case, in words."""
    return (scores.policy.words(), *scores.notes, *remarks_on_scores(case.images))


def _sequences(case: Case) -> str:
    there = ", ".join(sequence.label for sequence in Sequence if sequence in case.images)
    absent = ", ".join(sequence.label for sequence in case.absent)
    return f"{there}; absent: {absent}" if absent else there


def _grid(case: Case) -> str:
    shape = " × ".join(map(str, case.geometry.shape))
    spacing = " × ".join(f"{mm:.3g}" for mm in case.spacing)
    return f"{shape} voxels ({case.geometry.axis_codes} on disk), {spacing} mm in RAS+ order"
