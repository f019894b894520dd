"""What an org may do: its share of the workers, and its limits; and what it has used today."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import UNSET, Struct, UnsetType, to_builtins

from jobs.errors import InvalidInput
from jobs.model.times import moment, now_ms
from jobs.redis.connection import translate_redis_errors
from jobs.redis.fields import LimitField, UseField
from jobs.redis.keys import Keys
from jobs.redis.scripts import Scripts

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
        self._keys = Keys(prefix)
        self._scripts = Scripts(redis, prefix, ("let_in_org",))

    async def limits(self, org: str) -> OrgLimits:
        """What the org may do."""
        with translate_redis_errors():
            raw = await self._redis.hgetall(self._keys.limits(org))  # type: ignore[misc]  # redis-py types both clients as one
        kept = {name.decode(): value.decode() for name, value in raw.items()}
        cost = kept.get(LimitField.COST_PER_DAY)
        return OrgLimits(
            weight=float(kept.get(LimitField.WEIGHT, 1.0)),
            max_queued=_number(kept.get(LimitField.MAX_QUEUED)),
            max_running=_number(kept.get(LimitField.MAX_RUNNING)),
            images_per_day=_number(kept.get(LimitField.IMAGES_PER_DAY)),
            cost_per_day=None if cost is None else int(cost) / _MICRO,
        )

    async def change(self, org: str, change: OrgChange) -> OrgLimits:
        """Change limits; jobs that are accepted stay. Raises `InvalidInput` naming the field."""
        told: dict[str, Any] = to_builtins(change)
        for name, value in told.items():
            least = 0.01 if name == "weight" else 0
            if value is not None and not least <= value <= _MAX_LIMIT:
                raise InvalidInput(f"must be {least} to {_MAX_LIMIT}", field=name)
        if told.get("costPerDay") is not None:
            told["costPerDay"] = round(told["costPerDay"] * _MICRO)
        key = self._keys.limits(org)
        with translate_redis_errors():
            pipe = self._redis.pipeline(transaction=True)
            for name, value in told.items():
                pipe.hset(key, name, str(value)) if value is not None else pipe.hdel(key, name)
            await pipe.execute()
        await self._scripts.run("let_in_org", {"org": org})
        return await self.limits(org)

    async def used(self, org: str) -> Used:
        """What the org has used today."""
        return await self._used(self._keys.used_by_org(org, _today()))

    async def used_by(self, key_id: str) -> Used:
        """What was used today by that API key of an org."""
        return await self._used(self._keys.used_by_api_key(key_id, _today()))

    async def _used(self, key: str) -> Used:
        with translate_redis_errors():
            images, cost = await self._redis.hmget(key, [UseField.IMAGES, UseField.COST])  # type: ignore[misc]  # as above
        return Used(int(images or 0), int(cost or 0) / _MICRO)

    async def queue(self, org: str) -> tuple[int, int]:
        """How many of the org's jobs are ready, and how many run."""
        with translate_redis_errors():
            lanes = await self._redis.smembers(self._keys.lanes_of_org(org))  # type: ignore[misc]  # as above
            pipe = self._redis.pipeline(transaction=False)
            for lane in lanes:
                pipe.zcard(self._keys.ready(org, lane.decode()))
            pipe.zcard(self._keys.running_of_org(org))
            *ready, running = await pipe.execute()
        return sum(ready), running


_MAX_LIMIT: Final = 1_000_000_000


def _today() -> str:
    return moment(now_ms())[:10]


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)
