"""The pictures of a study, made from its cases and predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from minicube._files import replacing, write_text
from minicube.networks.trace import trace
from minicube.reporting import (
    PredictionRow,
    composite_picture,
    draw_network,
    draw_partition,
    prediction_sheet,
    sweep,
)
from minicube.scans import Case
from minicube.scans import Sequence as MriSequence
from minicube.study.folder import StudyFolder
from minicube.study.material import Source
from minicube.study.scoring import Scorer
from minicube.study.setting import CaseFacts, Plan
from minicube.study.systems import SYSTEMS
from minicube.study.units import REAL, Unit, units_of
from minicube.volumes import (
    REPORT_MINICUBE,
    REPORT_REGION,
    Box,
    CroppedRegion,
    composite,
    region_around,
)

__all__ = ["make_pictures"]

_SHOWN: Final = 4
_REPORT_CONTEXT: Final = 20
_DRAWN: Final[Mapping[str, tuple[int, int, int]]] = {"unet2d": (192, 192, 2)}


def make_pictures(folder: StudyFolder, plan: Plan, source: Source) -> None:
    """Draw Figures 1, 2, 3 and 6 and the sweep into the study's folder."""
    folder.pictures.mkdir(parents=True, exist_ok=True)
    partition = draw_partition(REPORT_REGION, REPORT_MINICUBE, _REPORT_CONTEXT)
    write_text(folder.pictures / "partition.svg", partition)
    for name in plan.setting.systems:
        system = SYSTEMS[name]
        layers = trace(system.config.network_config, _DRAWN.get(name, REPORT_MINICUBE))
        write_text(folder.pictures / f"network-{name}.svg", draw_network(layers, system.title))
    tested = [case for case in plan.cases if case.fold is not None]
    cases = [case for case in tested if case.group == REAL] or tested
    _draw_composite(folder, cases, source)
    _draw_predictions(folder, plan, cases, source)


def _draw_composite(folder: StudyFolder, cases: Sequence[CaseFacts], source: Source) -> None:
    """Figure 1, of all cases on the grid of the first; others cannot be laid over it."""
    brains: list[NDArray[np.bool_]] = []
    for facts in cases:
        brain = source.load(facts.case).brain
        if not brains or brain.shape == brains[0].shape:
            brains.append(brain)
    region = region_around(composite(brains))
    count = np.sum([brain.sum(axis=2, dtype=np.uint32) for brain in brains], axis=0)
    _save(composite_picture(count, _axial(region, count)), folder, "composite.png")


def _axial(region: CroppedRegion, image: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The region's cut of a projection along z."""
    (x, y, _), (u, v, _) = region.box.start, region.box.stop
    return Box((x, y, 0), (u, v, 1)).cut(image[..., None])[..., 0]


def _draw_predictions(
    folder: StudyFolder, plan: Plan, cases: Sequence[CaseFacts], source: Source
) -> None:
    """Figure 6: cases over the range of tumour volumes, and a sweep through the middle one."""
    scorer = Scorer(folder, plan, source)
    units = [unit for unit in units_of(plan) if folder.unit(unit.name).exists()]
    predicted = [case for case in cases if _shown(plan, units, case)]
    ordered = sorted(predicted, key=lambda case: sum(case.voxels[1:]))
    places = np.linspace(0, len(ordered) - 1, min(_SHOWN, len(ordered))).round().astype(int)
    rows = []
    for facts in (ordered[place] for place in places):
        found = {
            SYSTEMS[unit.system].title: scorer.labels(unit.name, facts.case)
            for unit in _shown(plan, units, facts)
        }
        rows.append(PredictionRow(source.load(facts.case), found))
    if rows:
        _save(prediction_sheet(rows), folder, "predictions.png")
        _sweep_through(folder, rows[len(rows) // 2])


def _shown(plan: Plan, units: Sequence[Unit], facts: CaseFacts) -> list[Unit]:
    """The training of every repaired system that was tested on the case."""
    return [
        unit
        for unit in units
        if unit.system in SYSTEMS
        and not SYSTEMS[unit.system].as_reported
        and unit.fold == facts.fold
        and unit.seed == plan.setting.seeds[0]
    ]


def _sweep_through(folder: StudyFolder, row: PredictionRow) -> None:
    case: Case = row.case
    columns = dict(row.predictions)
    if case.reference is not None:
        columns = {"reference": case.reference, **columns}
    sweep(case.images[MriSequence.T2F], columns, folder.pictures / "sweep.webp")


def _save(picture: Image.Image, folder: StudyFolder, name: str) -> None:
    with replacing(folder.pictures / name) as temporary:
        picture.save(temporary, format="PNG", optimize=True)
