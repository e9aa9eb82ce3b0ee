"""What a study writes into its results.json, as values that may all be missing yet.

The file's numbers are null where they are not defined or not there yet, never NaN; a key that is
missing means the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from minicube._errors import InputError, wrong_values
from minicube._files import read_json

__all__ = [
    "AS_REPORTED",
    "CLASS_NAMES",
    "TUMOUR",
    "Ablation",
    "AblationRow",
    "AblationSide",
    "ClassScore",
    "Comparison",
    "Curve",
    "Group",
    "Results",
    "SeedScore",
    "Setting",
    "Spread",
    "System",
    "read_results",
]

AS_REPORTED: Final = "-as-reported"
"""What a system's name ends with when it runs in the report's own setting."""

CLASS_NAMES: Final = {
    "background": "background",
    "edema": "oedema",
    "non_enhancing": "non-enhancing",
    "enhancing": "enhancing",
}
"""The file's class keys, in the order of a confusion matrix, to their names."""

TUMOUR: Final = ("edema", "non_enhancing", "enhancing")
"""Keys of the tumour classes."""

_FORMAT: Final = 1


def mean_f1(f1: Mapping[str, float | None]) -> float | None:
    """Return the mean over the three tumour classes; None when one is not there."""
    known = [value for name in TUMOUR if (value := f1.get(name)) is not None]
    return sum(known) / len(TUMOUR) if len(known) == len(TUMOUR) else None


class _Part(BaseModel):
    """Null is as good as missing; a NaN is an error."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {key: value for key, value in values.items() if value is not None}


class Setting(_Part):
    """How the study was run; ``systems`` are the names and titles of all that it trains."""

    systems: dict[str, str | None] = {}
    minutes: float | None = None
    pretraining_minutes: float | None = None
    real_share: float | None = None
    ablation_minutes: float | None = None
    folds: int | None = None
    seeds: tuple[int, ...] = ()
    threads: int | None = None
    processor: str | None = None
    phantoms: dict[str, int | None] = {}
    data: str | None = None


class DataCase(_Part):
    """A case: where it stands in the split and what its reference holds, in voxels."""

    case: str = "–"
    group: str | None = None
    fold: int | None = None
    voxels: dict[str, int | None] = {}
    enhancement: bool | None = None


class Share(_Part):
    """A line of Table 1; proportion in [0, 1]."""

    set_: str = Field("–", alias="set")
    class_: str = Field("–", alias="class")
    voxels: int | None = None
    proportion: float | None = None


class Data(_Part):
    """What was learnt from and scored on."""

    cases: tuple[DataCase, ...] = ()
    table1: tuple[Share, ...] = ()


class ClassScore(_Part):
    """Scores in [0, 1] of voxels pooled over cases."""

    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    n: int | None = None
    n_empty: int | None = None


class Spread(_Part):
    """A measure over cases: ratios in [0, 1], distances in mm."""

    mean: float | None = None
    median: float | None = None
    interval: tuple[float | None, float | None] | None = None
    n: int | None = None
    n_empty: int | None = None


class CaseResult(_Part):
    """One case's scores: region to measure to value."""

    case: str = "–"
    fold: int | None = None
    regions: dict[str, dict[str, float | None] | None] = {}


class Seams(_Part):
    """Disagreement across the faces of minicubes beside that across planes inside them."""

    at_faces: float | None = None
    interior: float | None = None
    ratio: float | None = None
    reference_ratio: float | None = None
    n: int | None = None


class Group(_Part):
    """A system's results on real cases, or on phantoms."""

    background: ClassScore | None = None
    edema: ClassScore | None = None
    non_enhancing: ClassScore | None = None
    enhancing: ClassScore | None = None
    confusion: tuple[tuple[int | None, ...], ...] = ()
    regions: dict[str, dict[str, Spread | None] | None] = {}
    cases: tuple[CaseResult, ...] = ()
    seams: Seams | None = None

    def score(self, key: str) -> ClassScore | None:
        """Return a class's scores by its key."""
        scores = (self.background, self.edema, self.non_enhancing, self.enhancing)
        return dict(zip(CLASS_NAMES, scores, strict=True))[key]

    @property
    def mean_f1(self) -> float | None:
        """Mean F1 of the tumour classes."""
        scores = {name: self.score(name) for name in TUMOUR}
        return mean_f1({name: score.f1 if score else None for name, score in scores.items()})

    def measure(self, region: str, name: str) -> Spread | None:
        """Return a region's measure, such as ``dice``."""
        return (self.regions.get(region) or {}).get(name)


class Cut(_Part):
    """How volumes are cut, voxels."""

    minicube: tuple[int, int, int] | None = None
    context: int | None = None


class NetworkFacts(_Part):
    """What a network is; receptive field and halo in voxels along x, y, z."""

    name: str | None = None
    widths: tuple[int, ...] = ()
    parameters: int | None = None
    receptive_field: tuple[int, int, int] | None = None
    halo: tuple[int, int, int] | None = None
    cut: Cut | None = None

    @property
    def minicube(self) -> tuple[int, int, int] | None:
        """The parts that it predicts volumes in; None is whole."""
        return self.cut.minicube if self.cut else None


