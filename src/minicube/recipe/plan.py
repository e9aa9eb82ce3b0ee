"""A recipe as plain values, read from a TOML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from minicube._errors import InputError, wrong_values
from minicube._files import read_toml
from minicube.scans import LabelScheme
from minicube.training import TrainingConfig

__all__ = ["Recipe", "Simulated"]


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Simulated(_Plain):
    """What a training draws simulated cases from, and how often they change.

    Args:
        shapes: File of expert label maps, in the data folder.
        patches: File of patches of real tumours, in the data folder.
        leave_out: Table of the patients of whom nothing is used, in the data folder.
        pool: Cases that are drawn from at a time.
        every: Steps after which the oldest gives way to a new one, where all windows are of them;
            where a half are, twice as many.
    """

    shapes: str
    patches: str
    leave_out: str
    pool: int = Field(24, ge=1)
    every: int = Field(8, ge=1)


class Turns(_Plain):
    """How often a real case is seen in an epoch.

    Args:
        high_grade: One with all sequences that is not of low grade.
        low_grade: One of low grade.
        more: One that is only learnt from.
    """

    high_grade: int = Field(1, ge=1)
    low_grade: int = Field(1, ge=1)
    more: int = Field(1, ge=1)


class Recipe(_Plain):
    """Trainings that lead to shipped weights, and those that show what each ingredient is worth.

    A table ``base`` holds what all trainings have in common; their own values go before its.
    ``tiny`` has what ``real`` has.

    Args:
        cases: Folder of labelled real cases, in the data folder.
        more: Folders of labelled cases, of other patients, that the trainings on all real cases
            learn from too. Nothing is judged on them, so that sequences may be missing.
        outlined: More of them, of whose tumour only the outline is drawn; the rest comes from
            ``simulated.shapes``.
        labels: Label scheme of the references, where the files do not say.
        low_grade: Names of the cases of low grade, which are reported apart.
        turns: How often real cases of each kind are seen.
        folds: Of the cross-validation over them, at least 2.
        seeds: Each training is made once for each; the first leads to the shipped weights.
        few: Numbers of real cases that are tried beside all.
        few_steps: Of a training on so few.
        phantoms: Scored along every training; the one thing that may be looked at to choose.
        least_enhancing_ml: What the finished models carry, and are judged with: enhancing tumour
            of less than this in all becomes core. Found on made-up cases.
        simulated: What simulated cases are drawn from.
        ladder: Training on simulated cases, made anew with each ingredient: what each is worth.
        stages: Trainings on simulated cases, by name; each goes on from the one before.
        real: Training on real cases, which goes on from the last stage.
        tiny: Of a narrower network, which goes on from that on all real cases; None for none.
    """

    cases: str
    more: tuple[str, ...] = ()
    outlined: tuple[str, ...] = ()
    labels: LabelScheme | None = None
    low_grade: tuple[str, ...] = ()
    turns: Turns = Turns()
    folds: int = Field(4, ge=2)
    seeds: tuple[Annotated[int, Field(ge=0, lt=1000)], ...] = Field((0, 1), min_length=1)
    few: tuple[Annotated[int, Field(ge=1)], ...] = (1, 4)
    few_steps: int = Field(150, ge=1)
    phantoms: int = Field(6, ge=1)
    least_enhancing_ml: float = Field(0.0, ge=0, allow_inf_nan=False)
    simulated: Simulated
    ladder: TrainingConfig
    stages: dict[str, TrainingConfig] = Field(min_length=1, max_length=9)
    real: TrainingConfig
    tiny: TrainingConfig | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_base(cls, given: Any) -> Any:
        match given:
            case {"real": dict(real), "stages": dict(stages), **rest}:
                base = rest.pop("base", {})
                if not isinstance(base, dict):
                    return given
                real = base | real
                whole = {name: base | own for name, own in stages.items() if isinstance(own, dict)}
                for name, above in (("ladder", base), ("tiny", real)):
                    if isinstance(own := rest.get(name), dict):
                        rest[name] = above | own
                return {**rest, "real": real, "stages": {**stages, **whole}}
        return given

    @model_validator(mode="after")
    def _one_network(self) -> Self:
        made_up = [self.ladder, *self.stages.values()]
        if any(c.network_config != self.real.network_config for c in made_up):
            raise ValueError("ladder, stages and the training on real cases are of one network")
        if any(c.simulated != 1 for c in made_up):
            raise ValueError("ladder and stages learn from simulated cases alone: simulated = 1")
        return self

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a recipe from TOML.

        Raises:
            InputError: The file cannot be read, or a key or value is wrong.
        """
        try:
            return cls.model_validate(read_toml(path))
        except ValidationError as error:
            found = wrong_values(error.errors())
            raise InputError(f"The recipe {path} is wrong.", found=found) from error
