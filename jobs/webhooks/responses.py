"""OpenAI's webhooks: the end of a response in the background, in OpenAI's form, to the endpoints that name it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from jobs.ids import new_id, twin
from jobs.webhooks.delivery import Delivery

if TYPE_CHECKING:
    from jobs.model.job import Event, Job
    from jobs.webhooks.endpoint import Endpoint

BACKGROUND: Final = "responses/background"
"""The face of jobs that are responses in the background: of others OpenAI tells nothing."""
_TYPES: Final = {
    "image.job.succeeded": "response.completed",
    "image.job.failed": "response.failed",
    "image.job.expired": "response.failed",
    "image.job.canceled": "response.cancelled",
}
RESPONSE_EVENTS: Final = ("response.completed", "response.failed", "response.cancelled", "response.incomplete")
"""For endpoints alone. No response that ends here is incomplete; who asks for OpenAI's four events asks for it, too."""


def response_deliveries(job: Job, event: Event, endpoints: Sequence[Endpoint]) -> tuple[Delivery, ...]:
    """What the end of a job sends on its way as that of a response, once to each endpoint that names it.

    It is an event of its own, with an id of its own: receivers know what they have seen by `webhook-id`.
    """
    kind = _TYPES.get(event.type) if job.face == BACKGROUND else None
    if kind is None:
        return ()
    event_id, now = new_id("evt"), job.updated_ms
    told = {"id": event_id, "object": "event", "created_at": now // 1000, "type": kind}
    body = msgspec.json.encode({**told, "data": {"id": twin(job.id, "resp")}}).decode()
    return tuple(
        Delivery(
            id=new_id("dlv"),
            org=job.org,
            job_id=job.id,
            event_id=event_id,
            type=kind,
            url=endpoint.url,
            body=body,
            endpoint_id=endpoint.id,
            created_ms=now,
            next_ms=now,
        )
        for endpoint in endpoints
        if kind in endpoint.events
    )
