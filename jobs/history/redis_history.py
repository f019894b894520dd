"""History in our own Redis, where there is no Cosmos DB: the newest of each user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from jobs.redis.connection import translate_redis_errors
from jobs.redis.keys import Keys

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from jobs.history.generation import Generation

MAX_KEPT: Final = 500
"""Generations of a user."""
KEPT_SECONDS: Final = 366 * 86_400
"""How long a user's are kept who makes nothing more."""
_END: Final = b"\0"
"""Between id and document: sorts before every character of an id."""


class RedisHistory:
    """A sorted set a user, of documents behind their ids, all of score 0: they sort by time themselves."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis = redis
        self._keys = Keys(prefix)

    async def close(self) -> None:
        """See `History.close`: the connections are the process's."""

    async def add(self, made: Generation) -> None:
        """See `History.add`."""
        key = self._keys.generations_of_user(made.user_id)
        with translate_redis_errors():
            pipe = self._redis.pipeline()
            pipe.zadd(key, {made.id.encode() + _END + msgspec.json.encode(made): 0})
            pipe.zremrangebyrank(key, 0, -MAX_KEPT - 1)
            pipe.expire(key, KEPT_SECONDS)
            await pipe.execute()

    async def remove(self, user: str, made_id: str) -> None:
        """See `History.remove`."""
        begin = b"[" + made_id.encode()
        with translate_redis_errors():
            await self._redis.zremrangebylex(self._keys.generations_of_user(user), begin + _END, begin + b"\1")

    async def page(self, user: str, below: str | None, most: int) -> list[dict[str, Any]]:
        """See `History.page`."""
        highest = b"+" if below is None else b"(" + below.encode()
        with translate_redis_errors():
            found = await self._redis.zrevrangebylex(
                self._keys.generations_of_user(user), highest, b"-", start=0, num=most
            )
        return [msgspec.json.decode(member.partition(_END)[2]) for member in found]