class Point(_Part):
    """The losses at a step."""

    step: float | None = None
    train: float | None = None
    test: float | None = None


class Curve(_Part):
    """A training's losses."""

    fold: int | None = None
    seed: int | None = None
    points: tuple[Point, ...] = ()


class Divergence(_Part):
    """A training whose loss was no number any more at a step; without a fold, the first one."""

    fold: int | None = None
    seed: int | None = None
    step: int | None = None


class SeedScore(_Part):
    """Class scores of one seed on one fold."""

    seed: int | None = None
    fold: int | None = None
    f1: dict[str, float | None] = {}

    @property
    def mean_f1(self) -> float | None:
        """Over the tumour classes."""
        return mean_f1(self.f1)


class Cost(_Part):
    """What a system took: seconds and bytes, whole and by cause."""

    seconds: float | None = None
    peak_bytes: int | None = None
    parameters: int | None = None
    steps: int | None = None
    seconds_a_step: float | None = None
    seconds_by_cause: dict[str, float | None] = {}
    peak_by_cause: dict[str, int | None] = {}


class System(_Part):
    """One system of the study."""

    title: str | None = None
    as_reported: bool = False
    note: str | None = None
    network: NetworkFacts | None = None
    real: Group | None = None
    phantom: Group | None = None
    curves: tuple[Curve, ...] = ()
    diverged: tuple[Divergence, ...] = ()
    seeds: tuple[SeedScore, ...] = ()
    cost: Cost | None = None


class Comparison(_Part):
    """A paired test: the mean over cases of the first system's Dice less the second's."""

    first: str = "–"
    second: str = "–"
    region: str = "–"
    n: int | None = None
    mean_difference: float | None = None
    interval: tuple[float | None, float | None] | None = None
    p: float | None = None
    p_holm: float | None = None


class _Row(_Part):
    """A training's class scores, and their mean as it was written."""

    f1: dict[str, float | None] = {}
    mean: float | None = None

    @property
    def mean_f1(self) -> float | None:
        """Over the tumour classes."""
        return self.mean if self.mean is not None else mean_f1(self.f1)


class AblationRow(_Row):
    """One thing changed."""

    what: str | None = None
    change: str | None = None
    suspicion: str | None = None
    steps: int | None = None
    diverged: int | None = None


class AblationSide(_Part):
    """Where all rows of a side start from, and the rows."""

    base: AblationRow | None = None
    rows: tuple[AblationRow, ...] = ()


class Ablation(_Part):
    """One thing changed a row, from the repaired side and from the broken one."""

    minutes: float | None = None
    fold: int | None = None
    n: int | None = None
    repaired: AblationSide | None = None
    as_reported: AblationSide | None = None


class Context(_Row):
    """One amount of context, voxels along each axis or a word for it."""

    context: int | str = "–"
    n: int | None = None
    seam_ratio: float | None = None
    differs_from_whole: float | None = None


class Results(_Part):
    """A study's results.json."""

    format: int
    minicube: str | None = None
    commit: str | None = None
    config_hash: str | None = None
    finished: bool = False
    trainings: dict[str, int | None] = {}
    setting: Setting = Setting()
    data: Data = Data()
    systems: dict[str, System | None] = {}
    comparisons: tuple[Comparison, ...] = ()
    ablation: Ablation | None = None
    context: tuple[Context, ...] = ()
    policy: str | None = None

    @model_validator(mode="after")
    def _known_format(self) -> Results:
        if self.format != _FORMAT:
            raise ValueError(f"format {self.format} is not {_FORMAT}, which this minicube reads")
        return self

    @property
    def repaired(self) -> dict[str, System]:
        """Systems by their bare names."""
        return {k: s for k, s in self.systems.items() if s and not k.endswith(AS_REPORTED)}

    @property
    def names(self) -> list[str]:
        """Bare names of all systems, in the order they are made."""
        return list(dict.fromkeys(name.removesuffix(AS_REPORTED) for name in self._all))

    @property
    def _all(self) -> list[str]:
        return list(dict.fromkeys((*self.setting.systems, *self.systems)))

    def ways(self, name: str) -> dict[str, System | None]:
        """Return a bare name's systems, as reported and repaired; None is not run yet.

        A way that the study does not train at all is left out.
        """
        names = {"as reported": name + AS_REPORTED, "repaired": name}
        return {way: self.systems.get(full) for way, full in names.items() if full in self._all}

    def title(self, name: str) -> str:
        """Return a system's title; its name where it has none."""
        system = self.systems.get(name)
        return (system.title if system else None) or self.setting.systems.get(name) or name

    def full_title(self, name: str) -> str:
        """Return the title, and the setting where it is the report's own."""
        title = self.title(name)
        said = not name.endswith(AS_REPORTED) or "as reported" in title
        return title if said else f"{title}, as reported"


def read_results(path: Path) -> Results:
    """Read a results.json.

    Raises:
        InputError: The file is missing, damaged, or not one that a study writes.
    """
    try:
        return Results.model_validate(read_json(path))
    except ValidationError as error:
        found = wrong_values(error.errors()[:1])
        raise InputError(f"{path} is not the file that a study writes.", found=found) from error
