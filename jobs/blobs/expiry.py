"""Blobs that are to be deleted at a time: staged inputs, previews, and pictures past their retention."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.model.times import now_ms
from jobs.redis.connection import reachable

if TYPE_CHECKING:
    from redis.asyncio import Redis


class Expiring:
    """One sorted set of names by time, in which `RedisJobStore` writes, too, with a job's end."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis = redis
        self._key = f"{prefix}expiring"

    async def add(self, at_ms: int, *names: str) -> None:
        """Remember blobs that are to be deleted at a time; a later word replaces an earlier one."""
        with reachable():
            await self._redis.zadd(self._key, dict.fromkeys(names, at_ms))

    async def due(self, most: int = 100) -> list[str]:
        """Blobs whose time has come."""
        with reachable():
            found = await self._redis.zrangebyscore(self._key, "-inf", now_ms(), 0, most)
        return [name.decode() for name in found]

    async def forget(self, *names: str) -> None:
        """Blobs have been deleted."""
        with reachable():
            await self._redis.zrem(self._key, *names)
