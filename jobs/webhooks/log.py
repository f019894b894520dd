"""The delivery log of an org: what was posted, what was given up, and sending it again, or a ping."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from jobs.access.rates import Window, nearest
from jobs.errors import InvalidInput, NotFound, RateLimited
from jobs.ids import new_id
from jobs.model.times import moment, now_ms
from jobs.webhooks.delivery import Delivery, DeliveryState
from jobs.webhooks.outbox import MAX_ROWS_A_TRIP

if TYPE_CHECKING:
    from jobs.access.rates import Rates
    from jobs.webhooks.delivery import DeliveryAttempt
    from jobs.webhooks.endpoints import Endpoints
    from jobs.webhooks.outbox import Outbox
    from jobs.webhooks.poster import Poster

MAX_ROWS_A_PAGE: Final = 1_000
"""Rows that one page may look at."""
MAX_REDELIVERIES: Final = 1_000
MAX_ROWS_A_RANGE: Final = 10_000
"""Rows that one redelivery of a range may look at: those of other endpoints lie between."""
TEST: Final = "webhook.test"
PINGS: Final = Window(10, 60)
"""How often an endpoint may be pinged: what we post to strangers is not to be turned into a flood."""
MAX_RANGE_MS: Final = round(timedelta(days=28).total_seconds() * 1000)


class Wanted(Struct, frozen=True, kw_only=True):
    """What a listed delivery must be; None: anything."""

    endpoint_id: str | None = None
    job_id: str | None = None
    state: DeliveryState | None = None
    type: str | None = None

    def match(self, delivery: Delivery) -> bool:
        """Whether the delivery passes every filter."""
        return all(want in {None, getattr(delivery, name)} for name, want in msgspec.structs.asdict(self).items())


class Redelivered(Struct, frozen=True):
    """How many went on their way again; `since_ms`: more is in the range from there on."""

    count: int
    since_ms: int | None = None


class Pinged(Struct, frozen=True):
    """A ping's event id, and what came of it."""

    event_id: str
    attempt: DeliveryAttempt


class DeliveryLog:
    """What may be asked of deliveries. Raises only `errors.DarkroomError`."""

    def __init__(self, outbox: Outbox, endpoints: Endpoints, poster: Poster, rates: Rates) -> None:
        self._outbox = outbox
        self._endpoints = endpoints
        self._poster = poster
        self._rates = rates

    async def get(self, org: str, delivery_id: str) -> Delivery:
        """One delivery of the org. Raises `NotFound`."""
        found = await self._outbox.get(org, delivery_id)
        if found is None:
            raise NotFound("no such delivery")
        return found

    async def page(self, org: str, wanted: Wanted, after: str | None, limit: int) -> tuple[list[Delivery], str | None]:
        """At most `limit` deliveries, newest first, and the cursor for more. Reads at most `MAX_ROWS_A_PAGE` rows."""
        found: list[Delivery] = []
        for _ in range(MAX_ROWS_A_PAGE // MAX_ROWS_A_TRIP):
            ids = await self._ids(org, wanted.job_id, after)
            for delivery in await self._outbox.many(org, ids):
                if wanted.match(delivery):
                    found.append(delivery)
                    if len(found) == limit:
                        return found, delivery.id
            after = ids[-1] if len(ids) == MAX_ROWS_A_TRIP else None
            if after is None:
                break
        return found, after

    async def redeliver(self, org: str, delivery_id: str) -> Delivery:
        """Send one delivery again, with the id and the body that it had. Raises `NotFound`, `InvalidInput`."""
        delivery = await self.get(org, delivery_id)
        if delivery.endpoint_id is not None:
            await self._require_enabled(org, delivery.endpoint_id)
        await self._outbox.redeliver([delivery])
        return await self.get(org, delivery_id)

    async def redeliver_job(self, org: str, endpoint_id: str, job_id: str) -> Redelivered:
        """Send what an endpoint was told of a job again, save what is still on its way."""
        await self._require_enabled(org, endpoint_id)
        rows = await self._outbox.of_job(org, job_id)
        ended = [d for d in rows if d.endpoint_id == endpoint_id and d.state is not DeliveryState.PENDING]
        return Redelivered(await self._outbox.redeliver(ended[:MAX_REDELIVERIES]))

    async def redeliver_between(
        self, org: str, endpoint_id: str, since_ms: int, until_ms: int, states: Collection[str]
    ) -> Redelivered:
        """Send an endpoint's deliveries of a time again that stand in one of the states, oldest first."""
        if not 0 <= until_ms - since_ms <= MAX_RANGE_MS:
            raise InvalidInput("must lie after since, and at most 28 days", field="until")
        await self._require_enabled(org, endpoint_id)
        count, seen_ms = 0, since_ms
        for skip in range(0, MAX_ROWS_A_RANGE, MAX_ROWS_A_TRIP):
            ids = await self._outbox.between(org, since_ms, until_ms, skip, MAX_ROWS_A_TRIP)
            rows = await self._outbox.many(org, ids)
            fit = [d for d in rows if d.endpoint_id == endpoint_id and d.state in states]
            room = MAX_REDELIVERIES - count
            count += await self._outbox.redeliver(fit[:room])
            if len(fit) > room:
                return Redelivered(count, fit[room].created_ms)
            if len(ids) < MAX_ROWS_A_TRIP:
                return Redelivered(count)
            seen_ms = rows[-1].created_ms if rows else seen_ms
        return Redelivered(count, seen_ms)

    async def ping(self, org: str, endpoint_id: str) -> Pinged:
        """Post a signed `webhook.test` now, once, whether or not the endpoint is enabled.

        Raises `NotFound`, and `RateLimited` for more than `PINGS` of one endpoint, whoever asks.
        """
        endpoint = await self._endpoints.get(org, endpoint_id)
        left = nearest(await self._rates.spend(f"ping {endpoint_id}", (PINGS,)))
        if left.refused:
            message = f"an endpoint may be tested {PINGS.amount} times in {PINGS.seconds} s"
            raise RateLimited(message, retry_after=left.reset_seconds, reason="ping_limit", limit=PINGS.amount)
        now, event_id = now_ms(), new_id("evt")
        event = {"id": event_id, "type": TEST, "timestamp": moment(now), "data": {"endpointId": endpoint_id}}
        delivery = Delivery(
            id=new_id("dlv"),
            org=org,
            job_id="",
            event_id=event_id,
            type=TEST,
            url=endpoint.url,
            body=msgspec.json.encode(event).decode(),
            created_ms=now,
        )
        attempt, _ = await self._poster.post(delivery, endpoint.signing(now))
        return Pinged(event_id, attempt)

    async def _ids(self, org: str, job_id: str | None, after: str | None) -> list[str]:
        if job_id is None:
            return await self._outbox.below(org, after, MAX_ROWS_A_TRIP)
        ids = (await self._outbox.ids_of_job(job_id))[::-1]
        start = 0 if after is None else ids.index(after) + 1 if after in ids else len(ids)
        return ids[start : start + MAX_ROWS_A_TRIP]

    async def _require_enabled(self, org: str, endpoint_id: str) -> None:
        endpoint = await self._endpoints.get(org, endpoint_id)
        if endpoint.disabled is not None:
            raise InvalidInput("the endpoint is disabled: enable it first", reason="endpoint_disabled")
