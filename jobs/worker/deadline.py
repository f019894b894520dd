"""A job in a worker's hands ends at its deadline, whatever its calls do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from jobs.model import moves
from jobs.model.times import now_ms
from jobs.store.outcomes import Fenced
from jobs.worker.lease import LeasedJob


@contextlib.asynccontextmanager
async def ending_in_time(job: LeasedJob) -> AsyncIterator[None]:
    """While calls are made: the deadline does not cut them, for they are paid for, and what they bring is salvaged."""
    ending = asyncio.create_task(_end_in_time(job))
    try:
        yield
    finally:
        ending.cancel()


async def _end_in_time(job: LeasedJob) -> None:
    await asyncio.sleep(max(0, job.now.cancel_at_ms - now_ms()) / 1000)
    with contextlib.suppress(moves.MoveRefused, Fenced):
        await job.apply(moves.overdue)
