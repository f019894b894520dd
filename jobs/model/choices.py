"""What callers choose between, each choice a word of the API."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from jobs.errors import InvalidInput


class Priority(StrEnum):
    """Orders the jobs of an org among themselves."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


class OnAmbiguous(StrEnum):
    """What becomes of a job whose paid call had an end that nobody saw."""

    FAIL = "fail"
    RETRY = "retry"


class Include(StrEnum):
    """How much a webhook says."""

    FULL = "full"
    """The job as it stands."""
    THIN = "thin"
    """Id, status and urls."""


C = TypeVar("C", bound=StrEnum)


def one_of(choices: type[C], word: str, field: str) -> C:
    """The choice that the word names. Raises `InvalidInput` naming the field."""
    try:
        return choices(word)
    except ValueError:
        *others, last = choices
        raise InvalidInput(f"must be {', '.join(others)} or {last}", field=field) from None
