"""The circuit breaker of a provider, shared by all workers, and its health as they see it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from jobs.model.times import now_ms
from jobs.redis.connection import translate_redis_errors
from jobs.redis.keys import BreakerField, Keys
from jobs.redis.scripts import Scripts
from jobs.store.arguments import Arguments

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from jobs.settings import Settings

MAX_OPEN_MS: Final = 300_000
KEEP_ROOMS_MS: Final = 600_000
"""How long a room is remembered whose lease has lapsed: a worker that only slept comes back and goes on in it."""
MAX_TIMES: Final = 200
"""Of a provider, or model, that are told."""
KEEP_TIMES_MS: Final = 30 * 86_400_000
"""How long the times of a provider, or model, are told that nobody asks any more."""


class Verdict(StrEnum):
    """What a call says of the health of whom it went to."""

    GOOD = "good"
    BAD = "bad"
    BUSY = "busy"
    """Nothing."""


class BreakerState(StrEnum):
    """Whether a provider is given jobs."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    """One job tries it out."""


class Health(Struct, frozen=True):
    """A provider as all workers see it."""

    breaker: BreakerState
    shut_ms: int
    """How long it stays open."""
    running: int
    took_ms: tuple[int, ...]
    """Its last good calls, newest first."""


class Breaker:
    """After `max_failures` bad calls in a row a provider gets no jobs for `open_ms`, twice as long each time.

    Raises `ServiceUnavailable` while Redis is out of reach.
    """

    def __init__(self, redis: Redis, prefix: str, *, max_failures: int, open_ms: int) -> None:
        self._redis = redis
        self._keys = Keys(prefix)
        self._scripts = Scripts(redis, prefix, ("record_call",))
        self._bounds = {
            "max_failures": max_failures,
            "open_ms": open_ms,
            "max_open_ms": MAX_OPEN_MS,
            "keep_times_ms": KEEP_TIMES_MS,
            "keep_rooms_ms": KEEP_ROOMS_MS,
        }

    def ended_call(self, provider: str, model: str, verdict: Verdict, took_ms: int) -> Arguments:
        """A provider's call that has ended, to be told by itself (`record_call`) or with a move of its job."""
        return {"provider": provider, "model": model, "verdict": verdict, "took_ms": took_ms, **self._bounds}

    async def record_call(self, call: Arguments) -> None:
        """Tell of it by itself."""
        await self._scripts.run("record_call", call)

    async def health(self, provider: str) -> Health:
        """How a provider does just now, by what every worker has seen of it."""
        now = now_ms()
        with translate_redis_errors():
            pipe = self._redis.pipeline(transaction=True)
            pipe.hmget(self._keys.breaker(provider), [BreakerField.SHUT_UNTIL, BreakerField.PROBE])
            pipe.zcount(self._keys.running_at_provider(provider), now, "+inf")
            pipe.lrange(self._keys.times_of_provider(provider), 0, MAX_TIMES - 1)
            (until, probe), running, took = await pipe.execute()
        shut_ms = max(0, int(float(until)) - now) if until else 0
        return Health(_state(until, probe, shut_ms), shut_ms, running, tuple(int(ms) for ms in took))


def circuit_breaker(redis: Redis, settings: Settings) -> Breaker:
    """The breaker that the settings ask for."""
    failures, open_ms = settings.breaker_failures, settings.breaker_seconds * 1000
    return Breaker(redis, settings.redis_prefix, max_failures=failures, open_ms=open_ms)


def _state(until: bytes | None, probe: bytes | None, shut_ms: int) -> BreakerState:
    if until is None:
        return BreakerState.CLOSED
    return BreakerState.HALF_OPEN if probe or not shut_ms else BreakerState.OPEN
