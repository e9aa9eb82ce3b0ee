"""Everything minicube raises on purpose.

MinicubeError
├── InputError           the user's mistake: exit code 2, no traceback
│   ├── MissingExtra     an optional package is not installed
│   └── NotPrepared      a scan is whole, and needs registration or brain extraction first
└── InternalError        ours: exit code 1
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Any

__all__ = [
    "InputError",
    "InternalError",
    "MinicubeError",
    "MissingExtra",
    "NotPrepared",
    "require",
    "wrong_values",
]


class MinicubeError(Exception):
    """Base of every error minicube raises on purpose."""


class InputError(MinicubeError):
    """Something given to minicube cannot be used as it is.

    Args:
        problem: What is wrong, in one plain sentence.
        expected: What would have been right.
        found: What was there instead.
        hint: What to do next.
    """

    def __init__(
        self, problem: str, *, expected: str = "", found: str = "", hint: str = ""
    ) -> None:
        self.problem = problem
        self.expected = expected
        self.found = found
        self.hint = hint
        super().__init__(self.text())

    def text(self) -> str:
        """Return the message, one part a line."""
        lines = [self.problem]
        for label, part in (
            ("expected", self.expected),
            ("found", self.found),
            ("what to do", self.hint),
        ):
            if part:
                lines.append(f"  {label}: {part}")
        return "\n".join(lines)


class MissingExtra(InputError):
    """An optional part of minicube is needed but not installed.

    Args:
        feature: What the user asked for, as the start of a sentence.
        extra: The extra that brings it.
    """

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs packages that the base install leaves out.",
            hint=f"pip install 'minicube[{extra}]'",
        )


class NotPrepared(InputError):
    """A scan that nothing is wrong with, but that no network knows as it is: a raw one."""


def require(feature: str, extra: str, *packages: str) -> None:
    """Go on only where packages are installed; none is imported.

    Args:
        feature: As for :class:`MissingExtra`, like the next.
        extra: That brings them.
        packages: By the names they are imported by.

    Raises:
        MissingExtra: One is not there.
    """
    if any(find_spec(package) is None for package in packages):
        raise MissingExtra(feature, extra)


def wrong_values(errors: Iterable[Mapping[str, Any]]) -> str:
    """What pydantic found wrong, in one line.

    Args:
        errors: From ``ValidationError.errors()``.
    """
    return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'all'}: {e['msg']}" for e in errors)


class InternalError(MinicubeError):
    """A promise minicube makes to itself was broken: a bug of ours."""
