"""Where deliveries wait: a queue a receiver in Redis, each row leased to the courier that posts it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from jobs.history.generation import LinkOf, generation
from jobs.model.job import Event, Job
from jobs.model.json import present
from jobs.model.times import now_ms
from jobs.redis.connection import translate_redis_errors
from jobs.redis.fields import DeliveryField
from jobs.redis.keys import Keys
from jobs.redis.scripts import Scripts
from jobs.store.arguments import OutboxRow
from jobs.store.breaker import Verdict
from jobs.store.durations import DELIVERY_MS
from jobs.store.packing import squeeze, unsqueeze
from jobs.webhooks.delivery import HISTORY, Delivery, DeliveryState, deliveries, once_more, to_history
from jobs.webhooks.responses import response_deliveries

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from jobs.store.jobs import OutboxRows
    from jobs.webhooks.endpoint import Endpoint

EndpointsOf = Callable[[str], Awaitable[Sequence["Endpoint"]]]
"""The enabled endpoints of an org, which may be some seconds old."""

BREAKER: Final = {"max_failures": 5, "open_ms": 30_000, "max_open_ms": 600_000}
"""After so many failures in a row a receiver's queue waits for a single try; twice as long each time, up to."""
MAX_ROWS_A_SCRIPT: Final = 500
"""Rows that one script changes: meanwhile Redis answers nobody."""
MAX_ROWS_A_TRIP: Final = 100
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
        self._scripts = Scripts(redis, prefix, _SCRIPTS)

    async def due(self, most: int, lease_ms: int, room: int) -> Due:
        """Lease at most `most` rows that are due; no queue has more than `room` under way, over all couriers."""
        told = {"max": most, "lease_ms": lease_ms, "room": room}
        now, later, documents = await self._scripts.run("lease_deliveries", told)
        found = tuple(map(_unpack, documents))
        return Due(found, max(0, int(float(later)) - now) if later else None)

    async def settle(self, before: Delivery, after: Delivery, pause_ms: int, *, good: bool | None = None) -> bool:
        """Write what came of an attempt; False when somebody else wrote first. `good`: what it says of the receiver."""
        written = replace(after, revision=before.revision + 1)
        told = present(
            id=after.id,
            org=after.org,
            revision=before.revision,
            pause_ms=pause_ms if after.state is DeliveryState.PENDING else None,
            verdict=None if good is None else Verdict.GOOD if good else Verdict.BAD,
            keep_ms=DELIVERY_MS,
            **BREAKER,
        )
        return bool(await self._scripts.run("settle_delivery", told, _pack(written)))

    async def add(self, delivery: Delivery) -> None:
        """Put a delivery that is no job's on its way."""
        row = {"id": delivery.id, "queue": delivery.queue, "created_ms": delivery.created_ms}
        await self._scripts.run("queue_news", {"org": delivery.org, "deliveries": [row]}, _pack(delivery))

    async def redeliver(self, deliveries: Sequence[Delivery]) -> int:
        """Put deliveries on their way once more; how many went."""
        count, now = 0, now_ms()
        for start in range(0, len(deliveries), MAX_ROWS_A_TRIP):
            part = deliveries[start : start + MAX_ROWS_A_TRIP]
            told = {"deliveries": [{"id": d.id, "revision": d.revision} for d in part]}
            written = (replace(once_more(d, now), revision=d.revision + 1) for d in part)
            count += await self._scripts.run("redeliver", told, *map(_pack, written))
        return count

    async def make_due(self, queue: str) -> None:
        """All that waits in a queue, and is not being posted, is looked at by a courier now."""
        while await self._scripts.run("release_queue", {"queue": queue, "max": MAX_ROWS_A_SCRIPT}):
            continue

    async def get(self, org: str, delivery_id: str) -> Delivery | None:
        """One delivery of the org."""
        found = await self.many(org, [delivery_id])
        return found[0] if found else None

    async def many(self, org: str, ids: Sequence[str]) -> list[Delivery]:
        """The deliveries of the org that are still kept, in this order, save those on their way into history."""
        with translate_redis_errors():
            pipe = self._redis.pipeline(transaction=False)
            for delivery_id in ids:
                pipe.hget(self.keys.delivery(delivery_id), DeliveryField.DOCUMENT)
            docs = await pipe.execute() if ids else []
        found = [_unpack(doc) for doc in docs if doc is not None]
        return [d for d in found if d.org == org and d.type != HISTORY]

    async def ids_of_job(self, job_id: str) -> list[str]:
        """The ids of every delivery of a job, oldest first."""
        with translate_redis_errors():
            ids = await self._redis.lrange(self.keys.deliveries_of_job(job_id), 0, -1)  # type: ignore[misc]  # redis-py types both clients as one
        return [i.decode() for i in ids]

    async def of_job(self, org: str, job_id: str) -> tuple[Delivery, ...]:
        """Every delivery of a job, oldest first."""
        return tuple(await self.many(org, await self.ids_of_job(job_id)))

    async def below(self, org: str, after: str | None, most: int) -> list[str]:
        """The ids of the org's deliveries, newest first, below the id `after`."""
        index = self.keys.deliveries_of_org(org)
        with translate_redis_errors():
            rank = -1 if after is None else await self._redis.zrevrank(index, after)
            ids = [] if rank is None else await self._redis.zrevrange(index, rank + 1, rank + most)
        return [i.decode() for i in ids]

    async def between(self, org: str, since_ms: int, until_ms: int, skip: int, most: int) -> list[str]:
        """The ids of the org's deliveries that were made in the range, oldest first."""
        index = self.keys.deliveries_of_org(org)
        with translate_redis_errors():
            return [i.decode() for i in await self._redis.zrangebyscore(index, since_ms, until_ms, skip, most)]


def outbox_rows(endpoints: EndpointsOf, link: LinkOf | None = None) -> OutboxRows:
    """What the store writes with an event: its deliveries, to the job's own webhook and the org's `endpoints`.

    With `link` what belongs into history is on its way there, too.
    """

    async def rows(job: Job, event: Event) -> list[OutboxRow]:
        told = await endpoints(job.org)
        made = (*deliveries(job, event, told), *response_deliveries(job, event, told))
        document = None if link is None else generation(job, event, link)
        if document is not None:
            made = (*made, to_history(job, event, document))
        return [OutboxRow(id=d.id, queue=d.queue, created_ms=d.created_ms, document=_pack(d)) for d in made]

    return rows


_SCRIPTS: Final = ("lease_deliveries", "settle_delivery", "redeliver", "release_queue", "queue_news")
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Delivery)


def _pack(delivery: Delivery) -> bytes:
    """The delivery as it is kept; one that has ended small."""
    document = _encoder.encode(delivery)
    return document if delivery.state is DeliveryState.PENDING else squeeze(document)


def _unpack(document: bytes) -> Delivery:
    return _decoder.decode(unsqueeze(document))
