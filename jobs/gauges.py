"""What is seen of providers and of the queue: health, times, and numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from msgspec import Struct

from jobs.ids import made_ms
from jobs.model import Health, Job, now_ms
from jobs.reachable import reachable
from jobs.scripts import scripts

if TYPE_CHECKING:
    from redis.asyncio import Redis

LONGEST_OPEN_MS: Final = 300_000


class Breaker(Struct, frozen=True):
    """After `failures` bad calls in a row a provider gets no jobs for `open_ms`, twice as long each time."""

    failures: int
    open_ms: int


class Gauges:
    """Reads what the scripts of the job store keep beside the jobs; writes how calls went."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix
        self._scripts = scripts(redis, ("report",))

    async def report(self, provider: str, word: str, took_ms: int, breaker: Breaker) -> None:
        """A provider's call has ended: `good`, `bad` or `busy` (which says nothing of its health)."""
        bounds = breaker.failures, breaker.open_ms, LONGEST_OPEN_MS
        with reachable():
            await self._scripts["report"](args=[self._prefix, provider, word, took_ms, *bounds])

    async def health(self, provider: str) -> Health:
        """How a provider does just now, by what every worker has seen of it."""
        now = now_ms()
        with reachable():
            pipe = self._redis.pipeline(transaction=True)
            pipe.hmget(f"{self._prefix}breaker:{provider}", ["until", "probe"])
            pipe.zcount(f"{self._prefix}running:{provider}", now, "+inf")
            pipe.lrange(f"{self._prefix}took:{provider}", 0, -1)
            (until, probe), running, took = await pipe.execute()
        shut_ms = max(0, int(float(until)) - now) if until else 0
        state = "closed" if until is None else "half_open" if probe or not shut_ms else "open"
        return Health(state, shut_ms, running, tuple(int(ms) for ms in took))

    async def position(self, job: Job) -> int | None:
        """How many of the org's jobs for the same provider are ahead of a queued one."""
        with reachable():
            lane = f"{self._prefix}ready:{job.org}/{job.request.provider}"
            return cast("int | None", await self._redis.zrank(lane, job.id))

    async def waiting(self, job: Job) -> int:
        """How many of its org's jobs for the same provider are ready."""
        with reachable():
            return cast("int", await self._redis.zcard(f"{self._prefix}ready:{job.org}/{job.request.provider}"))

    async def counts(self) -> dict[str, int]:
        """What waits, runs and backs off, what workers offer, and how long the first in line has waited."""
        orgs = [o.decode() for o in await self._redis.zrange(f"{self._prefix}orgs", 0, -1)]
        pipe = self._redis.pipeline(transaction=True)
        for org in orgs:
            pipe.smembers(f"{self._prefix}lanes:{org}")
        lanes = [(o, p.decode()) for o, found in zip(orgs, await pipe.execute(), strict=True) for p in found]
        for name in ("running", "later", "turns"):
            pipe.zcard(f"{self._prefix}{name}")
        for name in ("slots", "workers"):
            pipe.zcount(f"{self._prefix}{name}", now_ms(), "+inf")
        for org, provider in lanes:
            pipe.zcard(f"{self._prefix}ready:{org}/{provider}")
            pipe.zrange(f"{self._prefix}ready:{org}/{provider}", 0, 0)
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
