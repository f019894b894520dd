"""Where deliveries wait: a queue a receiver in Redis, each row leased to the courier that posts it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from jobs.model.times import now_ms
from jobs.redis.connection import reachable
from jobs.redis.keys import DeliveryField, Keys
from jobs.redis.scripts import scripts
from jobs.webhooks.delivery import Delivery, once_more

if TYPE_CHECKING:
    from redis.asyncio import Redis

KEPT_MS: Final = 14 * 86_400_000
"""How long a delivery is kept after its end."""
BREAKER: Final = (5, 30_000, 600_000)
"""After so many failures in a row a receiver's queue waits (ms) for a single try; twice as long each time, up to."""
AT_ONCE: Final = 100
"""Rows that one round trip reads or writes: each may be 20 KB."""


class Due(Struct, frozen=True):
    """Deliveries to be posted now, and the milliseconds until the next (None: none waits)."""

    deliveries: tuple[Delivery, ...]
    next_in_ms: int | None


class Outbox:
    """The rows that `RedisJobStore` commits with each move. Raises `ServiceUnavailable` while Redis is away."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis = redis
        self.keys = Keys(prefix)
        self._scripts = scripts(redis, ("lease_deliveries", "settle_delivery", "redeliver", "release_queue"))

    async def due(self, most: int, lease_ms: int, room: int) -> Due:
        """Lease at most `most` rows that are due; no queue has more than `room` under way, over all couriers."""
        now, later, rows = await self._run("lease_deliveries", most, lease_ms, room)
        found = tuple(_decoder.decode(row) for row in rows)
        return Due(found, max(0, int(float(later)) - now) if later else None)

    async def settle(self, before: Delivery, after: Delivery, pause_ms: int, *, good: bool | None = None) -> bool:
        """Write what came of an attempt; False when somebody else wrote first. `good`: what it says of the receiver."""
        ended = after.state != "pending"
        verdict = "" if good is None else "good" if good else "bad"
        written = replace(after, revision=before.revision + 1)
        row = (after.id, before.revision, _encoder.encode(written))
        return bool(await self._run("settle_delivery", *row, -1 if ended else pause_ms, KEPT_MS, verdict, *BREAKER))

    async def again(self, deliveries: Sequence[Delivery]) -> int:
        """Put deliveries on their way once more; how many went."""
        count, now = 0, now_ms()
        for start in range(0, len(deliveries), AT_ONCE):
            parts: list[Any] = []
            for d in deliveries[start : start + AT_ONCE]:
                written = replace(once_more(d, now), revision=d.revision + 1)
                parts += (d.id, d.revision, _encoder.encode(written))
            count += await self._run("redeliver", *parts)
        return count

    async def hasten(self, queue: str) -> None:
        """All that waits in a queue, and is not being posted, is looked at by a courier now."""
        await self._run("release_queue", queue)

    async def get(self, org: str, delivery_id: str) -> Delivery | None:
        """One delivery of the org."""
        found = await self.many(org, [delivery_id])
        return found[0] if found else None

    async def many(self, org: str, ids: Sequence[str]) -> list[Delivery]:
        """The deliveries of the org that are still kept, in this order."""
        with reachable():
            pipe = self._redis.pipeline(transaction=False)
            for delivery_id in ids:
                pipe.hget(self.keys.delivery(delivery_id), DeliveryField.DOCUMENT)
            docs = await pipe.execute() if ids else []
        found = [_decoder.decode(doc) for doc in docs if doc is not None]
        return [d for d in found if d.org == org]

    async def ids_of_job(self, job_id: str) -> list[str]:
        """The ids of every delivery of a job, oldest first."""
        with reachable():
            ids = await self._redis.lrange(self.keys.deliveries_of_job(job_id), 0, -1)  # type: ignore[misc]  # redis-py types both clients as one
        return [i.decode() for i in ids]

    async def of_job(self, org: str, job_id: str) -> tuple[Delivery, ...]:
        """Every delivery of a job, oldest first."""
        return tuple(await self.many(org, await self.ids_of_job(job_id)))

    async def below(self, org: str, after: str | None, most: int) -> list[str]:
        """The ids of the org's deliveries, newest first, below the id `after`."""
        index = self.keys.deliveries_of_org(org)
        with reachable():
            rank = -1 if after is None else await self._redis.zrevrank(index, after)
            ids = [] if rank is None else await self._redis.zrevrange(index, rank + 1, rank + most)
        return [i.decode() for i in ids]

    async def between(self, org: str, since_ms: int, until_ms: int, skip: int, most: int) -> list[str]:
        """The ids of the org's deliveries that were made in the range, oldest first."""
        index = self.keys.deliveries_of_org(org)
        with reachable():
            return [i.decode() for i in await self._redis.zrangebyscore(index, since_ms, until_ms, skip, most)]

    async def _run(self, name: str, *args: Any) -> Any:
        with reachable():
            return await self._scripts[name](args=[self.keys.prefix, *args])


def rows(deliveries: tuple[Delivery, ...]) -> list[str | bytes]:
    """Deliveries as the scripts of the job store take them: id, queue, document, time, and so on."""
    return [part for d in deliveries for part in (d.id, d.queue, _encoder.encode(d), str(d.created_ms))]


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Delivery)
