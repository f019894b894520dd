"""What the store answers."""

from __future__ import annotations

from msgspec import Struct

from jobs.errors import ServiceUnavailable
from jobs.model.job import Job


class CircuitOpen(ServiceUnavailable):
    """The provider failed too often in a row: nothing new is taken for it until it has been tried again."""

    def __init__(self, provider: str, seconds: float) -> None:
        message = f"{provider} has failed too often in a row: nothing new is taken for it just now"
        super().__init__(message, retry_after=max(1.0, seconds), reason="circuit_open", provider=provider)


class Stale(Exception):
    """Another move came first: look again."""


class Fenced(Exception):
    """Another worker holds the job now: stop at once, write nothing."""


class Key(Struct, frozen=True):
    """An idempotency key and the fingerprint of what it was used for."""

    value: str
    fingerprint: str


class Created(Struct, frozen=True):
    """A new job, and a turn for it where one was missing."""


class Known(Struct, frozen=True):
    """The idempotency key was used before, for this job and fingerprint."""

    job_id: str
    fingerprint: str


class Adopted(Struct, frozen=True):
    """An earlier job of the same request, which nobody waits for and whose result nobody has."""

    job_id: str


class Full(Struct, frozen=True):
    """More jobs wait ahead than the caller accepts."""

    ahead: int


class Page(Struct, frozen=True):
    """Jobs, newest first; `cursor` continues below, `None` at the end."""

    jobs: tuple[Job, ...]
    cursor: str | None
