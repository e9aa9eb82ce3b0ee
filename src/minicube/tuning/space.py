"""What a search may try, as plain values read from a TOML file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    Tag,
    ValidationError,
    model_validator,
)

from minicube._errors import InputError, wrong_values
from minicube._files import read_toml
from minicube.training import TrainingConfig

__all__ = ["Choices", "Range", "Sampler", "Space", "Value", "space_names"]

Value = bool | int | float | str
"""What a key is set to in a trial: a number, or one of several choices by its word."""

SPACES: Final = Path(__file__).parent / "spaces"
_FIXED: Final = {
    "denoise": "cases are prepared once",
    "simulated": "a search learns from the cases that it is given",
    "validations": "trials are compared at each of them",
    "validation_share": "all trials are scored on the same cases",
}


class Sampler(StrEnum):
    """How the next trial's values are drawn."""

    TPE = "tpe"
    """Near those of the better trials so far (Bergstra et al., NeurIPS 2011)."""
    RANDOM = "random"


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _Key(_Plain):
    """A key of the config that is searched.

    Args:
        when: Other keys, named before this one, and the values of theirs that this one matters
            for; with others it stays what it is in the base.
    """

    when: dict[str, tuple[JsonValue, ...]] = {}

    def applies(self, values: Mapping[str, Value]) -> bool:
        """Whether the key matters beside the values of those before it."""
        return all(
            key in values and values[key] in [word(choice) for choice in wanted]
            for key, wanted in self.when.items()
        )


class Range(_Key):
    """Numbers from ``low`` to ``high``, both included.

    Args:
        low: The least.
        high: The largest, above ``low``.
        log: Drawn evenly by their logarithm; ``low`` is then above 0.
        integer: Whole numbers only.
    """

    low: float
    high: float
    log: bool = False
    integer: bool = False

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low must be less than high, found {self.low:g} and {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"log = true needs a low above 0, found {self.low:g}")
        if self.integer and (self.low % 1 or self.high % 1):
            raise ValueError(f"integer = true needs whole ends, found {self.low}, {self.high}")
        return self

    def ends(self) -> tuple[Value, ...]:
        """Values that stand for all in a check."""
        return (int(self.low), int(self.high)) if self.integer else (self.low, self.high)

    def holds(self, value: Value) -> bool:
        """Whether a trial can have it."""
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or (self.integer and not isinstance(value, int)):
            return False
        return self.low <= float(value) <= self.high


