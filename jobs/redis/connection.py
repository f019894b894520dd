"""One boundary for Redis' own failures: they leave it as ours."""

from __future__ import annotations

from typing import Final

from redis.asyncio import ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from jobs.errors import ServiceUnavailable, StoreUnavailable
from jobs.outage import Outage

ANSWER_SECONDS: Final = 5.0
"""A Redis that says nothing for so long (a paused primary, a cut network) counts as out of reach."""


def connections(url: str) -> ConnectionPool:
    """Connections that give up in seconds; nothing here repeats a command by itself."""
    return ConnectionPool.from_url(url, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=ANSWER_SECONDS)


outage: Final = Outage("Redis", quiet_seconds=5.0)
"""The one Redis of this process: whoever waits for it asks how long, and says nothing of it by himself."""
_OUT_OF_MEMORY: Final = "-OOM command not allowed"
"""How Redis 6.2 says it of a command inside a script; redis-py knows the word at the beginning of a line alone."""


class translate_redis_errors:  # noqa: N801  # reads as a phrase: `with translate_redis_errors():`
    """Turns a Redis that is out of reach, out of memory or not ready into `ServiceUnavailable`."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, OutOfMemoryError) or (isinstance(error, ResponseError) and _OUT_OF_MEMORY in str(error)):
            message = "the job store is short of memory: nothing new is accepted just now"
            raise ServiceUnavailable(message, reason="store_full", retry_after=30) from error
        if isinstance(error, RedisConnectionError | RedisTimeoutError | OSError) or (
            isinstance(error, ResponseError) and str(error).startswith(("LOADING", "READONLY", "MASTERDOWN"))
        ):
            outage.failed(error)
            raise StoreUnavailable from error
        if error is None:
            outage.over()
