"""Webhooks: what may be asked for, what is posted, how it is signed (Standard Webhooks 1.0) and tried again."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from jobs.errors import InvalidInput
from jobs.history.generation import Generation
from jobs.ids import new_id
from jobs.model.choices import Include
from jobs.model.job import Event, Job, Webhook
from jobs.webhooks.endpoint import Endpoint, read_secret

ENDINGS: Final = (
    "image.job.succeeded",
    "image.job.failed",
    "image.job.canceled",
    "image.job.expired",
    "image.job.salvaged",
)
"""What is posted when a webhook does not say."""
EVENTS: Final = (
    "image.job.queued",
    "image.job.started",
    "image.job.progress",
    "image.job.preview",
    "image.job.checkpointed",
    "image.job.canceling",
    *ENDINGS,
)
TROUBLE: Final = "provider.trouble"
"""No job's event, for endpoints alone: a provider's trouble that only the gateway's operator can mend."""
HISTORY: Final = "image.generation"
"""No webhook: a document on its way into history, in the queue that is its own."""
MAX_BODY_BYTES: Final = 20 * 1024
"""Bytes of a post; a job that says more is told thinly."""
MAX_NOTED_CHARACTERS: Final = 1024
"""Bytes of an answer that the delivery log keeps."""
MAX_ATTEMPTS: Final = 40
"""Attempts that the log keeps of a delivery, which may be asked for again and again."""
MAX_PAUSE_SECONDS: Final = 86_400.0
"""Seconds beyond which a receiver's `Retry-After` is not heeded."""


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"
    """Given up, and readable for as long as it is kept."""


class DeliveryAttempt(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One post and what came of it. `status` None: there was no answer, and `error` says why."""

    at_ms: int
    took_ms: int
    status: int | None = None
    error: str | None = None
    response: str | None = None
    """The first kilobyte of the answer."""


class Delivery(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event on its way to one address. Its body is made once, and posted unchanged however often."""

    id: str
    org: str
    job_id: str
    event_id: str
    type: str
    url: str
    body: str
    endpoint_id: str | None = None
    """Whose delivery it is; address and secrets are then the endpoint's own at the time of each attempt."""
    secret: str | None = None
    """Sealed."""
    state: DeliveryState = DeliveryState.PENDING
    reason: str | None = None
    """Why it was given up without another attempt."""
    revision: int = 0
    """Grows with every write: of two at the same time the second is refused."""
    created_ms: int
    next_ms: int | None = None
    """When it is tried next, while it is pending."""
    attempts: tuple[DeliveryAttempt, ...] = ()
    """The newest `MAX_ATTEMPTS`, in order."""
    tries: int = 0
    """Attempts since it was made, or last asked for again."""

    @property
    def queue(self) -> str:
        """Where it waits: its endpoint's own queue, or that of its org for the address.

        So a dead receiver stops no other, and an org with dead URLs at an address not the others who post there.
        """
        if self.type == HISTORY:
            return HISTORY
        return self.endpoint_id or f"{self.org}/{address(self.url)}"


def address(url: str) -> str:
    """Scheme, host and port."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0].partition('?')[0]}".lower()


def wanted(webhook: Webhook, place: str = "webhook.", events: Sequence[str] = EVENTS) -> Webhook:
    """The webhook as it was asked for, when everything but its address fits. Raises `InvalidInput` below `place`.

    `events` may be asked for.
    """
    if not webhook.events:
        raise InvalidInput("must name at least one event, or be left out", field=f"{place}events")
    for number, name in enumerate(webhook.events):
        if name not in events:
            raise InvalidInput(f"must be one of {', '.join(events)}", field=f"{place}events[{number}]")
    if webhook.secret is not None and read_secret(webhook.secret) is None:
        message = "must be whsec_ and 24 to 64 random bytes in base64, e.g. `echo whsec_$(openssl rand -base64 32)`"
        raise InvalidInput(message, field=f"{place}secret")
    return replace(webhook, events=tuple(dict.fromkeys(webhook.events)))


def deliveries(job: Job, event: Event, endpoints: Sequence[Endpoint] = ()) -> tuple[Delivery, ...]:
    """What an event of a job sends on its way: to the job's own webhook, and once to each endpoint that names it."""
    told: dict[str | None, Webhook | Endpoint] = {e.id: e for e in endpoints}
    if job.webhook is not None:
        told.setdefault(job.webhook.endpoint_id, job.webhook)
    return tuple(
        Delivery(
            id=new_id("dlv"),
            org=job.org,
            job_id=job.id,
            event_id=event.id,
            type=event.type,
            url=to.url,
            body=_body(event, to.include),
            endpoint_id=endpoint_id,
            secret=to.secret if isinstance(to, Webhook) else None,
            created_ms=job.updated_ms,
            next_ms=job.updated_ms,
        )
        for endpoint_id, to in told.items()
        if event.type in to.events
    )


def to_history(job: Job, event: Event, made: Generation) -> Delivery:
    """A generation on its way into history."""
    return Delivery(
        id=new_id("dlv"),
        org=job.org,
        job_id=job.id,
        event_id=event.id,
        type=HISTORY,
        url=f"{HISTORY}:",
        body=msgspec.json.encode(made).decode(),
        created_ms=job.updated_ms,
        next_ms=job.updated_ms,
    )


def after_attempt(
    delivery: Delivery, attempt: DeliveryAttempt, schedule: Sequence[int], *, spread: float, retry_after: float | None
) -> Delivery:
    """The delivery after one more attempt. `schedule`: seconds before each; `spread` stretches the pause.

    `retry_after` is the receiver's own `Retry-After` in seconds. 410 (Gone) ends it at once, as Standard Webhooks says.
    """
    tries, status = delivery.tries + 1, attempt.status or 0
    after = replace(delivery, attempts=(*delivery.attempts, attempt)[-MAX_ATTEMPTS:], tries=tries)
    if delivered(attempt):
        return replace(after, state=DeliveryState.DELIVERED, next_ms=None)
    if status == 410 or tries >= len(schedule):  # noqa: PLR2004  # RFC 9110 15.5.11
        return replace(after, state=DeliveryState.DEAD, next_ms=None)
    heeded = min(retry_after or 0.0, MAX_PAUSE_SECONDS) if status in {429, 503} else 0.0
    pause = max(schedule[tries] * spread, heeded)
    return replace(after, next_ms=attempt.at_ms + attempt.took_ms + round(pause * 1000))


def delivered(attempt: DeliveryAttempt) -> bool:
    """Whether the receiver took it: any 2xx."""
    return 200 <= (attempt.status or 0) < 300  # noqa: PLR2004  # RFC 9110 15.3


def dead(delivery: Delivery, reason: str) -> Delivery:
    """The delivery, dead without another attempt."""
    return replace(delivery, state=DeliveryState.DEAD, next_ms=None, reason=reason)


def once_more(delivery: Delivery, now: int) -> Delivery:
    """The same event on its way again, with the whole schedule before it."""
    return replace(delivery, state=DeliveryState.PENDING, reason=None, next_ms=now, tries=0)


def _body(event: Event, include: Include) -> str:
    data = event.data
    thin = replace(event, data={"id": data["id"], "status": data["status"], "urls": data["urls"]})
    full = msgspec.json.encode(event)
    return (full if include is Include.FULL and len(full) <= MAX_BODY_BYTES else msgspec.json.encode(thin)).decode()
