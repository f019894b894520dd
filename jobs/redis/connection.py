"""One boundary for Redis' own failures: they leave it as ours."""

from __future__ import annotations

import re
import time
from typing import Final

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from jobs.clock import clock
from jobs.errors import ServiceUnavailable, StoreUnavailable
from jobs.outage import Outage

ANSWER_SECONDS: Final = 5.0
"""A Redis that says nothing for so long (a paused primary, a cut network) counts as out of reach."""


def connections(url: str) -> ConnectionPool:
    """Connections that give up in seconds; nothing here repeats a command by itself."""
    bounds = {"socket_timeout": ANSWER_SECONDS, "socket_connect_timeout": ANSWER_SECONDS}
    return ConnectionPool.from_url(url, redis_connect_func=_begin, **bounds)


async def _begin(connection: AbstractConnection) -> None:
    """Greet as redis-py does, and ask for the time before anything is done by it."""
    await connection.on_connect()
    asked_ns = time.monotonic_ns()
    await connection.send_command("TIME")
    seconds, microseconds = await connection.read_response()
    clock.correct((int(seconds) * 1_000_000 + int(microseconds)) * 1_000, asked_ns)


outage: Final = Outage("Redis", quiet_seconds=5.0)
"""The one Redis of this process: whoever waits for it asks how long, and says nothing of it by himself."""
_STATE: Final = re.compile(r"""(?:^|-|["'])(?!ERR |WRONGTYPE )([A-Z]{3,}) """)
"""The word by which Redis says that it is its state which forbids a command, also of one inside a script (6.2 says ERR
first) or a pipeline. ERR and WRONGTYPE speak of the command."""

_CLOSED: Final = "the handler is closed"
"""uvloop's word for a connection that is written to after it was cut; redis-py hands it on."""


class translate_redis_errors:  # noqa: N801  # reads as a phrase: `with translate_redis_errors():`
    """Turns a Redis that is out of reach, out of memory or does nothing just now into `ServiceUnavailable`.

    What is left is a mistake of ours.
    """

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is None:
            outage.over()
        elif _unavailable(error):
            outage.failed(error)
            if _state(error) == "OOM":
                message = "the job store is short of memory: nothing new is accepted just now"
                raise ServiceUnavailable(message, reason="store_full", retry_after=30) from error
            raise StoreUnavailable from error


def _unavailable(error: BaseException) -> bool:
    if isinstance(error, ResponseError):
        return _state(error) is not None
    if isinstance(error, RuntimeError):
        return _CLOSED in str(error)
    return isinstance(error, RedisConnectionError | RedisTimeoutError | OSError)


def _state(error: BaseException) -> str | None:
    """What keeps Redis from doing what it was asked. redis-py takes the words that it knows from the text."""
    if isinstance(error, OutOfMemoryError):
        return "OOM"
    if isinstance(error, ResponseError) and type(error) is not ResponseError:
        return type(error).__name__
    found = _STATE.search(str(error))
    return None if found is None else found[1]
