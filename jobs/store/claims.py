"""Claims: jobs under lease, and the heartbeat that keeps them."""

from __future__ import annotations

from msgspec import Struct

from jobs.model.job import Job


class Claim(Struct, frozen=True):
    """A job under lease: every later write carries the fencing number. `turn` is what claimed it.

    Without `room` for a call at its provider, the job is claimed for what takes none: to go on elsewhere, or, lost by
    a worker that died, to be given what is stored of it.
    """

    job: Job
    fence: int
    turn: str
    room: bool = True

    @property
    def name(self) -> str:
        """The claim, told from an earlier one of the same job."""
        return f"{self.job.id}/{self.fence}"


class Beat(Struct, frozen=True):
    """A heartbeat's answer: claims lost (by name), jobs to be canceled, and when something is due by Redis' clock."""

    now_ms: int
    due_ms: int | None
    later_ms: int | None
    lost: frozenset[str]
    canceling: frozenset[str]


def score(raw: bytes) -> int | None:
    """A score in an answer of Redis as Unix milliseconds; None where there is none."""
    return int(float(raw)) if raw else None
