"""Head, tumour and scanner put together: a seed in, a case out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import numpy as np

from minicube.phantom.anatomy import GRID, Pose, draw_pose
from minicube.scans import NETWORK_SCHEME, Case, Geometry, LabelMap, Sequence
from minicube.simulator.head import Head, render_head, trimmed
from minicube.simulator.healthy import paint
from minicube.simulator.looks import Look, Looks, draw_look, learn
from minicube.simulator.material import Material, Patch
from minicube.simulator.scan import digitise, scan
from minicube.simulator.shapes import choose_shape, place, push_of
from minicube.simulator.tumour import (
    Lesion,
    graft,
    make_lesion,
    on_one_scale,
    settle,
    texture,
)

__all__ = ["Kind", "Simulation", "simulate"]


class Kind(StrEnum):
    """What is in a head."""

    NO_TUMOUR = "no tumour"
    LOW_GRADE = "tumour without enhancement"
    ENHANCING = "tumour with enhancement"


@dataclass(frozen=True)
class Simulation:
    """How often what happens; probabilities in [0, 1].

    Args:
        no_tumour: A brain without a tumour.
        low_grade: A tumour without enhancement.
        learnt: The look of a real tumour, of all made-up textures; the rest is drawn wide.
        grafted: A real patch set into its own patient's shape.
        around: Of those, with the normal tissue that surrounds it.
    """

    no_tumour: float = 0.07
    low_grade: float = 0.35
    learnt: float = 0.7
    grafted: float = 0.6
    around: float = 0.35

    def draw(self, rng: np.random.Generator) -> Kind:
        """Draw what is in a head."""
        drawn = rng.random()
        if drawn < self.no_tumour:
            return Kind.NO_TUMOUR
        low = drawn < self.no_tumour + self.low_grade
        return Kind.LOW_GRADE if low else Kind.ENHANCING


def simulate(seed: int, material: Material, options: Simulation | None = None) -> Case:
    """Make a case, the same one for the same arguments on one kind of machine.

    Args:
        seed: Any whole number from 0.
        material: Real shapes and patches; may be empty.
        options: How often what happens.

    Returns:
        A case on its own grid of 1 mm voxels, RAS+, a part of the BraTS grid, with reference
        labels in :data:`NETWORK_SCHEME`.
    """
    chosen = options or Simulation()
    rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence([0x51B, seed])))
    pose = trimmed(draw_pose(rng, skull=False))
    kind = chosen.draw(rng)
    if kind is Kind.NO_TUMOUR:
        head = render_head(rng, pose, np.zeros_like(pose.nodes))
        lesion = None
    else:
        enhances = kind is Kind.ENHANCING
        head, lesion = _with_tumour(rng, pose, material, chosen, enhances=enhances)
    pictures = on_one_scale(paint(rng, head), head, lesion)
    brain = head.volume(head.brain.astype(np.float32)) > 0
    images = {}
    for row, sequence in enumerate(Sequence):
        images[sequence] = digitise(rng, scan(rng, pictures[row], brain), brain)
    labels = np.zeros(head.shape, np.uint8)
    if lesion is not None:
        labels[lesion.box] = lesion.labels
    labels *= brain
    return Case(
        identity=f"simulated-{seed:08d}",
        images=images,
        geometry=_geometry(pose),
        brain=brain,
        reference=LabelMap(labels, NETWORK_SCHEME),
    )


@lru_cache(maxsize=2)
def _learnt(material: Material) -> tuple[Looks, dict[str, tuple[Patch, ...]]]:
    by_patient: dict[str, tuple[Patch, ...]] = {}
    for patch in material.patches:
        by_patient[patch.patient] = (*by_patient.get(patch.patient, ()), patch)
    return learn(material), by_patient


def _with_tumour(
    rng: np.random.Generator,
    pose: Pose,
    material: Material,
    options: Simulation,
    *,
    enhances: bool,
) -> tuple[Head, Lesion]:
    looks, patches_of = _learnt(material)
    shape = choose_shape(rng, material.shapes, pose, enhances=enhances)
    placement = place(rng, shape, pose)
    head = render_head(rng, pose, push_of(placement, pose, rng.uniform(0, 0.4)))
    patches = patches_of.get(shape.patient, ()) if shape.faithful else ()
    grafted = None
    if patches and rng.random() < options.grafted:
        grafted = graft(rng, placement, patches, around=options.around)
    parts = settle(rng, placement, head, None if grafted is None else grafted[0])
    look = _look(rng, looks, shape.patient if grafted else "", options, enhances=enhances)
    above = texture(rng, parts, look)
    return head, make_lesion(placement, parts, above, grafted)


def _look(
    rng: np.random.Generator, looks: Looks, own: str, options: Simulation, *, enhances: bool
) -> Look:
    """The patient's own look where a patch is seen, else a drawn one."""
    drawn = draw_look(rng, looks, enhances=enhances, learnt=options.learnt)
    real = looks.by_patient.get(own)
    if real is None:
        return drawn
    return Look(drawn.tables | real.tables, drawn.mixing | real.mixing)


def _geometry(pose: Pose) -> Geometry:
    """The head's box as a part of the BraTS grid, which counts x from the right."""
    affine = np.eye(4)
    affine[:3, 3] = np.array(pose.origin) - (GRID[0] - 1, 0, 0)
    return Geometry(pose.shape, affine)
