"""How often somebody may ask: sliding windows in Redis, shared by every process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from limits import RateLimitItemPerSecond
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from msgspec import Struct

from jobs.redis.connection import translate_redis_errors
from jobs.redis.keys import Keys

if TYPE_CHECKING:
    from redis.asyncio import ConnectionPool


class Window(Struct, frozen=True):
    """At most `amount` requests in any `seconds`; `label`: what they are counted as, where not by their time alone."""

    amount: int
    seconds: int
    label: str | None = None

    @property
    def name(self) -> str:
        """What a caller may call it: `minute`, `day`, or its length."""
        return self.label or {60: "minute", 86_400: "day"}.get(self.seconds, f"{self.seconds}s")


class Allowance(Struct, frozen=True):
    """What is left of a window. `reset_seconds`: until some of it comes back. `refused`: there was no room in it."""

    window: Window
    remaining: int
    reset_seconds: float
    refused: bool = False


class Rates:
    """Counts requests by name. Times are Redis' own; what is refused is not counted."""

    def __init__(self, pool: ConnectionPool, prefix: str) -> None:
        storage = RedisStorage(
            _OF_THE_POOL,
            implementation="redispy",
            key_prefix=Keys(prefix).rates,
            connection_pool=pool,  # type: ignore[arg-type]  # passed on to redis-py; its hint forgets the pool
        )
        self._windows = SlidingWindowCounterRateLimiter(storage)

    async def spend(self, name: str, windows: Sequence[Window]) -> tuple[Allowance, ...]:
        """Count one request against every window, and what is left of each; at most one has refused it.

        A window that refuses is the last that is counted. Raises `ServiceUnavailable`.
        """
        refusing = None
        with translate_redis_errors():
            for window in windows:
                if not await self._windows.hit(_item(window), name):
                    refusing = window
                    break
            return tuple([await self._left(name, window, refused=window is refusing) for window in windows])

    async def _left(self, name: str, window: Window, *, refused: bool) -> Allowance:
        stats = await self._windows.get_window_stats(_item(window), name)
        remaining = 0 if refused else stats.remaining
        return Allowance(window, remaining, max(0.0, stats.reset_time - time.time()), refused)


def nearest(left: Sequence[Allowance]) -> Allowance:
    """Of what is left of several windows (at least one), the one that is nearest to its end."""
    return min(left, key=lambda allowance: (not allowance.refused, allowance.remaining))


_OF_THE_POOL: Final = "async+redis://"
"""The address is the pool's."""


def _item(window: Window) -> RateLimitItemPerSecond:
    return RateLimitItemPerSecond(window.amount, window.seconds)
