"""Where history is kept, behind one protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from jobs.history.cosmos import CosmosHistory
from jobs.history.redis_history import RedisHistory

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from jobs.history.generation import Generation
    from jobs.settings import Settings


class History(Protocol):
    """Generations by user. Raises `ServiceUnavailable` while it cannot be reached."""

    async def close(self) -> None:
        """Close the client."""

    async def add(self, made: Generation) -> None:
        """Write one; a second time changes nothing."""

    async def remove(self, user: str, made_id: str) -> None:
        """Forget one, whether it is there or not."""

    async def page(self, user: str, below: str | None, most: int) -> list[dict[str, Any]]:
        """At most so many documents of a user, newest first, with ids below `below`."""
        ...


def open_history(redis: Redis, settings: Settings) -> History:
    """The one that the settings ask for; nothing is asked yet."""
    if settings.cosmos_endpoint is None or settings.cosmos_key is None:
        return RedisHistory(redis, settings.redis_prefix)
    return CosmosHistory(
        endpoint=settings.cosmos_endpoint,
        key=settings.cosmos_key.get_secret_value(),
        database=settings.cosmos_database,
        container=settings.cosmos_container,
    )
