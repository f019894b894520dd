"""What an org may do: its share of the workers, and its limits; and what it has used today."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import UNSET, Struct, UnsetType, to_builtins

from jobs.errors import InvalidInput
from jobs.model.times import moment, now_ms
from jobs.redis.connection import reachable

if TYPE_CHECKING:
    from redis.asyncio import Redis

_MICRO: Final = 1_000_000


class OrgLimits(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """An org's limits; None: none. `weight` is its share of the workers beside other orgs'."""

    weight: float = 1.0
    max_queued: int | None = None
    max_running: int | None = None
    images_per_day: int | None = None
    cost_per_day: float | None = None
    """US dollars by the catalog's prices."""


class OrgChange(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Fields to be changed; null takes a limit away, what is left out stays."""

    weight: float | UnsetType = UNSET
    max_queued: int | UnsetType | None = UNSET
    max_running: int | UnsetType | None = UNSET
    images_per_day: int | UnsetType | None = UNSET
    cost_per_day: float | UnsetType | None = UNSET


class Used(Struct, frozen=True, rename="camel"):
    """What an org or a key has used of the day (UTC); live jobs count with all that they asked for."""

    images: int
    cost: float


class Orgs:
    """Limits and use of every org. The scripts that accept and claim jobs read the same hashes."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix

    async def limits(self, org: str) -> OrgLimits:
        """What the org may do."""
        with reachable():
            raw = await self._redis.hgetall(f"{self._prefix}limits:{org}")  # type: ignore[misc]  # redis-py types both clients as one
        kept = {name.decode(): value.decode() for name, value in raw.items()}
        cost = kept.get("costPerDay")
        return OrgLimits(
            weight=float(kept.get("weight", 1.0)),
            max_queued=_number(kept.get("maxQueued")),
            max_running=_number(kept.get("maxRunning")),
            images_per_day=_number(kept.get("imagesPerDay")),
            cost_per_day=None if cost is None else int(cost) / _MICRO,
        )

    async def change(self, org: str, change: OrgChange) -> OrgLimits:
        """Change limits; jobs that are accepted stay. Raises `InvalidInput` naming the field."""
        told: dict[str, Any] = to_builtins(change)
        for name, value in told.items():
            least = 0.01 if name == "weight" else 0
            if value is not None and not least <= value <= _MOST:
                raise InvalidInput(f"must be {least} to {_MOST}", field=name)
        if told.get("costPerDay") is not None:
            told["costPerDay"] = round(told["costPerDay"] * _MICRO)
        key = f"{self._prefix}limits:{org}"
        with reachable():
            pipe = self._redis.pipeline(transaction=True)
            for name, value in told.items():
                pipe.hset(key, name, str(value)) if value is not None else pipe.hdel(key, name)
            await pipe.execute()
        return await self.limits(org)

    async def used(self, org: str) -> Used:
        """What the org has used today."""
        return await self._used(f"used:{org}")

    async def used_by(self, key_id: str) -> Used:
        """What was used today by that API key of an org."""
        return await self._used(f"used/{key_id}")

    async def _used(self, name: str) -> Used:
        day = moment(now_ms())[:10]
        with reachable():
            images, cost = await self._redis.hmget(f"{self._prefix}{name}:{day}", ["images", "cost"])  # type: ignore[misc]  # as above
        return Used(int(images or 0), int(cost or 0) / _MICRO)

    async def queue(self, org: str) -> tuple[int, int]:
        """How many of the org's jobs are ready, and how many run."""
        with reachable():
            providers = await self._redis.smembers(f"{self._prefix}lanes:{org}")  # type: ignore[misc]  # as above
            pipe = self._redis.pipeline(transaction=False)
            for provider in providers:
                pipe.zcard(f"{self._prefix}ready:{org}/{provider.decode()}")
            pipe.zcount(f"{self._prefix}running/{org}", now_ms(), "+inf")
            *ready, running = await pipe.execute()
        return sum(ready), running


_MOST: Final = 1_000_000_000


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)
