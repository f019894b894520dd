"""Webhook endpoints: where all news of an org are posted, kept as small records, and what receivers do to them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import structlog
from msgspec import Struct
from msgspec.structs import replace

from jobs.encryption import Sealer
from jobs.errors import InvalidInput, NotFound
from jobs.ids import new_id
from jobs.model.choices import Include
from jobs.model.job import Webhook
from jobs.model.times import now_ms
from jobs.outside.address import OutsideError, Policy, ascii_advice, check, parse, webhook_policy
from jobs.store.records import Records
from jobs.webhooks.delivery import ENDINGS, EVENTS, TROUBLE, DeliveryAttempt, delivered, wanted
from jobs.webhooks.enabled_cache import EnabledCache
from jobs.webhooks.endpoint import SECRETS, Endpoint, Secret, Watcher, new_secret
from jobs.webhooks.outbox import Outbox
from jobs.webhooks.responses import RESPONSE_EVENTS

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from jobs.settings import Settings

MAX_ENDPOINTS: Final = 50
"""Endpoints of an org."""
PATIENCE_MS: Final = 3 * 86_400_000
"""An endpoint with nothing but failures for so long is disabled."""
OVERLAP_SECONDS: Final = 86_400
MAX_OVERLAP_SECONDS: Final = 7 * 86_400
GONE_REASON: Final = "the receiver answered 410 Gone"
FAILING_REASON: Final = "nothing but failures for three days"
NO_ADDRESS: Final = (
    "must be an https URL of a public host on port 443 or 8443, without user, password or fragment "
    "(WEBHOOK_ALLOWED_NETWORKS lets addresses of your own network in)"
)

_log = structlog.get_logger()


class EndpointSpec(Struct, frozen=True, kw_only=True):
    """What an endpoint is to be."""

    url: str
    events: tuple[str, ...] = ENDINGS
    include: Include = Include.FULL
    description: str | None = None
    secret: str | None = None
    metadata: dict[str, str] = {}


class EndpointWithSecret(Struct, frozen=True):
    """An endpoint with its newest secret, which nobody can ask for again."""

    endpoint: Endpoint
    secret: str


def open_endpoints(redis: Redis, settings: Settings) -> Endpoints:
    """The endpoints, as the settings ask for them."""
    return Endpoints(
        redis,
        settings.redis_prefix,
        outbox=Outbox(redis, settings.redis_prefix),
        sealer=Sealer(settings.derived_key(SECRETS)),
        policy=webhook_policy(settings),
    )


class Endpoints:
    """The endpoints of every org. `policy`: which addresses they may have."""

    def __init__(  # noqa: PLR0913  # the composition root hands over each part by name
        self,
        redis: Redis,
        prefix: str,
        *,
        outbox: Outbox,
        sealer: Sealer,
        policy: Policy,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._records = Records(redis, prefix, "endpoint", Endpoint)
        self._watchers = Records(redis, prefix, "watcher", Watcher)
        self._outbox = outbox
        self._sealer = sealer
        self._policy = policy
        self._enabled = EnabledCache(self._look, clock)

    async def create(self, org: str, spec: EndpointSpec) -> EndpointWithSecret:
        """Make an endpoint. Raises `InvalidInput` naming the field as the API spells it."""
        now, secret = now_ms(), new_secret() if spec.secret is None else spec.secret
        endpoint = Endpoint(
            id=new_id("whe"),
            org=org,
            url=spec.url,
            events=spec.events,
            include=spec.include,
            description=spec.description,
            secrets=(Secret(sealed=self._sealer.seal(secret)),),
            created_ms=now,
            updated_ms=now,
            metadata=spec.metadata,
        )
        endpoint = self._checked(endpoint, secret)
        await self._records.put(endpoint)
        await self._watch(endpoint)
        self._enabled.forget(org)
        found, _ = await self._records.page(org, None, MAX_ENDPOINTS + 1)
        if len(found) > MAX_ENDPOINTS:  # looked at after the write: of two at the same time neither passes unseen
            await self._records.delete(org, endpoint.id)
            raise InvalidInput(f"an org has at most {MAX_ENDPOINTS} endpoints", reason="too_many_endpoints")
        return EndpointWithSecret(endpoint, secret)

    async def get(self, org: str, endpoint_id: str) -> Endpoint:
        """One endpoint of the org. Raises `NotFound`."""
        return _found(await self._records.get(org, endpoint_id))

    async def find(self, endpoint_id: str) -> Endpoint | None:
        """The endpoint, whosever it is: for the courier."""
        return await self._records.find(endpoint_id)

    async def page(self, org: str, after: str | None, limit: int) -> tuple[list[Endpoint], str | None]:
        """The org's endpoints, newest first, and the id to go on from (None at the end)."""
        return await self._records.page(org, after, limit)

    async def enabled(self, org: str) -> Sequence[Endpoint]:
        """The org's enabled endpoints, as they were a few seconds ago at most (`enabled_cache.FRESH_SECONDS`)."""
        return await self._enabled.get(org)

    async def watchers(self, most: int) -> list[Endpoint]:
        """The newest enabled endpoints of any org that ask for news of the gateway itself."""
        watchers, _ = await self._watchers.page("", None, most)
        found = [await self.find(watcher.id) for watcher in watchers]
        return [e for e in found if e is not None and e.disabled is None and TROUBLE in e.events]

    async def named(self, org: str, endpoint_id: str) -> Webhook:
        """The webhook of a job that names an enabled endpoint. Raises `InvalidInput`."""
        endpoint = await self._records.get(org, endpoint_id)
        if endpoint is None or endpoint.disabled is not None:
            what = "no such endpoint" if endpoint is None else "the endpoint is disabled"
            raise InvalidInput(what, field="webhook.endpointId")
        return Webhook(url=endpoint.url, events=endpoint.events, include=endpoint.include, endpoint_id=endpoint_id)

    async def change(self, org: str, endpoint_id: str, fields: Mapping[str, Any]) -> Endpoint:
        """Replace fields of the record; `disabled` is a reason, or None. Raises `NotFound`, `InvalidInput`."""
        more = {"failing_since_ms": None} if "disabled" in fields else {}

        def changed(endpoint: Endpoint) -> Endpoint:
            return self._checked(replace(endpoint, **fields, **more, updated_ms=now_ms()))

        endpoint = _found(await self._records.update(org, endpoint_id, changed))
        await self._watch(endpoint)
        self._enabled.forget(org)
        if "disabled" in fields or "url" in fields:
            await self._outbox.make_due(endpoint_id)
        return endpoint

    async def delete(self, org: str, endpoint_id: str) -> None:
        """Forget an endpoint; what waits for it is given up. Raises `NotFound`."""
        if not await self._records.delete(org, endpoint_id):
            raise NotFound("no such endpoint")
        await self._watchers.delete("", endpoint_id)
        self._enabled.forget(org)
        await self._outbox.make_due(endpoint_id)

    async def rotate(
        self, org: str, endpoint_id: str, overlap_seconds: int, secret: str | None = None
    ) -> EndpointWithSecret:
        """Give it a new secret; the one before signs beside it for the overlap. Raises `InvalidInput`, `NotFound`."""
        if not 0 <= overlap_seconds <= MAX_OVERLAP_SECONDS:
            raise InvalidInput(f"must be 0 to {MAX_OVERLAP_SECONDS}", field="overlapSeconds")
        now, given = now_ms(), new_secret() if secret is None else secret
        new = Secret(sealed=self._sealer.seal(given))

        def change(endpoint: Endpoint) -> Endpoint:
            before = replace(endpoint.secrets[0], until_ms=now + overlap_seconds * 1000)
            secrets = (new, before) if overlap_seconds else (new,)
            return self._checked(replace(endpoint, secrets=secrets, updated_ms=now), given)

        return EndpointWithSecret(_found(await self._records.update(org, endpoint_id, change)), given)

    async def record_attempt(self, endpoint: Endpoint, attempt: DeliveryAttempt) -> None:
        """What an attempt says of its endpoint: it recovers, fails on, or is disabled."""
        if delivered(attempt):
            if endpoint.failing_since_ms is not None:
                await self._records.update(endpoint.org, endpoint.id, lambda e: replace(e, failing_since_ms=None))
            return
        since = endpoint.failing_since_ms
        if attempt.status == 410:  # noqa: PLR2004  # RFC 9110 15.5.11: Gone
            await self._disable(endpoint, GONE_REASON)
        elif since is not None and attempt.at_ms - since >= PATIENCE_MS:
            await self._disable(endpoint, FAILING_REASON)
        elif since is None:
            at = attempt.at_ms
            await self._records.update(
                endpoint.org, endpoint.id, lambda e: replace(e, failing_since_ms=e.failing_since_ms or at)
            )

    async def make_due_if_ended(self, endpoint_id: str) -> None:
        """Of an endpoint that was deleted or disabled while something was posted, nothing waits for its time."""
        endpoint = await self.find(endpoint_id)
        if endpoint is None or endpoint.disabled is not None:
            await self._outbox.make_due(endpoint_id)

    async def _look(self, org: str) -> Sequence[Endpoint]:
        found, _ = await self._records.page(org, None, MAX_ENDPOINTS)
        return tuple(e for e in found if e.disabled is None)

    async def _watch(self, endpoint: Endpoint) -> None:
        if TROUBLE in endpoint.events:
            await self._watchers.put(Watcher(endpoint.id))
        else:
            await self._watchers.delete("", endpoint.id)

    async def _disable(self, endpoint: Endpoint, reason: str) -> None:
        _log.warning("webhook endpoint disabled", endpoint=endpoint.id, org=endpoint.org, reason=reason)
        await self._records.update(
            endpoint.org, endpoint.id, lambda e: replace(e, disabled=reason, failing_since_ms=None, updated_ms=now_ms())
        )
        self._enabled.forget(endpoint.org)
        await self._outbox.make_due(endpoint.id)

    def _checked(self, endpoint: Endpoint, secret: str | None = None) -> Endpoint:
        asked = Webhook(url=endpoint.url, events=endpoint.events, include=endpoint.include, secret=secret)
        webhook = wanted(asked, place="", events=(*EVENTS, *RESPONSE_EVENTS, TROUBLE))
        try:
            check(parse(endpoint.url), self._policy)
        except OutsideError:
            raise InvalidInput(f"{NO_ADDRESS}{ascii_advice(endpoint.url)}", field="url") from None
        return replace(endpoint, events=webhook.events)


def _found(endpoint: Endpoint | None) -> Endpoint:
    if endpoint is None:
        raise NotFound("no such endpoint")
    return endpoint
