"""Whether Redis has memory for new work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jobs.errors import ServiceUnavailable
from jobs.model.times import now_ms
from jobs.redis.connection import translate_redis_errors

if TYPE_CHECKING:
    from redis.asyncio import Redis

LOOK_MS: Final = 1_000
MAX_USED: Final = 0.9
"""The share of `maxmemory` beyond which new work is refused."""


class MemoryGuard:
    """Keeps the last tenth of Redis' memory for the work that has been accepted: its moves need some, too."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._looked_ms = 0
        self._full = False

    async def require(self) -> None:
        """Raises `ServiceUnavailable` when memory runs short. Looks at most once in `LOOK_MS`."""
        now = now_ms()
        if now - self._looked_ms >= LOOK_MS:
            with translate_redis_errors():
                memory = await self._redis.info("memory")
            self._looked_ms = now
            self._full = 0 < memory["maxmemory"] * MAX_USED < memory["used_memory"]
        if self._full:
            message = "the job store is short of memory: nothing new is accepted just now"
            raise ServiceUnavailable(message, reason="store_full", retry_after=30)
