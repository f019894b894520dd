"""Blobs that are to be deleted at a time: staged inputs, previews, and pictures past their retention."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NoReturn

import structlog

from jobs.errors import DarkroomError
from jobs.model.times import now_ms
from jobs.redis.connection import translate_redis_errors
from jobs.redis.keys import Keys
from jobs.redis.scripts import Scripts

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from jobs.blobs.store import BlobStore

DELETE_SECONDS: Final = 5.0
"""What deleting one blob may take; one that takes longer is tried again later."""
LEASE_MS: Final = 60_000
"""How long a blob is one sweeper's alone; one that could not be deleted is tried again after it."""
MAX_CONCURRENT_DELETES: Final = 16
"""Of one process."""
SWEEP_SECONDS: Final = 5.0
"""Between two looks for blobs whose time has come."""

_log = structlog.get_logger()


class BlobExpiry:
    """One sorted set of names by time, in which `RedisJobStore` writes, too, with a job's end."""

    def __init__(self, redis: Redis, prefix: str, blobs: BlobStore) -> None:
        self._redis = redis
        self._key = Keys(prefix).expiring_blobs
        self._blobs = blobs
        self._scripts = Scripts(redis, prefix, ("lease_blobs",))
        self._turns = asyncio.Semaphore(MAX_CONCURRENT_DELETES)

    async def add(self, at_ms: int, *names: str) -> None:
        """Have blobs deleted at a time, whether they are there or not; a later word replaces an earlier one.

        Raises `ServiceUnavailable`.
        """
        if names:
            with translate_redis_errors():
                await self._redis.zadd(self._key, dict.fromkeys(names, at_ms))

    async def keep(self, *names: str) -> None:
        """Have blobs stay after all. Raises `ServiceUnavailable`."""
        with translate_redis_errors():
            await self._redis.zrem(self._key, *names)

    async def discard(self, *names: str) -> None:
        """Delete blobs now, or as soon as that is possible: they are queued before anything is tried.

        Raises `ServiceUnavailable` when they could not be queued; nothing is deleted then.
        """
        await self.add(now_ms() + LEASE_MS, *names)
        await asyncio.gather(*map(self._delete, names))

    async def sweep(self) -> NoReturn:
        """Delete blobs whose time has come, each by itself and by one sweeper of all, until cancelled."""
        deleting: set[asyncio.Task[None]] = set()
        try:
            while True:
                names = await self._lease(MAX_CONCURRENT_DELETES - len(deleting))
                deleting |= {asyncio.create_task(self._delete(name)) for name in names}
                if len(deleting) < MAX_CONCURRENT_DELETES:  # nothing else is due
                    await asyncio.sleep(SWEEP_SECONDS)
                if deleting:
                    _, deleting = await asyncio.wait(deleting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in deleting:
                task.cancel()

    async def _lease(self, limit: int) -> list[str]:
        found = await self._scripts.run("lease_blobs", {"limit": limit, "lease_ms": LEASE_MS})
        return [name.decode() for name in found]

    async def _delete(self, name: str) -> None:
        """Delete a queued blob, and take it from the queue then. Never fails."""
        try:
            async with self._turns, asyncio.timeout(DELETE_SECONDS):
                await self._blobs.delete(name)
            with translate_redis_errors():
                await self._redis.zrem(self._key, name)
        except (DarkroomError, TimeoutError) as error:
            _log.warning("blob stays for now", blob=name, error=str(error))
