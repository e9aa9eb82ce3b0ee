"""What the server says no to: a status and plain words."""

from __future__ import annotations

from minicube._errors import InputError

__all__ = ["Refused"]


class Refused(InputError):
    """A request that cannot be answered as it is.

    Args:
        status: Of HTTP, 400 to 599.
        problem: What is wrong, in one plain sentence.
        found: What was there instead.
        hint: What to do next.
    """

    def __init__(self, status: int, problem: str, *, found: str = "", hint: str = "") -> None:
        super().__init__(problem, found=found, hint=hint)
        self.status = status
