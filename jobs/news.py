"""Listening to a Redis channel for as long as the process lives."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

RETRY_SECONDS: Final = 0.5


async def listen(redis: Redis, channel: str, heard: Callable[[bytes | None], None]) -> None:
    """Call `heard` with each message, and with None on each subscription: what was said before it is lost.

    Runs until cancelled; a lost connection is taken up again.
    """
    while True:
        with contextlib.suppress(RedisError, OSError):
            async with redis.pubsub() as news:
                await news.subscribe(channel)
                async for message in news.listen():
                    data = message["data"]
                    heard(data if isinstance(data, bytes) else None)
        await asyncio.sleep(RETRY_SECONDS)


async def end(listener: asyncio.Task[None] | None) -> None:
    """Cancel a listener and see it gone."""
    if listener is not None:
        listener.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listener
