"""The health of a provider as all workers see it."""

from __future__ import annotations

from typing import Final

from msgspec import Struct


class Health(Struct, frozen=True):
    """A provider as all workers see it. `breaker`: `closed`, `open`, or `half_open` while one job tries it out."""

    breaker: str
    shut_ms: int
    """How long it stays open."""
    running: int
    took_ms: tuple[int, ...]
    """Its last good calls, newest first."""


LONGEST_OPEN_MS: Final = 300_000
TIMES_KEPT_MS: Final = 30 * 86_400_000
"""How long the times of a provider, or model, are told that nobody asks any more."""


class Breaker(Struct, frozen=True):
    """After `failures` bad calls in a row a provider gets no jobs for `open_ms`, twice as long each time."""

    failures: int
    open_ms: int
