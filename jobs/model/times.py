"""Moments: Unix milliseconds inside, RFC 3339 outside."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import overload

from jobs.clock import clock


def now_ms() -> int:
    """Unix milliseconds by the clock that all processes share."""
    return clock.now_ms()


def read_moment(text: str) -> int:
    """Unix milliseconds of an RFC 3339 time. Raises `ValueError`, also for a time without its zone."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("no time zone")
    return round(at.astimezone(UTC).timestamp() * 1000)


@overload
def moment(at_ms: int) -> str: ...


@overload
def moment(at_ms: None) -> None: ...


def moment(at_ms: int | None) -> str | None:
    """RFC 3339 in UTC with milliseconds."""
    if at_ms is None:
        return None
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
