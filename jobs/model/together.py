"""Moves that are made one after the other and written together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from jobs.model import ledger, moves
from jobs.model.job import Job, Status
from jobs.model.moves import Changed
from jobs.model.times import now_ms

Move = Callable[[Job, int], Changed | None]
"""A move at a time, in Unix milliseconds; None: there is no need of it."""


def made(job: Job, moves_: Sequence[Move]) -> Changed | None:
    """What the moves make of a job, each of what the one before made; None: none was needed.

    Raises `MoveRefused`.
    """
    last: Changed | None = None
    for move in moves_:
        changed = move(job if last is None else last.job, now_ms())
        if changed is not None:
            last = changed if last is None else replace(changed, earlier=(*last.earlier, replace(last, earlier=())))
    return last


def start_if_queued(job: Job, now: int) -> Changed | None:
    """Start, unless another call has begun the job."""
    return moves.start(job, now) if job.status is Status.QUEUED else None


def succeed_if_complete(job: Job, now: int) -> Changed | None:
    """Succeed, unless a picture is missing, or a call goes on."""
    complete = len(job.images) == job.request.n and not ledger.open_rows(job)
    return moves.succeed(job, now) if complete else None
