"""The circuit breaker and the pace of a provider's account, shared by all workers, and its health as they see it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from jobs.model.times import now_ms
from jobs.redis.connection import translate_redis_errors
from jobs.redis.fields import BreakerField, PaceField
from jobs.redis.keys import Keys
from jobs.redis.scripts import Scripts
from jobs.store.arguments import Arguments

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from jobs.settings import Settings

MAX_OPEN_MS: Final = 300_000
MAX_PAUSE_SECONDS: Final = 3_600
"""What a provider says at the most of when it is to be asked again."""
PACE: Final = {
    "first_interval_ms": 500,
    "max_interval_ms": 60_000,
    "wave_ms": 1_000,
    "first_step": 0.5,
    "step": 0.05,
    "keep_ms": 3_600_000,
}
"""From one call to the next after a provider's first refusal for our rate, and at the most; calls that began so soon
after the last refusal that counted say nothing new. Calls a second that each call served adds, before the second
refusal; after it: by which share of the pace that was refused. How long the pace is kept after the last refusal."""
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
    """Whether an account is given calls."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    """One job tries it out."""


class Health(Struct, frozen=True, kw_only=True):
    """An account as all workers see it."""

    breaker: BreakerState
    shut_ms: int
    """How long it stays open."""
    running: int
    """Calls that are open."""
    took_ms: tuple[int, ...]
    """The last good calls of its provider, newest first."""
    calls_per_second: float | None
    """How often it is called at the most, learnt from its refusals; None: as often as jobs come."""
    paused_ms: int
    """How long it gets no call, by its own word or its pace."""


class Breaker:
    """After `max_failures` bad calls in a row an account gets none for `open_ms`, twice as long each time.

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
            "pace": PACE,
        }

    def ended_call(  # noqa: PLR0913  # a call has that many facts
        self,
        provider: str,
        model: str,
        verdict: Verdict,
        took_ms: int,
        retry_after: float | None = None,
        *,
        account: str | None = None,
    ) -> Arguments:
        """A provider's call that has ended, to be told by itself (`record_call`) or with a move of its job.

        For `retry_after` seconds its account gets no other, an hour at most.
        """
        return {
            "provider": provider,
            "account": account or provider,
            "model": model,
            "verdict": verdict,
            "took_ms": took_ms,
            "retry_after_ms": round(1000 * min(retry_after or 0, MAX_PAUSE_SECONDS)),
            **self._bounds,
        }

    async def record_call(self, call: Arguments) -> None:
        """Tell of it by itself."""
        await self._scripts.run("record_call", call)

    async def health(self, provider: str, account: str | None = None) -> Health:
        """How an account of a provider does just now, by what every worker has seen of it."""
        now, account = now_ms(), account or provider
        with translate_redis_errors():
            pipe = self._redis.pipeline(transaction=True)
            pipe.hmget(self._keys.breaker(account), [BreakerField.SHUT_UNTIL, BreakerField.PROBE])
            pipe.hmget(self._keys.pace(account), [PaceField.INTERVAL, PaceField.OPENS_AT])
            pipe.zcount(self._keys.running_at_provider(account), now, "+inf")
            pipe.lrange(self._keys.times_of_provider(provider), 0, MAX_TIMES - 1)
            (until, probe), (interval, opens_at), running, took = await pipe.execute()
        shut_ms = _left(until, now)
        return Health(
            breaker=_state(until, probe, shut_ms),
            shut_ms=shut_ms,
            running=running,
            took_ms=tuple(int(ms) for ms in took),
            calls_per_second=1000 / float(interval) if interval else None,
            paused_ms=_left(opens_at, now),
        )


def circuit_breaker(redis: Redis, settings: Settings) -> Breaker:
    """The breaker that the settings ask for."""
    failures, open_ms = settings.breaker_failures, settings.breaker_seconds * 1000
    return Breaker(redis, settings.redis_prefix, max_failures=failures, open_ms=open_ms)


def _left(until: bytes | None, now: int) -> int:
    return max(0, int(float(until)) - now) if until else 0


def _state(until: bytes | None, probe: bytes | None, shut_ms: int) -> BreakerState:
    if until is None:
        return BreakerState.CLOSED
    return BreakerState.HALF_OPEN if probe or not shut_ms else BreakerState.OPEN
