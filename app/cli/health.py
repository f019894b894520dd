"""`darkroom healthcheck`: whether the API can serve, or whether the worker of this host does its work."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from msgspec import Struct

from jobs.errors import ServiceUnavailable

if TYPE_CHECKING:
    from jobs.settings import Settings


class Health(Struct, frozen=True):
    """`text` is one line."""

    good: bool
    text: str


def api_health(settings: Settings, url: str | None) -> Health:
    """Whether the API at this base URL, else at the bind address, is ready."""
    import httpx

    base = url or f"http://127.0.0.1:{settings.port}"
    try:
        answer = httpx.get(f"{base}/readyz", timeout=5, trust_env=False)
    except httpx.HTTPError as error:
        return Health(good=False, text=f"{base}: {error}")
    return Health(good=answer.is_success, text=answer.text)


async def worker_health(settings: Settings) -> Health:
    """Whether a worker of this host renews its lease. Good, too, while Redis is away: a new start helps nobody then."""
    from redis.asyncio import Redis

    from jobs.redis.connection import connections
    from jobs.store.stats import Stats

    pool = connections(settings.redis_url)
    try:
        count = await Stats(Redis(connection_pool=pool), settings.redis_prefix).workers(socket.gethostname())
    except ServiceUnavailable:
        return Health(good=True, text="Redis is unavailable: the worker waits for it")
    finally:
        await pool.disconnect()
    return Health(good=count > 0, text=f"workers of this host: {count}" if count else "no worker of this host lives")