class Choices(_Key):
    """One of several values.

    Args:
        choices: At least two; lists, such as widths, are among them.
    """

    choices: tuple[JsonValue, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _differ(self) -> Self:
        if len({word(choice) for choice in self.choices}) < len(self.choices):
            raise ValueError(f"each choice counts once, found {list(self.choices)}")
        return self

    def ends(self) -> tuple[Value, ...]:
        """All of them, by their words."""
        return tuple(word(choice) for choice in self.choices)

    def holds(self, value: Value) -> bool:
        """Whether it is one of them."""
        return value in self.ends()

    def chosen(self, value: Value) -> JsonValue:
        """The choice that a word stands for."""
        return next(choice for choice in self.choices if word(choice) == value)


def word(choice: JsonValue) -> Value:
    """A choice as databases hold it: lists by their JSON."""
    return choice if isinstance(choice, bool | int | float | str) else json.dumps(choice)


def _kind(given: Any) -> str:
    plain = given.model_dump() if isinstance(given, BaseModel) else given
    return "choices" if isinstance(plain, Mapping) and "choices" in plain else "range"


_Searched = Annotated[
    Annotated[Range, Tag("range")] | Annotated[Choices, Tag("choices")], Discriminator(_kind)
]


class Space(_Plain):
    """A search, whole: what is tried, how often, and what all trials have in common.

    Args:
        search: Keys of a training's config – inner ones with a dot, as ``loss.alpha`` – and what
            they may be.
        base: What is not searched, as in a config of ``minicube train``.
        preset: A preset whose settings stand behind the base.
        first: Values of the first trials, by key; what one leaves out is drawn.
        trials: How many there are in all.
        seed: Of the draws and the split.
        sampler: How values are drawn.
        startup: Trials that are drawn at random before the sampler learns from them and before
            any is stopped early.
        prune: Stop a trial whose best validation so far is below the median of the earlier
            trials at the same validation.
    """

    search: dict[str, _Searched] = Field(min_length=1)
    base: dict[str, JsonValue] = {}
    preset: str | None = None
    first: tuple[dict[str, JsonValue], ...] = ()
    trials: int = Field(30, ge=1)
    seed: int = Field(0, ge=0, lt=2**31)
    sampler: Sampler = Sampler.TPE
    startup: int = Field(8, ge=1)
    prune: bool = True

    @model_validator(mode="after")
    def _keys_and_values_exist(self) -> Self:
        try:
            self.config({})
        except InputError as error:
            raise ValueError(f"base: {error.found or error.problem}") from error
        before: set[str] = set()
        for key, searched in self.search.items():
            if key in _FIXED:
                raise ValueError(f"{key} cannot be searched: {_FIXED[key]}")
            if unknown := searched.when.keys() - before:
                raise ValueError(f"{key} depends on {', '.join(unknown)}: not searched before it")
            before.add(key)
            for value in searched.ends():
                self._fits(key, value)
        for number, values in enumerate(self.first):
            for key, given in values.items():
                if key not in self.search or not self.search[key].holds(word(given)):
                    raise ValueError(f"first, trial {number}: {key} = {given} is not in the search")
        return self

    def _fits(self, key: str, value: Value) -> None:
        """Refuse what could never be trained; whether values fit each other, trials show."""
        try:
            config = self.config({key: value})
        except InputError as error:
            raise ValueError(f"{key} = {value} does not fit the base: {error.found}") from error
        if config.simulated:
            raise ValueError(f"simulated must be 0: {_FIXED['simulated']}")
        if config.start_share:
            raise ValueError("start_share must be 0: no trial begins with a model")

    def config(self, values: Mapping[str, Value]) -> TrainingConfig:
        """The config of a trial.

        Args:
            values: By key.

        Raises:
            InputError: They do not fit together.
        """
        behind = TrainingConfig.read(self.preset) if self.preset else TrainingConfig()
        settings = behind.model_dump(mode="json")
        _lay(settings, {"seed": self.seed} | self.base)
        for key, value in values.items():
            searched = self.search[key]
            chosen = searched.chosen(value) if isinstance(searched, Choices) else value
            inner: Any = chosen
            for name in reversed(key.split(".")):
                inner = {name: inner}
            _lay(settings, inner)
        return TrainingConfig.checked(settings, "a trial")

    def draw(self, pick: Callable[[str, Range | Choices], Value]) -> dict[str, Value]:
        """A trial's values, key by key; those that do not apply are left out.

        Args:
            pick: Gives the value of a key.
        """
        values: dict[str, Value] = {}
        for key, searched in self.search.items():
            if searched.applies(values):
                values[key] = pick(key, searched)
        return values

    @classmethod
    def read(cls, source: Path | str) -> Self:
        """Read a space from TOML, or one that comes with the package, by its name.

        Raises:
            InputError: There is none, or a key or value is wrong; all of them are named.
        """
        path = Path(source)
        if str(source) in space_names():
            path = SPACES / f"{source}.toml"
        elif not path.exists():
            raise InputError(
                f"{source} is neither a file nor a search space.",
                expected=f"a TOML file, or one of {', '.join(space_names())}",
            )
        return cls.checked(read_toml(path), str(source))

    @classmethod
    def checked(cls, values: object, source: str) -> Self:
        """Validate plain values.

        Raises:
            InputError: A key is unknown or a value out of range.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise InputError(
                f"The search space ({source}) is wrong.", found=wrong_values(error.errors())
            ) from error


def space_names() -> list[str]:
    """Search spaces that come with the package."""
    return sorted(path.stem for path in SPACES.glob("*.toml"))


def _lay(under: dict[str, Any], over: Mapping[str, Any]) -> None:
    """Put values over others, tables key by key."""
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(under.get(key), dict):
            _lay(under[key], value)
        else:
            under[key] = value
