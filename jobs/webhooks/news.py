"""News that are no job's: a provider's trouble, told to every endpoint that asks for it, whosever it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from jobs.ids import new_id
from jobs.model.json import present
from jobs.model.times import moment, now_ms
from jobs.webhooks.delivery import TROUBLE, Delivery

if TYPE_CHECKING:
    from jobs.store.troubles import Trouble
    from jobs.webhooks.endpoint import Endpoint
    from jobs.webhooks.endpoints import Endpoints
    from jobs.webhooks.outbox import Outbox

MAX_WATCHERS: Final = 100
"""Endpoints that are told of a provider's trouble: the newest of those that ask."""


class News:
    """Puts news into the outbox. Raises `ServiceUnavailable` while Redis is out of reach."""

    def __init__(self, outbox: Outbox, endpoints: Endpoints) -> None:
        self._outbox = outbox
        self._endpoints = endpoints

    async def trouble(self, trouble: Trouble) -> None:
        """Tell of a provider's trouble."""
        for endpoint in await self._endpoints.watchers(MAX_WATCHERS):
            await self._outbox.add(_delivery(endpoint, trouble))


def trouble_json(trouble: Trouble) -> dict[str, object]:
    """A trouble as callers read it."""
    return present(
        kind=trouble.kind, message=trouble.message, providerStatus=trouble.status, since=moment(trouble.since_ms)
    )


def _delivery(endpoint: Endpoint, trouble: Trouble) -> Delivery:
    now, event_id = now_ms(), new_id("evt")
    provider, slash, _ = trouble.id.partition("/")
    data = {"provider": provider, **({"account": trouble.id} if slash else {}), **trouble_json(trouble)}
    event = {"id": event_id, "type": TROUBLE, "timestamp": moment(now), "data": data}
    return Delivery(
        id=new_id("dlv"),
        org=endpoint.org,
        job_id="",
        event_id=event_id,
        type=TROUBLE,
        url=endpoint.url,
        body=msgspec.json.encode(event).decode(),
        endpoint_id=endpoint.id,
        created_ms=now,
        next_ms=now,
    )
