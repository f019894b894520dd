"""What is seen of providers and of the queue: health, times, and numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.ids import made_ms
from jobs.model import fallback
from jobs.model.job import Job
from jobs.model.times import now_ms
from jobs.redis.connection import reachable
from jobs.redis.keys import BreakerField, JobField, Keys, LimitField, lane
from jobs.redis.scripts import Scripts
from jobs.store.breaker import LONGEST_OPEN_MS, TIMES_KEPT_MS, Breaker, Health
from jobs.store.position import Place

if TYPE_CHECKING:
    from redis.asyncio import Redis


class Gauges:
    """Reads what the scripts of the job store keep beside the jobs; writes how calls went."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis = redis
        self._keys = Keys(prefix)
        self._scripts = Scripts(redis, prefix, ("record_call",))

    async def report(self, provider: str, model: str, word: str, took_ms: int, breaker: Breaker) -> None:
        """A provider's call has ended: `good`, `bad` or `busy` (which says nothing of its health)."""
        told = {
            "provider": provider,
            "model": model,
            "verdict": word,
            "took_ms": took_ms,
            "max_failures": breaker.failures,
            "open_ms": breaker.open_ms,
            "max_open_ms": LONGEST_OPEN_MS,
            "keep_times_ms": TIMES_KEPT_MS,
        }
        await self._scripts.run("record_call", told)

    async def took(self, provider: str, model: str) -> tuple[int, ...]:
        """What the model's last good calls took, in milliseconds, the newest first; at most 200."""
        with reachable():
            found = await self._redis.lrange(self._keys.times_of_model(provider, model), 0, -1)  # type: ignore[misc]  # redis-py types both clients as one
        return tuple(int(ms) for ms in found)

    async def health(self, provider: str) -> Health:
        """How a provider does just now, by what every worker has seen of it."""
        now = now_ms()
        with reachable():
            pipe = self._redis.pipeline(transaction=True)
            pipe.hmget(self._keys.breaker(provider), [BreakerField.SHUT_UNTIL, BreakerField.PROBE])
            pipe.zcount(self._keys.running_at_provider(provider), now, "+inf")
            pipe.lrange(self._keys.times_of_provider(provider), 0, -1)
            (until, probe), running, took = await pipe.execute()
        shut_ms = max(0, int(float(until)) - now) if until else 0
        state = "closed" if until is None else "half_open" if probe or not shut_ms else "open"
        return Health(state, shut_ms, running, tuple(int(ms) for ms in took))

    async def place(self, job: Job, provider_most: int | None) -> Place:
        """Where a queued job stands; one that is not stored (yet) comes after all that are.

        A job that backs off stands where it will be when it comes back. At most two round trips, whatever waits.
        """
        now, keys = now_ms(), self._keys
        org, provider = job.org, job.request.provider
        own = keys.ready(org, lane(provider, may_leave=fallback.allowed(job)))
        with reachable():
            pipe = self._redis.pipeline(transaction=False)
            pipe.hmget(keys.job(job.id), [JobField.STATUS, JobField.SCORE, JobField.LEASE_UNTIL])
            pipe.zrank(own, job.id)
            pipe.smembers(keys.lanes_of_org(org))
            pipe.hget(keys.limits(org), LimitField.MAX_RUNNING)
            pipe.hget(keys.breaker(provider), BreakerField.SHUT_UNTIL)
            for members in (keys.ready_orgs, keys.claimed):
                pipe.zcard(members)
            for leased in (keys.slots, keys.running_of_org(org), keys.running_at_provider(provider)):
                pipe.zcount(leased, f"({now}", "+inf")
            (status, score, lease), rank, lanes, most, until, orgs, running, slots, *held = await pipe.execute()
            others = {keys.ready(org, each.decode()) for each in lanes} - (set() if rank is None else {own})
            for each in others:
                pipe.zcount(each, "-inf", "+inf" if score is None else f"({score.decode()}")
            ahead = (rank or 0) + (sum(await pipe.execute()) if others else 0)
        return Place(
            ahead=ahead,
            orgs=orgs,
            slots=slots,
            running=running,
            org_running=held[0],
            org_most=None if most is None else int(most),
            provider_running=held[1],
            provider_most=provider_most,
            shut_ms=max(0, int(float(until)) - now) if until else 0,
            taken=status not in {None, b"queued"} or int(lease or 0) > now,
        )

    async def counts(self) -> dict[str, int]:
        """What waits, runs and backs off, what workers offer, and how long the first in line has waited."""
        keys = self._keys
        orgs = [o.decode() for o in await self._redis.zrange(keys.ready_orgs, 0, -1)]
        pipe = self._redis.pipeline(transaction=True)
        for org in orgs:
            pipe.smembers(keys.lanes_of_org(org))
        lanes = [(o, p.decode()) for o, found in zip(orgs, await pipe.execute(), strict=True) for p in found]
        for members in (keys.claimed, keys.backing_off, keys.turns):
            pipe.zcard(members)
        for leased in (keys.slots, keys.workers):
            pipe.zcount(leased, now_ms(), "+inf")
        for org, name in lanes:
            pipe.zcard(keys.ready(org, name))
            pipe.zrange(keys.ready(org, name), 0, 0)
        running, deferred, turns, slots, workers, *found = await pipe.execute()
        first = min((made_ms(ids[0].decode()) for ids in found[1::2] if ids), default=now_ms())
        return {
            "ready": sum(found[0::2]),
            "running": running,
            "deferred": deferred,
            "turns": turns,
            "slots": slots,
            "workers": workers,
            "oldestReadySeconds": max(0, now_ms() - first) // 1000,
        }
