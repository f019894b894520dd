"""Blobs that are to be deleted at a time: staged inputs, previews, and pictures past their retention."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from jobs.errors import DarkroomError
from jobs.model.times import now_ms
from jobs.redis.connection import translate_redis_errors
from jobs.redis.keys import Keys

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from jobs.blobs.store import BlobStore

_log = structlog.get_logger()


class BlobExpiry:
    """One sorted set of names by time, in which `RedisJobStore` writes, too, with a job's end."""

    def __init__(self, redis: Redis, prefix: str, blobs: BlobStore) -> None:
        self._redis = redis
        self._key = Keys(prefix).expiring_blobs
        self._blobs = blobs

    async def add(self, at_ms: int, *names: str) -> None:
        """Have blobs deleted at a time, whether they are there or not; a later word replaces an earlier one.

        Raises `ServiceUnavailable`.
        """
        if names:
            with translate_redis_errors():
                await self._redis.zadd(self._key, dict.fromkeys(names, at_ms))

    async def discard(self, *names: str) -> None:
        """Delete blobs now; what cannot be deleted now is swept later."""
        if not names:
            return
        try:
            for name in names:
                await self._blobs.delete(name)
            await self._forget(*names)
        except DarkroomError as error:
            _log.warning("blobs stay for now", error=str(error))

    async def sweep(self) -> None:
        """Delete blobs whose time has come."""
        await self.discard(*await self._due())

    async def _due(self, most: int = 100) -> list[str]:
        with translate_redis_errors():
            found = await self._redis.zrangebyscore(self._key, "-inf", now_ms(), 0, most)
        return [name.decode() for name in found]

    async def _forget(self, *names: str) -> None:
        with translate_redis_errors():
            await self._redis.zrem(self._key, *names)
