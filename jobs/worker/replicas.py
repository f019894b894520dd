"""Before a paid call: the replicas that have to know of it do, or it is not made and the job waits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from jobs.errors import Outcome, ProviderError, ServiceUnavailable
from jobs.model import together
from jobs.model.job import Status
from jobs.redis.connection import outage

if TYPE_CHECKING:
    from jobs.store.replication import Replication
    from jobs.worker.lease import LeasedJob


async def until_replicated(replication: Replication, job: LeasedJob) -> None:
    """While too few replicas answer no call is begun, and the job waits, for as long as it runs."""
    while job.now.status in {Status.QUEUED, Status.RUNNING} and not await _replicated(replication, job):
        await job.look()
        await job.apply(together.start_if_queued)


async def require_replicated(replication: Replication, job: LeasedJob) -> None:
    """Raises `ProviderError`, `NOT_SENT`, when too few replicas know of the call that was just begun."""
    if not await _replicated(replication, job):
        message = "too few replicas of the job store know of the call"
        raise ProviderError(Outcome.NOT_SENT, ServiceUnavailable(message, reason="store_unavailable"))


async def _replicated(replication: Replication, job: LeasedJob) -> bool:
    try:
        return await replication.has(job.now)
    except ServiceUnavailable:
        await asyncio.sleep(outage.pause())
        return False
