"""The models inside the package, and how they are called."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from minicube._errors import InputError
from minicube.engines import PORTABLE, Model, load_model

__all__ = ["model_place", "shipped_model", "shipped_names"]

_WEIGHTS: Final = Path(__file__).parents[1] / "weights"


def shipped_names() -> list[str]:
    """Names of the models inside the package."""
    return sorted(path.parent.name for path in _WEIGHTS.glob(f"*/{PORTABLE}"))


def shipped_model(name: str = "default") -> Model:
    """A model inside the package.

    Args:
        name: One of :func:`shipped_names`.
    """
    return load_model(_WEIGHTS / name)


def model_place(called: Path | str) -> Path:
    """Where a model lies: a path, or the name of one inside the package where no such path is.

    Raises:
        InputError: There is neither.
    """
    path, names = Path(called), shipped_names()
    if path.exists():
        return path
    if str(path) in names:
        return _WEIGHTS / path
    raise InputError(
        f"There is no model {path}.",
        expected=f"a run, a file that `minicube export` wrote, or {' or '.join(names)}, which are "
        "inside the package",
    )
