"""Webhooks: what may be asked for, what is posted, how it is signed (Standard Webhooks 1.0) and tried again."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct
from msgspec.structs import replace

from jobs.errors import InvalidInput
from jobs.ids import new_id
from jobs.model import Event, Job, Webhook

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
    "image.job.checkpointed",
    "image.job.canceling",
    *ENDINGS,
)
MOST_BODY: Final = 20 * 1024
"""Bytes of a post; a job that says more is told thinly."""
MOST_NOTED: Final = 1024
"""Bytes of an answer that the delivery log keeps."""
SECRETS: Final = "webhook secrets"
SIGNING: Final = "webhook ed25519"
"""The purposes of the two keys that are derived from `DARKROOM_SECRET_KEY`."""
LONGEST_PAUSE: Final = 86_400.0
"""Seconds beyond which a receiver's `Retry-After` is not heeded."""


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
    secret: str | None = None
    """Sealed."""
    state: str = "pending"
    """`pending`, `delivered`, or `dead`: given up, and readable for as long as it is kept."""
    created_ms: int
    next_ms: int | None = None
    """When it is tried next, while it is pending."""
    attempts: tuple[DeliveryAttempt, ...] = ()


def wanted(webhook: Webhook) -> Webhook:
    """The webhook as it was asked for, when everything but its address fits. Raises `InvalidInput`."""
    if not webhook.events:
        raise InvalidInput("must name at least one event, or be left out", field="webhook.events")
    for place, name in enumerate(webhook.events):
        if name not in EVENTS:
            raise InvalidInput(f"must be one of {', '.join(EVENTS)}", field=f"webhook.events[{place}]")
    if webhook.include not in {"full", "thin"}:
        raise InvalidInput("must be full or thin", field="webhook.include")
    if webhook.secret is not None and read_secret(webhook.secret) is None:
        message = "must be whsec_ and 24 to 64 random bytes in base64, e.g. `echo whsec_$(openssl rand -base64 32)`"
        raise InvalidInput(message, field="webhook.secret")
    return replace(webhook, events=tuple(dict.fromkeys(webhook.events)))


def read_secret(secret: str) -> bytes | None:
    """The key in `whsec_…`, or None where it is none."""
    prefix, _, text = secret.partition("_")
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if prefix == "whsec" and 24 <= len(key) <= 64 else None  # noqa: PLR2004  # Standard Webhooks


def deliveries(job: Job, event: Event) -> tuple[Delivery, ...]:
    """What an event of a job sends on its way."""
    webhook = job.webhook
    if webhook is None or event.type not in webhook.events:
        return ()
    return (
        Delivery(
            id=new_id("dlv"),
            org=job.org,
            job_id=job.id,
            event_id=event.id,
            type=event.type,
            url=webhook.url,
            body=_body(event, webhook.include),
            secret=webhook.secret,
            created_ms=job.updated_ms,
            next_ms=job.updated_ms,
        ),
    )


def tried(
    delivery: Delivery, attempt: DeliveryAttempt, schedule: Sequence[int], *, spread: float, patience: float | None
) -> Delivery:
    """The delivery after one more attempt. `schedule`: seconds before each; `spread` stretches the pause.

    `patience` is the receiver's own `Retry-After` in seconds. 410 (Gone) ends it at once, as Standard Webhooks says.
    """
    attempts = (*delivery.attempts, attempt)
    status = attempt.status or 0
    if 200 <= status < 300:  # noqa: PLR2004  # RFC 9110 15.3
        return replace(delivery, attempts=attempts, state="delivered", next_ms=None)
    if status == 410 or len(attempts) >= len(schedule):  # noqa: PLR2004
        return replace(delivery, attempts=attempts, state="dead", next_ms=None)
    heeded = min(patience or 0.0, LONGEST_PAUSE) if status in {429, 503} else 0.0
    pause = max(schedule[len(attempts)] * spread, heeded)
    return replace(delivery, attempts=attempts, next_ms=attempt.at_ms + attempt.took_ms + round(pause * 1000))


class Signer:
    """Signs posts: by their own secret (`v1`, HMAC-SHA256) where they have one, else by our key (`v1a`, Ed25519)."""

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)

    def headers(self, delivery: Delivery, secret: str | None, timestamp: int) -> dict[str, str]:
        """The three headers of Standard Webhooks. `timestamp` in Unix seconds; `secret` as it was given."""
        content = f"{delivery.event_id}.{timestamp}.{delivery.body}".encode()
        key = None if secret is None else read_secret(secret)
        if key is None:
            version, signature = "v1a", self._key.sign(content)
        else:
            version, signature = "v1", hmac.digest(key, content, hashlib.sha256)
        return {
            "webhook-id": delivery.event_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": f"{version},{base64.b64encode(signature).decode()}",
        }

    def jwk(self) -> Mapping[str, str]:
        """The public half of our key (RFC 8037), named by its thumbprint (RFC 7638)."""
        raw = self._key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        named = {"crv": "Ed25519", "kty": "OKP", "x": _base64url(raw)}
        thumbprint = _base64url(hashlib.sha256(msgspec.json.encode(named)).digest())
        return {**named, "kid": thumbprint, "use": "sig", "alg": "EdDSA"}


def _body(event: Event, include: str) -> str:
    data = event.data
    thin = replace(event, data={"id": data["id"], "status": data["status"], "urls": data["urls"]})
    full = msgspec.json.encode(event)
    return (full if include == "full" and len(full) <= MOST_BODY else msgspec.json.encode(thin)).decode()


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
