"""What the operators' commands share: the Redis of the settings."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from app.cli.messages import fail

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from jobs.settings import Settings

T = TypeVar("T")


def with_redis(work: Callable[[Redis, Settings], Awaitable[T]]) -> T:
    """Do something on the Redis of the settings; an error of ours ends the command with its text."""
    from jobs.errors import ConfigurationError, DarkroomError  # each command loads what it needs
    from jobs.logs import configure
    from jobs.settings import Settings

    settings = Settings.load()
    configure("console", "error")  # stdout is the answer of the command
    if not settings.redis_url:
        message = "REDIS_URL: not set, e.g. redis://127.0.0.1:6379/0 (`darkroom dev` prints its own)"
        raise ConfigurationError(message)
    try:
        return asyncio.run(_connected(settings, work))
    except DarkroomError as error:
        field = error.details.get("field")
        fail(f"{field}: {error.message}" if field else error.message)


async def _connected(settings: Settings, work: Callable[[Redis, Settings], Awaitable[T]]) -> T:
    from redis.asyncio import Redis

    from jobs.redis.connection import connections

    async with Redis.from_pool(connections(settings.redis_url)) as redis:
        return await work(redis, settings)
