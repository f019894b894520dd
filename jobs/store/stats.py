"""The queue in numbers, and how long calls took."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.ids import made_ms
from jobs.model.times import now_ms
from jobs.redis.connection import translate_redis_errors
from jobs.redis.keys import Keys

if TYPE_CHECKING:
    from redis.asyncio import Redis


class Stats:
    """Reads what the scripts of the job store keep beside the jobs. Raises `ServiceUnavailable`."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis = redis
        self._keys = Keys(prefix)

    async def took(self, provider: str, model: str) -> tuple[int, ...]:
        """What the model's last good calls took, in milliseconds, the newest first; at most 200."""
        with translate_redis_errors():
            found = await self._redis.lrange(self._keys.times_of_model(provider, model), 0, -1)  # type: ignore[misc]  # redis-py types both clients as one
        return tuple(int(ms) for ms in found)

    async def counts(self) -> dict[str, int]:
        """What waits, runs and backs off, what workers offer, and how long the first in line has waited."""
        with translate_redis_errors():
            lanes = await self._lanes()
            pipe = self._redis.pipeline(transaction=True)
            for members in (self._keys.claimed, self._keys.backing_off, self._keys.turns):
                pipe.zcard(members)
            for leased in (self._keys.slots, self._keys.workers):
                pipe.zcount(leased, now_ms(), "+inf")
            for ready in lanes:
                pipe.zcard(ready)
                pipe.zrange(ready, 0, 0)
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

    async def _lanes(self) -> list[str]:
        """The keys of every org's lanes."""
        orgs = [org.decode() for org in await self._redis.zrange(self._keys.ready_orgs, 0, -1)]
        pipe = self._redis.pipeline(transaction=True)
        for org in orgs:
            pipe.smembers(self._keys.lanes_of_org(org))
        found = await pipe.execute()
        return [self._keys.ready(org, lane.decode()) for org, lanes in zip(orgs, found, strict=True) for lane in lanes]
