"""Listening to a Redis channel for as long as the process lives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from jobs.errors import ServiceUnavailable
from jobs.redis.connection import outage, translate_redis_errors

SILENCE_SECONDS: Final = 15.0
"""After which a connection is asked whether it lives."""

_log = structlog.get_logger()


async def subscribe(redis: Redis, channel: str, heard: Callable[[bytes | None], None]) -> None:
    """Call `heard` with each message, and with None on each subscription: what was said before it is lost.

    Runs until cancelled; a lost connection is taken up again.
    """
    while True:
        try:
            with translate_redis_errors():
                await _hear_on(redis, channel, heard)
        except ServiceUnavailable:
            pass  # that is told of already
        except Exception as error:  # noqa: BLE001  # who hears no more would never be told
            _log.error("news not heard", channel=channel, exc_info=error)
        await asyncio.sleep(outage.pause())


async def _hear_on(redis: Redis, channel: str, heard: Callable[[bytes | None], None]) -> None:
    async with redis.pubsub() as news:
        await news.subscribe(channel)
        while True:
            await _hear(news, heard)
            outage.over()


async def _hear(news: PubSub, heard: Callable[[bytes | None], None]) -> None:
    message = await news.get_message(timeout=SILENCE_SECONDS)
    match message:
        case None:
            await news.ping()  # a connection that is dead says so now
        case {"type": "message", "data": data}:
            heard(data)
        case {"type": "subscribe"}:
            heard(None)
