"""Where a job stands in the queue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from jobs.model import fallback
from jobs.model.account import Account, limit_of
from jobs.model.job import Job
from jobs.model.times import now_ms
from jobs.redis.connection import translate_redis_errors
from jobs.redis.fields import BreakerField, JobField, LimitField, PaceField
from jobs.redis.keys import Keys, lane

if TYPE_CHECKING:
    from redis.asyncio import Redis


class QueuePosition(Struct, frozen=True, kw_only=True):
    """Where a queued job stands, and what there is to serve it. The limit of what has none is None."""

    ahead: int
    """Jobs of its org that are before it, in all of its lanes."""
    orgs: int
    """Orgs whose jobs wait."""
    slots: int
    """What the living workers offer."""
    running: int
    org_running: int
    org_limit: int | None
    provider_running: int
    provider_limit: int | None
    shut_ms: int
    """How long the provider gets no call: by its breaker, or by its own word."""
    taken: bool = False
    """A worker has the job, or has had it, since it was looked at: it waits no more."""

    @property
    def throttled(self) -> bool:
        """Whether a free worker would pass it over, by `claim_job.lua`: its org, or its provider, is full."""
        counts = ((self.org_running, self.org_limit), (self.provider_running, self.provider_limit))
        return self.shut_ms > 0 or any(limit is not None and running >= limit for running, limit in counts)


async def queue_position(redis: Redis, prefix: str, job: Job, accounts: Sequence[Account]) -> QueuePosition:
    """Where a queued job stands; one that is not stored (yet) comes after all that are.

    `accounts` are those of its provider. A job that backs off stands where it will be when it comes back. At most two
    round trips, whatever waits. Raises `ServiceUnavailable`.
    """
    keys, now = Keys(prefix), now_ms()
    with translate_redis_errors():
        job_now, rank, lanes, limit, *counts = await _look(redis, keys, job, accounts, now)
        status, score, worker = job_now
        others = {keys.ready(job.org, each.decode()) for each in lanes} - (set() if rank is None else {_own(keys, job)})
        ahead = (rank or 0) + await _count(redis, others, "+inf" if score is None else f"({score.decode()}")
    orgs, live, ready, deferred, lost, org_running, slots, *at_accounts = counts
    shut, opens, running = at_accounts[::3], at_accounts[1::3], at_accounts[2::3]
    shut_until = min(max(float(time or 0) for time in times) for times in zip(shut, opens, strict=True))
    return QueuePosition(
        ahead=ahead,
        orgs=orgs,
        slots=slots,
        running=live - ready - deferred - lost,
        org_running=org_running,
        org_limit=None if limit is None else int(limit),
        provider_running=sum(running),
        provider_limit=limit_of(accounts),
        shut_ms=max(0, int(shut_until) - now),
        taken=status not in {None, b"queued"} or worker is not None,
    )


def _own(keys: Keys, job: Job) -> str:
    return keys.ready(job.org, lane(job.request.provider, may_leave=fallback.allowed(job)))


async def _look(redis: Redis, keys: Keys, job: Job, accounts: Sequence[Account], now: int) -> list[Any]:
    org = job.org
    pipe = redis.pipeline(transaction=False)
    pipe.hmget(keys.job(job.id), [JobField.STATUS, JobField.SCORE, JobField.WORKER])
    pipe.zrank(_own(keys, job), job.id)
    pipe.smembers(keys.lanes_of_org(org))
    pipe.hget(keys.limits(org), LimitField.MAX_RUNNING)
    for members in (keys.ready_orgs, keys.due, keys.ready_jobs, keys.backing_off, keys.lost):
        pipe.zcard(members)
    pipe.zcard(keys.running_of_org(org))
    pipe.zcount(keys.slots, f"({now}", "+inf")
    for account in (each.name for each in accounts):
        pipe.hget(keys.breaker(account), BreakerField.SHUT_UNTIL)
        pipe.hget(keys.pace(account), PaceField.OPENS_AT)
        pipe.zcount(keys.running_at_provider(account), f"({now}", "+inf")
    return await pipe.execute()


async def _count(redis: Redis, lanes: set[str], below: str) -> int:
    if not lanes:
        return 0
    pipe = redis.pipeline(transaction=False)
    for each in lanes:
        pipe.zcount(each, "-inf", below)
    return sum(await pipe.execute())
