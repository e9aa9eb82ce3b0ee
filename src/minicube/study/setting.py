"""What a study is asked to do, and what it found before it began: plain values, kept with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from minicube._errors import InputError, wrong_values
from minicube._files import read_json, write_json
from minicube.study.systems import SYSTEMS

__all__ = ["CaseFacts", "Plan", "Setting"]

_FILE: Final = "study.json"


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Setting(_Plain):
    """What a study is asked to do.

    Args:
        minutes: Training of each system, for each fold: on phantoms first, where there are
            real cases too, then on what the fold learns from.
        pretraining_share: Share of the minutes that goes to phantoms alone; made once for all
            folds, since no fold has them to test on.
        as_reported: Whether the systems that the report ran are also trained in its own setting,
            for the same minutes on the same cases.
        ablation_minutes: Training of each row of the ablation; 0 leaves it out.
        folds: Parts the cases are split into, when they are too few for one split.
        seeds: Runs of the first fold, after one common pre-training; the first seed is that of
            all other folds.
        phantoms: Made for training.
        unseen_phantoms: Made for testing.
        real_share: Share of an epoch that is real cases, where there are both.
        threads: Of each training.
        systems: Names of those that are compared.
        memory: Bytes that each training's process may hold; None sets no limit.
    """

    minutes: float = Field(gt=0)
    pretraining_share: float = Field(0.6, ge=0, lt=1)
    as_reported: bool = True
    ablation_minutes: float = Field(ge=0)
    folds: int = Field(3, ge=2)
    seeds: tuple[int, ...] = Field((0, 1), min_length=1)
    phantoms: int = Field(96, ge=0)
    unseen_phantoms: int = Field(6, ge=0)
    real_share: float = Field(2 / 3, gt=0, lt=1)
    threads: int = Field(1, ge=1)
    systems: tuple[str, ...] = tuple(name for name in SYSTEMS if not SYSTEMS[name].as_reported)

    @field_validator("seeds")
    @classmethod
    def _apart(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"seeds must differ; found {list(seeds)}")
        return seeds

    memory: int | None = Field(None, gt=0)

    @field_validator("systems")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        known = [name for name in SYSTEMS if not SYSTEMS[name].as_reported]
        unknown = [name for name in names if name not in known]
        if unknown or not names:
            raise ValueError(f"systems must be among {', '.join(known)}; found {list(names)}")
        return names

    @classmethod
    def checked(cls, **values: Any) -> Self:
        """Build a setting from what a user gave.

        Raises:
            InputError: A value is out of range.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise InputError(
                "The study cannot be set like that.", found=wrong_values(error.errors())
            ) from error


class CaseFacts(_Plain):
    """What a study must know of a case.

    Args:
        case: Its name.
        group: "real" or "phantom".
        fold: That it is tested in; None for phantoms to learn from.
        voxels: Of background, oedema, non-enhancing and enhancing tumour, in this order.
        box_start: Corner of the brain's box on the 1 mm grid.
        box_stop: One past its last voxel.
        millimetre: Whether the scan's own grid is of 1 mm.
        origin: Checksum of what the case was prepared from; None in plans that kept none.
    """

    case: str
    group: str
    fold: int | None
    voxels: tuple[int, int, int, int]
    box_start: tuple[int, int, int]
    box_stop: tuple[int, int, int]
    millimetre: bool
    origin: str | None = None


class Plan(_Plain):
    """A study that has begun: nothing of it changes any more.

    Args:
        setting: What was asked.
        cases: All of them.
        seconds_a_step: Of each system, measured once, before the first training.
        processor: It was measured on.
        data: Name of the folder the real cases came from.
    """

    format: Literal[1] = 1
    setting: Setting
    cases: tuple[CaseFacts, ...]
    seconds_a_step: dict[str, float]
    processor: str
    data: str

    @property
    def folds(self) -> list[int]:
        """Folds that real cases are tested in, or phantoms where there are only those."""
        return sorted({case.fold for case in self.cases if case.fold is not None})

    def write(self, folder: Path) -> None:
        """Keep the plan."""
        write_json(folder / _FILE, self.model_dump(mode="json"))

    @classmethod
    def exists(cls, folder: Path) -> bool:
        """Whether a study has begun in a folder."""
        return (folder / _FILE).is_file()

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the plan of a study.

        Raises:
            InputError: There is none, or it is damaged.
        """
        if not cls.exists(folder):
            raise InputError(
                f"{folder} holds no study.", expected=f"a folder with {_FILE}, made by a study"
            )
        try:
            return cls.model_validate(read_json(folder / _FILE))
        except ValidationError as error:
            raise InputError(f"{folder / _FILE} is damaged.", found=str(error)) from error
