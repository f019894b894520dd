"""The queue in numbers, and how long calls took."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from jobs.clock import clock
from jobs.ids import made_ms
from jobs.model.times import now_ms
from jobs.redis.connection import translate_redis_errors
from jobs.redis.keys import Keys
from jobs.redis.scripts import Scripts
from jobs.store.breaker import MAX_TIMES

if TYPE_CHECKING:
    from redis.asyncio import Redis


class Stats:
    """Reads what the scripts of the job store keep beside the jobs. Raises `ServiceUnavailable`."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis = redis
        self._keys = Keys(prefix)
        self._scripts = Scripts(redis, prefix, ("count_queue",))

    async def took(self, provider: str, model: str) -> tuple[int, ...]:
        """What the model's last good calls took, in milliseconds, the newest first; at most 200."""
        with translate_redis_errors():
            found = await self._redis.lrange(self._keys.times_of_model(provider, model), 0, MAX_TIMES - 1)  # type: ignore[misc]  # redis-py types both clients as one
        return tuple(int(ms) for ms in found)

    async def workers(self, host: str | None = None) -> int:
        """How many workers live, by Redis' clock: those of a host, or all."""
        asked_ns = time.monotonic_ns()
        with translate_redis_errors():
            pipe = self._redis.pipeline(transaction=True)
            pipe.time()
            pipe.zrange(self._keys.workers, 0, -1, withscores=True)
            (seconds, microseconds), leases = await pipe.execute()
        clock.correct((seconds * 1_000_000 + microseconds) * 1_000, asked_ns)
        wanted = b"" if host is None else f"{host}/".encode()
        return sum(until > seconds * 1000 and name.startswith(wanted) for name, until in leases)

    async def counts(self) -> dict[str, int]:
        """What waits, runs and backs off, what workers offer, and how long the oldest that waits has waited."""
        counts, oldest = await self._scripts.run("count_queue", {})
        waited_ms = now_ms() - made_ms(oldest.decode()) if oldest else 0
        return dict(zip(_COUNTED, counts, strict=True)) | {"oldestReadySeconds": max(0, waited_ms) // 1000}


_COUNTED: Final = ("ready", "running", "deferred", "turns", "slots", "workers")
"""In the order of the script's answer."""
